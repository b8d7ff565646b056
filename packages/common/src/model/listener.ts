import type { CidrAddress, NetworkAddress } from './network-address.ts';

/** What a waypoint serves for one service that is bound to it (`ambit.l7.v1.Listener`). */
export interface Listener {
  readonly namespace: string;
  readonly hostname: string;
  /** Name of the Service or ServiceEntry: the metric label `destination_service_name` is derived from it. */
  readonly name: string;
  readonly kind: 'Service' | 'ServiceEntry';
  readonly addresses: readonly NetworkAddress[];
  /** Ranges of a ServiceEntry: every address inside belongs to it, unless a single address or a longer range says otherwise. */
  readonly cidrAddresses: readonly CidrAddress[];
  readonly ports: readonly ListenerPort[];
}

/** AUTO is sniffed: HTTP/1, HTTP/2 or opaque bytes. */
export type ListenerProtocol = 'HTTP' | 'HTTP2' | 'GRPC' | 'TCP' | 'TLS' | 'AUTO';

export interface ListenerPort {
  readonly port: number;
  readonly name: string;
  readonly protocol: ListenerProtocol;
}

/** The waypoint itself and what MeshConfig says to it (`ambit.l7.v1.Proxy`). */
export interface ProxySettings {
  readonly namespace: string;
  readonly name: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly accessLog: 'TEXT' | 'JSON' | 'OFF';
  /** MeshConfig.pathNormalization. */
  readonly pathNormalization: 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';
  /** Value of the `server` response header; '' passes the backend's. */
  readonly serverHeader: string;
}
