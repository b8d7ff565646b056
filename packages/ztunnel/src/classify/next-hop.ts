import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import type { IpAddress } from '@ambit/common/address/ip';
import { parseSpiffe, type SpiffeId, spiffeId } from '@ambit/common/identity/spiffe';
import type { MeshView } from '@ambit/common/mesh/view';
import { type NetworkAddress, type Service, serviceKey } from '@ambit/common/model/service';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import type { Workload, WorkloadUid } from '@ambit/common/model/workload';
import type { ErrorCode } from '@ambit/common/errors';
import type { Fetched, Need } from '../decision.ts';
import { chooseAddress, chooseEndpoint, type ResolutionMode } from './endpoint.ts';

/** What resolving a next hop reads. */
export interface HopContext {
  readonly view: MeshView;
  readonly source: Workload;
  readonly fetched: Fetched;
  readonly random: () => number;
  /** The workload of a next hop that this connection has tried in vain. */
  readonly avoid?: WorkloadUid | undefined;
}

/** One workload chosen to receive the connection. */
export interface Upstream {
  readonly workload: Workload;
  /** Undefined when only its network's gateway can reach it. */
  readonly ip: IpAddress | undefined;
  readonly port: number;
  /** The service it was chosen from; undefined when it was addressed itself. */
  readonly service: Service | undefined;
}

export type Resolved =
  | { readonly kind: 'upstream'; readonly upstream: Upstream }
  | { readonly kind: 'none' }
  | { readonly kind: 'reject'; readonly code: ErrorCode; readonly reason: string }
  | { readonly kind: 'need'; readonly need: Need };

const NONE: Resolved = { kind: 'none' };

/** The workload behind an address: a service's endpoint, else the workload that owns the address. */
export function resolveAddress(
  context: HopContext,
  network: string,
  address: HostPort,
  mode: ResolutionMode,
): Resolved {
  const service = context.view.serviceByAddress(network, address.ip, context.source.namespace);
  if (service !== undefined) {
    if (service.loadBalancing.mode === 'PASSTHROUGH') return NONE;
    return resolveService(context, service, { servicePort: address.port, asked: address.ip, mode });
  }
  const workload = context.view.workloadByAddress(network, address.ip);
  if (workload === undefined) return askOnce(context, `${network}/${address.ip}`) ?? NONE;
  return withAddress(context, { workload, port: address.port, service: undefined }, address.ip);
}

interface ServiceTarget {
  readonly servicePort: number;
  /** The address whose family is preferred. */
  readonly asked: IpAddress;
  readonly mode: ResolutionMode;
}

function resolveService(context: HopContext, service: Service, target: ServiceTarget): Resolved {
  const chosen = chooseEndpoint(context.view, service, {
    ...target,
    source: context.source,
    random: context.random,
    avoid: context.avoid,
  });
  if (chosen === undefined) return NONE;
  return withAddress(context, { ...chosen, service }, target.asked);
}

function withAddress(
  context: HopContext,
  chosen: { workload: Workload; port: number; service: Service | undefined },
  asked: IpAddress,
): Resolved {
  const choice = chooseAddress(chosen.workload, chosen.service, asked, context);
  switch (choice.kind) {
    case 'ip':
      return { kind: 'upstream', upstream: { ...chosen, ip: choice.ip } };
    case 'gateway-only':
      return { kind: 'upstream', upstream: { ...chosen, ip: undefined } };
    case 'unresolved':
      return {
        kind: 'reject',
        code: 'DNS_FAILED',
        reason: `no ip addresses were resolved for workload: ${chosen.workload.uid}`,
      };
    case 'need':
      return choice;
    default:
      return choice satisfies never;
  }
}

/** The waypoint of a service: one of its weighted waypoints at random, else its only one. */
export function serviceWaypoint(service: Service, random: () => number): GatewayAddress | undefined {
  let total = 0;
  for (const { weight } of service.weightedWaypoints) total += weight;
  let point = random() * total;
  for (const { destination, weight } of service.weightedWaypoints) {
    if (weight > 0 && point < weight) return destination;
    point -= weight;
  }
  return service.waypoint;
}

/** Chooses the workload of a waypoint; a missing one is refused, never passed by. */
export function resolveWaypoint(context: HopContext, waypoint: GatewayAddress, asked: IpAddress): Resolved {
  return resolveGateway(context, waypoint, asked, 'waypoint');
}

