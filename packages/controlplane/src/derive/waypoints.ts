import type { GatewayAddress } from '@ambit/common/model/waypoint';
import { WAYPOINT_CLASSES } from '../provision/gateway-class.ts';
import type { GatewayForm } from '../ingest/gateway.ts';
import { type Labels, matchesSelector } from '../ingest/labels.ts';
import type { Inputs } from './inputs.ts';

export type TrafficType = 'service' | 'workload';

/** A Gateway that objects may name with `istio.io/use-waypoint`. */
export interface Waypoint {
  readonly namespace: string;
  readonly name: string;
  /** `namespace/name`: how it is named in statuses, and as the audience of its resources. */
  readonly key: string;
  readonly className: string;
  readonly serves: 'service' | 'workload' | 'all' | 'none';
  /** Undefined until its status has an address. */
  readonly address: GatewayAddress | undefined;
  readonly gateway: GatewayForm;
}

export type BindingFailure = 'WaypointIsNotReady' | 'AttachmentDenied' | 'UnsupportedTrafficType';

/** What an object's labels, or its namespace's, come to. */
export type Binding =
  | { readonly kind: 'none' }
  | { readonly kind: 'bound'; readonly waypoint: Waypoint; readonly address: GatewayAddress }
  | { readonly kind: 'failed'; readonly reason: BindingFailure; readonly message: string };

export const NO_BINDING: Binding = Object.freeze({ kind: 'none' });

export interface Waypoints {
  /** All Gateways of a waypoint class, and others that have an address; by `namespace/name`. */
  readonly all: ReadonlyMap<string, Waypoint>;
  /** Which waypoint the traffic of this object goes through. */
  bind(object: { readonly namespace: string; readonly labels: Labels | undefined }, traffic: TrafficType): Binding;
}

/** HBONE is spoken to a waypoint on this port whatever its listeners say. */
const HBONE_PORT = 15_008;

export function deriveWaypoints(inputs: Inputs): Waypoints {
  const all = new Map<string, Waypoint>();
  for (const gateway of inputs.gateways) {
    const waypoint = waypointOf(gateway, inputs);
    if (WAYPOINT_CLASSES.has(gateway.className) || waypoint.address !== undefined) all.set(waypoint.key, waypoint);
  }
  return {
    all,
    bind: ({ namespace, labels }, traffic) => {
      const own = wantedWaypoint(labels, namespace);
      const key = own ?? wantedWaypoint(inputs.namespaces.get(namespace)?.metadata.labels, namespace);
      if (key === undefined || key === 'none') return NO_BINDING;
      const binding = attach(all.get(key), key, { namespace, traffic, inputs });
      const mismatch = binding.kind === 'failed' && binding.reason === 'UnsupportedTrafficType';
      return mismatch && traffic === 'workload' && own === undefined ? NO_BINDING : binding;
    },
  };
}

/** `namespace/name` that the labels ask for, `none` when they opt out, undefined when they say nothing. */
function wantedWaypoint(labels: Labels | undefined, namespace: string): string | undefined {
  const name = labels?.['istio.io/use-waypoint'];
  if (name === undefined || name === 'none') return name;
  return `${labels?.['istio.io/use-waypoint-namespace'] ?? namespace}/${name}`;
}

function waypointOf(gateway: GatewayForm, inputs: Inputs): Waypoint {
  const labels = gateway.object.metadata.labels;
  const classLabels = inputs.gatewayClasses.get(gateway.className)?.object.metadata.labels;
  return {
    namespace: gateway.namespace,
    name: gateway.name,
    key: `${gateway.namespace}/${gateway.name}`,
    className: gateway.className,
    serves: servesOf(labels?.['istio.io/waypoint-for'] ?? classLabels?.['istio.io/waypoint-for']),
    address: addressOf(gateway, inputs.network),
    gateway,
  };
}

function servesOf(label: string | undefined): Waypoint['serves'] {
  return label === 'workload' || label === 'all' || label === 'none' ? label : 'service';
}

function addressOf({ hostname, ip, namespace }: GatewayForm, network: string): GatewayAddress | undefined {
  if (hostname !== undefined) return { destination: { kind: 'hostname', namespace, hostname }, port: HBONE_PORT };
  if (ip !== undefined) return { destination: { kind: 'address', address: { network, ip } }, port: HBONE_PORT };
  return undefined;
}

function attach(
  waypoint: Waypoint | undefined,
  key: string,
  by: { readonly namespace: string; readonly traffic: TrafficType; readonly inputs: Inputs },
): Binding {
  if (waypoint?.address === undefined) {
    const state = waypoint === undefined ? 'there is no such Gateway' : 'its Gateway has no address yet';
    return failed('WaypointIsNotReady', `waypoint "${key}" is not ready: ${state}`);
  }
  if (!allows(waypoint, by.namespace, by.inputs))
    return failed(
      'AttachmentDenied',
      `waypoint "${key}" does not admit namespace ${by.namespace}: see allowedRoutes.namespaces of its listener`,
    );
  if (waypoint.serves !== 'all' && waypoint.serves !== by.traffic)
    return failed(
      'UnsupportedTrafficType',
      `waypoint "${key}" does not handle ${by.traffic} traffic: its label istio.io/waypoint-for says ${waypoint.serves}`,
    );
  return { kind: 'bound', waypoint, address: waypoint.address };
}

const failed = (reason: BindingFailure, message: string): Binding => ({ kind: 'failed', reason, message });

/** allowedRoutes of the HBONE listener; without one, only the Gateway's own namespace may use it. */
function allows({ gateway }: Waypoint, namespace: string, inputs: Inputs): boolean {
  const listener = gateway.listeners.find((one) => one.port === HBONE_PORT && one.protocol === 'HBONE');
  const { from = 'Same', selector = {} } = listener?.allowedRoutes?.namespaces ?? {};
  if (from === 'All') return true;
  if (from === 'Same') return gateway.namespace === namespace;
  return matchesSelector(selector, inputs.namespaces.get(namespace)?.metadata.labels);
}
