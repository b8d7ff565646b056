/** A destination that requests are sent to (`ambit.l7.v1.Backend`): its endpoints come from WDS, how to talk to them from here. */
export interface Backend {
  readonly namespace: string;
  readonly hostname: string;
  /** STATIC: endpoints of WDS. DNS: all addresses of the host names. DNS_ROUND_ROBIN: one of them. NONE: the original destination. DYNAMIC_DNS: resolve the request's host. */
  readonly resolution: 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN' | 'NONE' | 'DYNAMIC_DNS';
  readonly external: boolean;
  /** SANs of the ServiceEntry. */
  readonly subjectAltNames: readonly string[];
  readonly ports: readonly BackendPort[];
}

export interface BackendPort {
  readonly port: number;
  readonly targetPort: number;
  readonly tls: ClientTls | undefined;
  readonly loadBalancer: 'LEAST_REQUEST' | 'ROUND_ROBIN' | 'RANDOM' | 'PASSTHROUGH';
  readonly pool: ConnectionPool;
}

/** DestinationRule `trafficPolicy.tls`, SIMPLE or MUTUAL. */
export interface ClientTls {
  readonly mode: 'SIMPLE' | 'MUTUAL';
  /** '' = the request's Host. */
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
  /** Path of a CA bundle in the proxy; '' = the secret's, else the system roots. */
  readonly caCertificates: string;
  readonly clientCertificate: string;
  readonly privateKey: string;
  /** `namespace/name` of a Secret delivered on the same stream; '' = none. */
  readonly credential: string;
  readonly insecureSkipVerify: boolean;
}

/** DestinationRule `trafficPolicy.connectionPool`. Times in milliseconds; 0 = the default. */
export interface ConnectionPool {
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRequestsPerConnection: number;
  readonly idleTimeoutMs: number;
  /** DEFAULT follows the port's protocol. */
  readonly h2Upgrade: 'DEFAULT' | 'UPGRADE' | 'DO_NOT_UPGRADE';
}

/** Key material for `credentialName` (`ambit.l7.v1.Credential`). Never logged. */
export interface Credential {
  readonly namespace: string;
  readonly name: string;
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly caCertificates: string;
}