/** Chooses the workload of another network's gateway. */
export function resolveNetworkGateway(context: HopContext, gateway: GatewayAddress, asked: IpAddress): Resolved {
  return resolveGateway(context, gateway, asked, 'network gateway');
}

function resolveGateway(
  context: HopContext,
  gateway: GatewayAddress,
  asked: IpAddress,
  what: 'waypoint' | 'network gateway',
): Resolved {
  const mode = what === 'waypoint' ? 'waypoint' : 'standard';
  const { destination, port } = gateway;
  const resolved =
    destination.kind === 'hostname'
      ? resolveHostname(context, destination, { servicePort: port, asked, mode })
      : resolveAddress(context, destination.address.network, { ip: destination.address.ip, port }, mode);
  if (resolved.kind !== 'none') return resolved;
  return { kind: 'reject', code: 'NO_HEALTHY_UPSTREAM', reason: `unknown ${what}: ${describeGateway(gateway)}` };
}

function resolveHostname(
  context: HopContext,
  { namespace, hostname }: { readonly namespace: string; readonly hostname: string },
  target: ServiceTarget,
): Resolved {
  const service = context.view.service(namespace, hostname);
  if (service !== undefined) return resolveService(context, service, target);
  const workload = workloadByHostname(context.view, namespace, hostname);
  if (workload !== undefined)
    return withAddress(context, { workload, port: target.servicePort, service: undefined }, target.asked);
  return askOnce(context, serviceKey(namespace, hostname)) ?? NONE;
}

function workloadByHostname(view: MeshView, namespace: string, hostname: string): Workload | undefined {
  for (const workload of view.workloads()) {
    if (workload.hostname === hostname && workload.namespace === namespace) return workload;
  }
  return undefined;
}

function askOnce({ fetched }: HopContext, key: string): Resolved | undefined {
  if (fetched.asked === undefined || fetched.asked.has(key)) return undefined;
  return { kind: 'need', need: { what: 'address', key } };
}

/** True when a workload for which `holds` is behind the gateway reference. */
export function gatewayHas(
  view: MeshView,
  gateway: GatewayAddress | undefined,
  holds: (workload: Workload) => boolean,
): boolean {
  if (gateway === undefined) return false;
  const found = gatewayTarget(view, gateway);
  if (found === undefined) return false;
  if (found.workload !== undefined) return holds(found.workload);
  for (const endpoint of view.endpoints(found.service)) if (holds(endpoint.workload)) return true;
  return false;
}

type GatewayTarget =
  | { readonly workload: Workload; readonly service: undefined }
  | { readonly workload: undefined; readonly service: Service };

function gatewayTarget(view: MeshView, { destination }: GatewayAddress): GatewayTarget | undefined {
  if (destination.kind === 'hostname') {
    const service = view.service(destination.namespace, destination.hostname);
    if (service !== undefined) return { workload: undefined, service };
    const workload = workloadByHostname(view, destination.namespace, destination.hostname);
    return workload === undefined ? undefined : { workload, service: undefined };
  }
  return lookupAddress(view, destination.address, undefined);
}

/** Who owns an address: the workload first, then the service that a client in `namespace` sees there. */
export function lookupAddress(
  view: MeshView,
  { network, ip }: NetworkAddress,
  namespace: string | undefined,
): GatewayTarget | undefined {
  const workload = view.workloadByAddress(network, ip);
  if (workload !== undefined) return { workload, service: undefined };
  const service = view.serviceByAddress(network, ip, namespace);
  return service === undefined ? undefined : { workload: undefined, service };
}

export const workloadIdentity = (workload: Workload): SpiffeId =>
  spiffeId(workload.trustDomain, workload.namespace, workload.serviceAccount);

/** Identities that a service's endpoints may present besides their own. Names that are no SPIFFE ids are left out. */
export function serviceIdentities(service: Service | undefined): SpiffeId[] {
  if (service === undefined) return [];
  return service.subjectAltNames.map(parseSpiffe).filter((id) => id !== undefined);
}

/** All identities that the upstream may present: its service's, then its own. */
export const upstreamIdentities = (upstream: Upstream): SpiffeId[] => [
  ...serviceIdentities(upstream.service),
  workloadIdentity(upstream.workload),
];

/** `<namespace>/<hostname>:port` or `<network>/<ip>:port`, for messages. */
export function describeGateway({ destination, port }: GatewayAddress): string {
  if (destination.kind === 'hostname') return `${serviceKey(destination.namespace, destination.hostname)}:${port}`;
  return `${destination.address.network}/${formatHostPort(destination.address.ip, port)}`;
}
