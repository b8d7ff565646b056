import { parseSpiffe } from '../identity/spiffe.ts';
import {
  type AppProtocol,
  type LoadBalancing,
  type LoadBalancingScope,
  STANDARD_LOAD_BALANCING,
  type Service,
} from '../model/service.ts';
import type { Unset, WireInput } from '../proto/load.ts';
import {
  type WireGatewayAddress,
  type WireNetworkAddress,
  decodeAddresses,
  decodeOptionalGateway,
  encodeAddresses,
  encodeGatewayAddress,
} from './network-address.ts';
import type { WirePort } from './port-list.ts';
import { refuse, wireEnum } from './wire-enum.ts';

/** `istio.workload.Service` as decoded. */
export interface WireService {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly addresses: readonly WireNetworkAddress[];
  readonly ports: readonly WirePort[];
  readonly subjectAltNames: readonly string[];
  readonly waypoint: WireGatewayAddress | Unset;
  readonly loadBalancing: WireLoadBalancing | Unset;
  readonly ipFamilies: number;
  readonly canonical: boolean;
  readonly weightedWaypoints: readonly { readonly destination: WireGatewayAddress | Unset; readonly weight: number }[];
  readonly visibility: number;
}

interface WireLoadBalancing {
  readonly routingPreference: readonly number[];
  readonly mode: number;
  readonly healthPolicy: number;
}

const FAMILIES = wireEnum<Service['ipFamilies']>('ip_families', ['AUTOMATIC', 'IPV4', 'IPV6', 'DUAL']);
const APP_PROTOCOLS = ['UNKNOWN', 'HTTP11', 'HTTP2', 'GRPC', 'TCP', 'TLS'] as const satisfies readonly AppProtocol[];
const SCOPE = wireEnum<LoadBalancingScope>('load_balancing.routing_preference', [
  undefined,
  'REGION',
  'ZONE',
  'SUBZONE',
  'NODE',
  'CLUSTER',
  'NETWORK',
]);
const MODE = wireEnum<LoadBalancing['mode']>('load_balancing.mode', ['STANDARD', 'STRICT', 'FAILOVER', 'PASSTHROUGH']);
const HEALTH = wireEnum<LoadBalancing['healthPolicy']>('load_balancing.health_policy', ['ONLY_HEALTHY', 'ALLOW_ALL']);
const NAMESPACE_VISIBILITY = 1;

export function serviceToWire(service: Service): WireInput<WireService> {
  const { loadBalancing: balancing, waypoint } = service;
  const standard = balancing.mode === 'STANDARD' && balancing.healthPolicy === 'ONLY_HEALTHY';
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: encodeAddresses(service.vips, service.cidrVips),
    ports: service.ports.map((port) => ({
      servicePort: port.servicePort,
      targetPort: port.targetPort,
      appProtocol: APP_PROTOCOLS.indexOf(port.appProtocol),
    })),
    subjectAltNames: service.subjectAltNames,
    waypoint: waypoint && encodeGatewayAddress(waypoint),
    loadBalancing:
      standard && balancing.preferences.length === 0
        ? undefined
        : {
            routingPreference: balancing.preferences.map((scope) => SCOPE.encode(scope)),
            mode: MODE.encode(balancing.mode),
            healthPolicy: HEALTH.encode(balancing.healthPolicy),
          },
    ipFamilies: FAMILIES.encode(service.ipFamilies),
    canonical: service.canonical,
    weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
      destination: encodeGatewayAddress(destination),
      weight,
    })),
    visibility: service.visibility === 'NAMESPACE' ? NAMESPACE_VISIBILITY : 0,
  };
}

/** @throws MeshError CONFIG naming the service and the field that no peer may send. */
export function serviceFromWire(wire: WireService): Service {
  const resource = `service ${wire.namespace}/${wire.hostname}`;
  const { addresses, cidrAddresses } = decodeAddresses(wire.addresses, resource);
  return Object.freeze({
    name: wire.name,
    namespace: wire.namespace,
    hostname: wire.hostname,
    vips: addresses,
    cidrVips: cidrAddresses,
    ports: wire.ports.map((port) => ({
      servicePort: port.servicePort,
      targetPort: port.targetPort,
      appProtocol: APP_PROTOCOLS[port.appProtocol] ?? 'UNKNOWN',
    })),
    // Istio's agent skips what is no SPIFFE id here: it could never match a peer.
    subjectAltNames: wire.subjectAltNames.filter((name) => parseSpiffe(name) !== undefined),
    waypoint: decodeOptionalGateway(wire.waypoint, resource, 'waypoint'),
    weightedWaypoints: wire.weightedWaypoints.map(({ destination, weight }, i) => ({
      destination:
        decodeOptionalGateway(destination, resource, `weighted_waypoints[${i}].destination`) ??
        refuse(resource, `weighted_waypoints[${i}]`, 'has no destination'),
      weight,
    })),
    loadBalancing: wire.loadBalancing ? decodeLoadBalancing(wire.loadBalancing, resource) : STANDARD_LOAD_BALANCING,
    ipFamilies: FAMILIES.decode(wire.ipFamilies, resource),
    canonical: wire.canonical,
    visibility: wire.visibility === NAMESPACE_VISIBILITY ? 'NAMESPACE' : 'PUBLIC',
  });
}

const decodeLoadBalancing = (wire: WireLoadBalancing, resource: string): LoadBalancing => ({
  mode: MODE.decode(wire.mode, resource),
  preferences: wire.routingPreference.map((scope) => SCOPE.decode(scope, resource)),
  healthPolicy: HEALTH.decode(wire.healthPolicy, resource),
});
