import type { CidrAddress, NetworkAddress } from './network-address.ts';
import type { GatewayAddress, WeightedWaypoint } from './waypoint.ts';

export type { NetworkAddress };

export type AppProtocol = 'UNKNOWN' | 'HTTP11' | 'HTTP2' | 'GRPC' | 'TCP' | 'TLS';

export interface ServicePort {
  readonly servicePort: number;
  /** 0: a named port, which each endpoint resolves itself. */
  readonly targetPort: number;
  readonly appProtocol: AppProtocol;
}

export type LoadBalancingScope = 'REGION' | 'ZONE' | 'SUBZONE' | 'NODE' | 'CLUSTER' | 'NETWORK';

export interface LoadBalancing {
  readonly mode: 'STANDARD' | 'STRICT' | 'FAILOVER' | 'PASSTHROUGH';
  readonly preferences: readonly LoadBalancingScope[];
  readonly healthPolicy: 'ONLY_HEALTHY' | 'ALLOW_ALL';
}

/** Something that clients address by name or VIP: a Kubernetes Service or one host of a ServiceEntry (`istio.workload.Service`). */
export interface Service {
  readonly name: string;
  readonly namespace: string;
  /** Fully qualified; may be a wildcard such as `*.example.com`. */
  readonly hostname: string;
  readonly vips: readonly NetworkAddress[];
  readonly cidrVips: readonly CidrAddress[];
  readonly ports: readonly ServicePort[];
  /** Further SPIFFE ids that its endpoints may present. */
  readonly subjectAltNames: readonly string[];
  readonly waypoint: GatewayAddress | undefined;
  readonly weightedWaypoints: readonly WeightedWaypoint[];
  readonly loadBalancing: LoadBalancing;
  readonly ipFamilies: 'AUTOMATIC' | 'IPV4' | 'IPV6' | 'DUAL';
  /** Wins over other namespaces' services of the same host or VIP. */
  readonly canonical: boolean;
  readonly visibility: 'PUBLIC' | 'NAMESPACE';
}

/** The key of a service on every wire: `namespace/hostname`. */
export const serviceKey = (namespace: string, hostname: string): string => `${namespace}/${hostname}`;

export const STANDARD_LOAD_BALANCING: LoadBalancing = Object.freeze({
  mode: 'STANDARD',
  preferences: [],
  healthPolicy: 'ONLY_HEALTHY',
});
