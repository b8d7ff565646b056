import type { TargetRef } from '../files/schema/authorization-policy.ts';
import type { AuthorizationPolicyForm } from '../ingest/authorization-policy.ts';
import { isWaypointController } from '../provision/gateway-class.ts';
import type { Inputs } from './inputs.ts';
import type { MeshService, Services } from './services.ts';
import type { Waypoints } from './waypoints.ts';

/** What one targetRef of a policy comes to. */
export interface TargetResult {
  readonly ref: TargetRef;
  readonly reason: 'Accepted' | 'Invalid' | 'TargetNotFound' | 'AncestorNotBound';
  /** What it is bound to, or what is missing. */
  readonly message: string;
  readonly attachments: readonly Attachment[];
}

export interface Attachment {
  readonly waypoint: string;
  /** `namespace/hostname` of the one service meant; undefined means every service of the waypoint. */
  readonly listener: string | undefined;
}

interface Context {
  readonly inputs: Inputs;
  readonly waypoints: Waypoints;
  readonly services: Services;
}

/** Resolves the targets of every policy that has any. */
export function resolveTargets(context: Context): ReadonlyMap<AuthorizationPolicyForm, readonly TargetResult[]> {
  const byObject = servicesByObject(context.services);
  return new Map(
    context.inputs.policies
      .filter((form) => form.targetRefs.length > 0)
      .map((form) => [form, form.targetRefs.map((ref) => resolve(ref, form, { ...context, byObject }))]),
  );
}

function servicesByObject(services: Services): ReadonlyMap<string, readonly MeshService[]> {
  const byObject = new Map<string, MeshService[]>();
  for (const service of services.byKey.values()) {
    const key = `${service.kind}/${service.service.namespace}/${service.service.name}`;
    byObject.set(key, [...(byObject.get(key) ?? []), service]);
  }
  return byObject;
}

type Resolving = Context & { readonly byObject: ReadonlyMap<string, readonly MeshService[]> };

function resolve(ref: TargetRef, form: AuthorizationPolicyForm, context: Resolving): TargetResult {
  if ((ref.namespace ?? '') !== '' && ref.namespace !== form.namespace)
    return failed(ref, 'Invalid', `${ref.kind} ${ref.namespace}/${ref.name} is in another namespace than the policy`);
  if (ref.kind === 'GatewayClass') return resolveClass(ref, form, context);
  if (ref.kind === 'Gateway') return resolveGateway(ref, form, context);
  return resolveService(ref, form, context);
}

const failed = (ref: TargetRef, reason: TargetResult['reason'], message: string): TargetResult => ({
  ref,
  reason,
  message,
  attachments: [],
});

function resolveClass(ref: TargetRef, form: AuthorizationPolicyForm, { inputs, waypoints }: Resolving): TargetResult {
  const root = inputs.mesh.rootNamespace;
  if (form.namespace !== root)
    return failed(ref, 'Invalid', `a policy that targets a GatewayClass must be in the root namespace ${root}`);
  if (!isWaypointController(inputs.gatewayClasses.get(ref.name)?.controller))
    return failed(ref, 'Invalid', `GatewayClass ${ref.name} is not a class of waypoints`);
  const attachments = [...waypoints.all.values()]
    .filter((one) => one.className === ref.name)
    .map((one) => ({ waypoint: one.key, listener: undefined }));
  return { ref, reason: 'Accepted', message: `bound to ${ref.name}`, attachments };
}

function resolveGateway(ref: TargetRef, form: AuthorizationPolicyForm, { inputs, waypoints }: Resolving): TargetResult {
  const key = `${form.namespace}/${ref.name}`;
  const waypoint = waypoints.all.get(key);
  if (waypoint === undefined) {
    const exists = inputs.gateways.some((one) => one.namespace === form.namespace && one.name === ref.name);
    return exists
      ? failed(ref, 'AncestorNotBound', `Gateway ${key} is not a waypoint`)
      : failed(ref, 'TargetNotFound', `Gateway ${key} was not found`);
  }
  const attachments = [{ waypoint: key, listener: undefined }];
  if (waypoint.address === undefined)
    return { ref, reason: 'AncestorNotBound', message: `Gateway ${key} has no address yet`, attachments };
  return { ref, reason: 'Accepted', message: `bound to ${key}`, attachments };
}

function resolveService(ref: TargetRef, form: AuthorizationPolicyForm, { byObject }: Resolving): TargetResult {
  const key = `${form.namespace}/${ref.name}`;
  const services = byObject.get(`${ref.kind}/${key}`) ?? [];
  const [first] = services;
  if (first === undefined) return failed(ref, 'TargetNotFound', `${ref.kind} ${key} was not found`);
  const { binding } = first;
  if (binding.kind !== 'bound') return failed(ref, 'AncestorNotBound', `${ref.kind} ${key} is not bound to a waypoint`);
  const attachments = services.map((one) => ({ waypoint: binding.waypoint.key, listener: one.key }));
  return { ref, reason: 'Accepted', message: `bound to ${binding.waypoint.key}`, attachments };
}
