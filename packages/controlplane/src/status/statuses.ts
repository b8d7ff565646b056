import type { KubeObject } from '../collections/object.ts';
import type { Mesh } from '../derive/mesh.ts';
import { NO_BINDING } from '../derive/waypoints.ts';
import { BUILT_IN_CLASSES } from '../provision/gateway-class.ts';
import { isProvisioned, renderedName } from '../provision/waypoint.ts';
import { list, object, read, text } from '../files/schema/schema.ts';
import type { AuthorizationPolicyForm } from '../ingest/authorization-policy.ts';
import type { GatewayForm } from '../ingest/gateway.ts';
import { bindingConditions, missingWaypoint, WAYPOINT_BOUND, WAYPOINT_MISSING } from './binding-status.ts';
import { type Condition, conditionsSchema, type TimedCondition } from './conditions.ts';
import {
  GATEWAY_CONDITIONS,
  type GatewayAddressStatus,
  gatewayConditions,
  listenerStatuses,
  waypointAddresses,
} from './gateway-status.ts';
import { WAYPOINT_ACCEPTED, waypointCondition, ZTUNNEL_ACCEPTED, ztunnelCondition } from './policy-status.ts';
import type { StatusWriter, WantedStatus } from './writer.ts';

const BINDING = new Set([WAYPOINT_BOUND, WAYPOINT_MISSING]);
const POLICY = new Set([ZTUNNEL_ACCEPTED, WAYPOINT_ACCEPTED]);
const CLASS = new Set(['Accepted']);

/** The statuses of everything whose status follows from the mesh alone. */
export function* meshStatuses({ inputs, bindings }: Mesh): Generator<WantedStatus> {
  const { services, workloads } = bindings;
  for (const { object } of inputs.services)
    yield {
      object,
      owned: BINDING,
      conditions: bindingConditions(object, services.bindings.get(object) ?? NO_BINDING),
    };
  for (const entry of inputs.serviceEntries) {
    const { object } = entry;
    const binding = services.bindings.get(object) ?? NO_BINDING;
    const conditions = [...bindingConditions(object, binding), ...missingWaypoint(entry, binding)];
    yield { object, owned: BINDING, conditions };
  }
  for (const [{ object }, binding] of workloads.entryBindings)
    yield { object, owned: BINDING, conditions: bindingConditions(object, binding) };
  for (const form of inputs.policies)
    yield { object: form.object, owned: POLICY, conditions: policyConditions(form, bindings) };
  for (const { name } of BUILT_IN_CLASSES) {
    const gatewayClass = inputs.gatewayClasses.get(name)?.object;
    if (gatewayClass !== undefined) yield classStatus(gatewayClass);
  }
}

function policyConditions(form: AuthorizationPolicyForm, { l4, targets }: Mesh['bindings']): Condition[] {
  const outcome = l4.outcomes.get(form);
  const ztunnel = outcome === undefined ? [] : [ztunnelCondition(form, outcome)];
  const waypoint = waypointCondition(form, targets.get(form) ?? []);
  return waypoint === undefined ? ztunnel : [...ztunnel, waypoint];
}

const classStatus = (gatewayClass: KubeObject): WantedStatus => ({
  object: gatewayClass,
  owned: CLASS,
  conditions: [
    {
      type: 'Accepted',
      status: 'True',
      reason: 'Accepted',
      message: 'Handled by Ambit',
      observedGeneration: gatewayClass.metadata.generation ?? 1,
    },
  ],
});

/** The status of each waypoint's Gateway, from its Service and its pods. */
export function* gatewayStatuses(
  { inputs }: Mesh,
  findService: (namespace: string, name: string) => KubeObject | undefined,
  writer: StatusWriter,
): Generator<WantedStatus> {
  for (const gateway of inputs.gateways) {
    if (!isProvisioned(gateway)) continue;
    const service = findService(gateway.namespace, renderedName(gateway));
    const ready = inputs.pods.some(
      (pod) =>
        pod.healthy &&
        pod.namespace === gateway.namespace &&
        pod.labels['gateway.networking.k8s.io/gateway-name'] === gateway.name,
    );
    const known = gateway.hostname !== undefined || gateway.ip !== undefined;
    const addresses = service !== undefined && (ready || known) ? waypointAddresses(service, inputs.clusterDomain) : [];
    yield gatewayStatus(gateway, addresses, writer);
  }
}

/** Addresses, once reported, stay: clients hold on to them while the pod is replaced. */
function gatewayStatus(
  gateway: GatewayForm,
  addresses: readonly GatewayAddressStatus[],
  writer: StatusWriter,
): WantedStatus {
  const before = read(listenersSchema, gateway.object.status?.['listeners'] ?? []) ?? [];
  const reported = gateway.object.status?.['addresses'];
  const kept = addresses.length === 0 && Array.isArray(reported) ? reported : addresses;
  return {
    object: gateway.object,
    owned: GATEWAY_CONDITIONS,
    conditions: gatewayConditions(gateway, kept),
    fields: {
      addresses: kept.length === 0 ? undefined : kept,
      listeners: listenerStatuses(gateway).map((one) => ({
        ...one,
        conditions: writer.timed(before.find(({ name }) => name === one.name)?.conditions ?? [], one.conditions),
      })),
    },
  };
}

const listenersSchema = list(
  object<{ name: string; conditions: readonly TimedCondition[] }>({ name: text, conditions: conditionsSchema }),
);
