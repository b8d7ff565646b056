import { ipToBytes } from '../address/ip.ts';
import type { Locality } from '../model/locality.ts';
import type { ApplicationTunnel, PortMap, Workload, WorkloadUid } from '../model/workload.ts';
import type { Unset, WireInput } from '../proto/load.ts';
import { type WireGatewayAddress, decodeIp, decodeOptionalGateway, encodeGatewayAddress } from './network-address.ts';
import { type WirePortList, decodePortMap, encodePortMap } from './port-list.ts';
import { refuse, wireEnum } from './wire-enum.ts';

/** `istio.workload.Workload` as decoded. */
export interface WireWorkload {
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly Uint8Array[];
  readonly network: string;
  readonly tunnelProtocol: number;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly waypoint: WireGatewayAddress | Unset;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: number;
  readonly workloadName: string;
  readonly nativeTunnel: boolean;
  readonly authorizationPolicies: readonly string[];
  readonly status: number;
  readonly clusterId: string;
  readonly networkGateway: WireGatewayAddress | Unset;
  readonly uid: string;
  readonly hostname: string;
  readonly services: Readonly<Record<string, WirePortList>>;
  readonly applicationTunnel: { readonly protocol: number; readonly port: number } | Unset;
  readonly locality: Locality | Unset;
  readonly networkMode: number;
  readonly capacity: { readonly value: number } | Unset;
}

const TUNNEL = wireEnum<Workload['protocol']>('tunnel_protocol', ['TCP', 'HBONE']);
const STATUS = wireEnum<'HEALTHY' | 'UNHEALTHY'>('status', ['HEALTHY', 'UNHEALTHY']);
const NETWORK_MODE = wireEnum<'STANDARD' | 'HOST_NETWORK'>('network_mode', ['STANDARD', 'HOST_NETWORK']);
const APPLICATION_TUNNEL = wireEnum<ApplicationTunnel['protocol']>('application_tunnel.protocol', ['NONE', 'PROXY']);
const WORKLOAD_TYPES = ['deployment', 'cronjob', 'pod', 'job'] as const;

/** Not written when it has this value: peers fill it in. */
const DEFAULT_TRUST_DOMAIN = 'cluster.local';

export function workloadToWire(workload: Workload): WireInput<WireWorkload> {
  const { waypoint, networkGateway, applicationTunnel, capacity } = workload;
  return {
    name: workload.name,
    namespace: workload.namespace,
    addresses: workload.addresses.map(ipToBytes),
    network: workload.network,
    tunnelProtocol: TUNNEL.encode(workload.protocol),
    trustDomain: workload.trustDomain === DEFAULT_TRUST_DOMAIN ? '' : workload.trustDomain,
    serviceAccount: workload.serviceAccount,
    waypoint: waypoint && encodeGatewayAddress(waypoint),
    node: workload.node,
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    workloadType: WORKLOAD_TYPES.indexOf(workload.workloadType),
    workloadName: workload.workloadName,
    nativeTunnel: workload.nativeTunnel,
    authorizationPolicies: workload.authorizationPolicies,
    status: STATUS.encode(workload.healthy ? 'HEALTHY' : 'UNHEALTHY'),
    clusterId: workload.clusterId,
    networkGateway: networkGateway && encodeGatewayAddress(networkGateway),
    uid: workload.uid,
    hostname: workload.hostname,
    services: Object.fromEntries([...workload.services].map(([key, ports]) => [key, encodePortMap(ports)])),
    applicationTunnel: applicationTunnel && {
      protocol: APPLICATION_TUNNEL.encode(applicationTunnel.protocol),
      port: applicationTunnel.port,
    },
    locality: workload.locality,
    networkMode: NETWORK_MODE.encode(workload.hostNetwork ? 'HOST_NETWORK' : 'STANDARD'),
    capacity: capacity === 1 ? undefined : { value: capacity },
  };
}

/** @throws MeshError CONFIG naming the workload and the field that no peer may send. */
export function workloadFromWire(wire: WireWorkload): Workload {
  const resource = `workload ${wire.uid}`;
  return Object.freeze({
    uid: wire.uid as WorkloadUid,
    name: wire.name,
    namespace: wire.namespace,
    addresses: wire.addresses.map((bytes, i) => decodeIp(bytes, resource, `addresses[${i}]`)),
    hostname: wire.hostname,
    network: wire.network,
    protocol: TUNNEL.decode(wire.tunnelProtocol, resource),
    trustDomain: wire.trustDomain || DEFAULT_TRUST_DOMAIN,
    serviceAccount: wire.serviceAccount || 'default',
    node: wire.node,
    canonicalName: wire.canonicalName,
    canonicalRevision: wire.canonicalRevision,
    workloadType: WORKLOAD_TYPES[wire.workloadType] ?? 'deployment',
    workloadName: wire.workloadName,
    nativeTunnel: wire.nativeTunnel,
    waypoint: decodeOptionalGateway(wire.waypoint, resource, 'waypoint'),
    networkGateway: decodeOptionalGateway(wire.networkGateway, resource, 'network_gateway'),
    applicationTunnel: decodeApplicationTunnel(wire, resource),
    authorizationPolicies: wire.authorizationPolicies,
    healthy: STATUS.decode(wire.status, resource) === 'HEALTHY',
    clusterId: wire.clusterId || 'Kubernetes',
    locality: decodeLocality(wire.locality),
    hostNetwork: NETWORK_MODE.decode(wire.networkMode, resource) === 'HOST_NETWORK',
    capacity: wire.capacity ? wire.capacity.value : 1,
    services: decodeServices(wire.services, resource),
  });
}

function decodeApplicationTunnel(wire: WireWorkload, resource: string): ApplicationTunnel | undefined {
  const tunnel = wire.applicationTunnel;
  return tunnel ? { protocol: APPLICATION_TUNNEL.decode(tunnel.protocol, resource), port: tunnel.port } : undefined;
}

const decodeLocality = (wire: Locality | Unset): Locality => ({
  region: wire?.region ?? '',
  zone: wire?.zone ?? '',
  subzone: wire?.subzone ?? '',
});

function decodeServices(wire: WireWorkload['services'], resource: string): ReadonlyMap<string, PortMap> {
  const services = new Map<string, PortMap>();
  for (const [key, list] of Object.entries(wire)) {
    if (!key.includes('/')) refuse(resource, 'services', `key "${key}" is not <namespace>/<hostname>`);
    services.set(key, decodePortMap(list));
  }
  return services;
}
