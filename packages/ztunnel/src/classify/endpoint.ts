import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import type { Endpoint, MeshView } from '@ambit/common/mesh/view';
import type { LoadBalancing, LoadBalancingScope, Service, ServicePort } from '@ambit/common/model/service';
import type { Workload, WorkloadUid } from '@ambit/common/model/workload';
import type { Fetched, Need } from '../decision.ts';

/** Standard: the service must define the port. Waypoint: an endpoint with an application tunnel takes any port. */
export type ResolutionMode = 'standard' | 'waypoint';

/** What one client asks of one service. */
export interface EndpointRequest {
  readonly source: Workload;
  readonly servicePort: number;
  readonly mode: ResolutionMode;
  readonly random: () => number;
  /** An endpoint that this connection has tried in vain. */
  readonly avoid?: WorkloadUid | undefined;
}

export interface ChosenEndpoint {
  readonly workload: Workload;
  /** Port to dial at the workload. */
  readonly port: number;
}

/** Picks one endpoint of a service by locality preference, then at random by capacity; undefined when none is usable. */
export function chooseEndpoint(view: MeshView, service: Service, request: EndpointRequest): ChosenEndpoint | undefined {
  const port = service.ports.find((one) => one.servicePort === request.servicePort);
  if (port === undefined && request.mode === 'standard') return undefined;
  const eligible: Endpoint[] = [];
  for (const endpoint of view.endpoints(service)) {
    if (isEligible(endpoint, port, request)) eligible.push(endpoint);
  }
  const chosen = pickByCapacity(preferred(eligible, service.loadBalancing, request.source), request.random);
  if (chosen === undefined) return undefined;
  const target = targetPort(chosen, port, request.servicePort);
  return target === undefined ? undefined : { workload: chosen.workload, port: target };
}

function isEligible(endpoint: Endpoint, port: ServicePort | undefined, request: EndpointRequest): boolean {
  const { workload, ports } = endpoint;
  if (workload.uid === request.avoid) return false;
  const reachable = workload.addresses.length > 0 || workload.hostname !== '';
  const behindGateway = workload.network !== request.source.network && workload.networkGateway !== undefined;
  if (!reachable && !behindGateway) return false;
  if (port === undefined) return workload.applicationTunnel !== undefined;
  return request.mode === 'waypoint' || port.targetPort !== 0 || (ports.get(port.servicePort) ?? 0) !== 0;
}

/** The endpoint's own mapping, else the service's; an application tunnel takes the service port as it is. */
function targetPort(endpoint: Endpoint, port: ServicePort | undefined, servicePort: number): number | undefined {
  const own = endpoint.ports.get(servicePort) ?? 0;
  if (own !== 0) return own;
  if (port !== undefined && port.targetPort !== 0) return port.targetPort;
  return (endpoint.workload.applicationTunnel?.port ?? 0) === 0 ? undefined : servicePort;
}

/** The endpoints that share the best score. STRICT keeps only those that match every preference. */
function preferred(endpoints: readonly Endpoint[], balancing: LoadBalancing, source: Workload): readonly Endpoint[] {
  if (balancing.mode !== 'STRICT' && balancing.mode !== 'FAILOVER') return endpoints;
  let best = -1;
  let kept: Endpoint[] = [];
  for (const endpoint of endpoints) {
    const { matched, score } = rank(balancing.preferences, source, endpoint.workload);
    if (balancing.mode === 'STRICT' && matched !== balancing.preferences.length) continue;
    if (score > best) {
      best = score;
      kept = [];
    }
    if (score === best) kept.push(endpoint);
  }
  return kept;
}

/**
 * One point for each preference that matches, up to the first that does not. NETWORK in first place is worth as much as all
 * the others together when it matches, and does not end the walk when it does not.
 */
function rank(
  preferences: readonly LoadBalancingScope[],
  source: Workload,
  target: Workload,
): { matched: number; score: number } {
  let matched = 0;
  let bonus = 0;
  for (const [index, scope] of preferences.entries()) {
    const networkFirst = index === 0 && scope === 'NETWORK';
    if (matches(scope, source, target)) {
      matched++;
      if (networkFirst) bonus = preferences.length - 1;
    } else if (!networkFirst) break;
  }
  return { matched, score: matched + bonus };
}

function matches(scope: LoadBalancingScope, source: Workload, target: Workload): boolean {
  switch (scope) {
    case 'REGION':
      return source.locality.region === target.locality.region;
    case 'ZONE':
      return source.locality.zone === target.locality.zone;
    case 'SUBZONE':
      return source.locality.subzone === target.locality.subzone;
    case 'NODE':
      return source.node === target.node;
    case 'CLUSTER':
      return source.clusterId === target.clusterId;
    case 'NETWORK':
      return source.network === target.network;
    default:
      return scope satisfies never;
  }
}

/** Random in proportion to capacity; capacity 0 is never chosen. */
function pickByCapacity(endpoints: readonly Endpoint[], random: () => number): Endpoint | undefined {
  let total = 0;
  for (const { workload } of endpoints) total += workload.capacity;
  let point = random() * total;
  for (const endpoint of endpoints) {
    const { capacity } = endpoint.workload;
    if (capacity > 0 && point < capacity) return endpoint;
    point -= capacity;
  }
  return undefined;
}

export type AddressChoice =
  | { readonly kind: 'ip'; readonly ip: IpAddress }
  /** Reachable only through the gateway of its network. */
  | { readonly kind: 'gateway-only' }
  | { readonly kind: 'unresolved' }
  | { readonly kind: 'need'; readonly need: Need };

/**
 * Which address of the workload to dial: the one asked for when it is the workload's, else one of the families its service
 * allows, the asked family first; else its host name, resolved.
 */
export function chooseAddress(
  workload: Workload,
  service: Service | undefined,
  asked: IpAddress,
  context: { readonly fetched: Fetched; readonly random: () => number },
): AddressChoice {
  if (workload.addresses.includes(asked)) return { kind: 'ip', ip: asked };
  const allowed = workload.addresses.filter((ip) => familyAllowed(service, ip));
  const ip = allowed.find((one) => isV6(one) === isV6(asked)) ?? allowed[0];
  if (ip !== undefined) return { kind: 'ip', ip };
  if (workload.hostname !== '') return resolvedAddress(workload, asked, context);
  return workload.networkGateway === undefined ? { kind: 'unresolved' } : { kind: 'gateway-only' };
}

function familyAllowed(service: Service | undefined, ip: IpAddress): boolean {
  if (service === undefined) return true;
  if (service.ipFamilies === 'IPV4') return !isV6(ip);
  if (service.ipFamilies === 'IPV6') return isV6(ip);
  return true;
}

function resolvedAddress(
  workload: Workload,
  asked: IpAddress,
  { fetched, random }: { readonly fetched: Fetched; readonly random: () => number },
): AddressChoice {
  const all = fetched.resolved.get(workload.hostname);
  if (all === undefined)
    return { kind: 'need', need: { what: 'dns', hostname: workload.hostname, workload: workload.uid } };
  const sameFamily = all.filter((one) => isV6(one) === isV6(asked));
  const candidates = sameFamily.length > 0 ? sameFamily : all;
  const ip = candidates[Math.floor(random() * candidates.length)];
  return ip === undefined ? { kind: 'unresolved' } : { kind: 'ip', ip };
}
