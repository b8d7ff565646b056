import type { BackendPort, ClientTls, ConnectionPool } from '@ambit/common/model/backend';
import type { KubeObject } from '../collections/object.ts';
import {
  type ClientTlsSettings,
  type ConnectionPoolSettings,
  destinationRuleSpec,
  durationMs,
  type PortTrafficPolicy,
} from '../files/schema/destination-rule.ts';
import { read } from '../files/schema/schema.ts';
import { memoized } from './memoized.ts';

/** How to talk to one port. */
export interface TrafficForm {
  readonly tls: ClientTls | undefined;
  readonly loadBalancer: BackendPort['loadBalancer'];
  readonly pool: ConnectionPool;
}

export interface DestinationRuleForm {
  readonly object: KubeObject;
  readonly namespace: string;
  /** As written; a short name is completed by who asks. */
  readonly host: string;
  /** Namespaces that may use it: `*` all, `.` its own. */
  readonly exportTo: readonly string[];
  /** Settings of a port: portLevelSettings replace the general ones area by area. */
  forPort(port: number): TrafficForm;
}

/** Undefined for a rule that is for selected workloads only: waypoints are never selected. */
export const ingestDestinationRule: (rule: KubeObject) => DestinationRuleForm | undefined = memoized((rule) => {
  const spec = read(destinationRuleSpec, rule.spec);
  if (spec === undefined || spec.workloadSelector !== undefined) return undefined;
  const general = spec.trafficPolicy ?? {};
  const ports = new Map<number, PortTrafficPolicy>();
  for (const { port, ...settings } of spec.trafficPolicy?.portLevelSettings ?? [])
    if (port?.number !== undefined) ports.set(port.number, settings);
  const namespace = rule.metadata.namespace ?? 'default';
  return {
    object: rule,
    namespace,
    host: spec.host,
    exportTo: spec.exportTo ?? ['*'],
    forPort: (port) => trafficOf({ ...general, ...ports.get(port) }),
  };
});

const trafficOf = (policy: PortTrafficPolicy): TrafficForm => ({
  tls: tlsOf(policy.tls),
  loadBalancer: loadBalancerOf(policy.loadBalancer?.simple),
  pool: poolOf(policy.connectionPool),
});

export const DEFAULT_TRAFFIC: TrafficForm = Object.freeze({
  tls: undefined,
  loadBalancer: 'LEAST_REQUEST',
  pool: poolOf(undefined),
});

type Simple = NonNullable<NonNullable<PortTrafficPolicy['loadBalancer']>['simple']>;

const BALANCERS: Readonly<Record<Simple, BackendPort['loadBalancer']>> = {
  UNSPECIFIED: 'LEAST_REQUEST',
  LEAST_CONN: 'LEAST_REQUEST',
  LEAST_REQUEST: 'LEAST_REQUEST',
  RANDOM: 'RANDOM',
  ROUND_ROBIN: 'ROUND_ROBIN',
  PASSTHROUGH: 'PASSTHROUGH',
};

const loadBalancerOf = (simple: Simple = 'UNSPECIFIED'): BackendPort['loadBalancer'] => BALANCERS[simple];

function poolOf(settings: ConnectionPoolSettings | undefined): ConnectionPool {
  const { tcp = {}, http = {} } = settings ?? {};
  return {
    maxConnections: tcp.maxConnections ?? 0,
    connectTimeoutMs: durationMs(tcp.connectTimeout),
    maxPendingRequests: http.http1MaxPendingRequests ?? 0,
    maxRequests: http.http2MaxRequests ?? 0,
    maxRequestsPerConnection: http.maxRequestsPerConnection ?? 0,
    idleTimeoutMs: durationMs(http.idleTimeout ?? tcp.idleTimeout),
    h2Upgrade: http.h2UpgradePolicy ?? 'DEFAULT',
  };
}

/** DISABLE and ISTIO_MUTUAL add no TLS of their own: HBONE is mutually authenticated already. The credential's namespace is the proxy's. */
function tlsOf(settings: ClientTlsSettings | undefined): ClientTls | undefined {
  if (settings?.mode !== 'SIMPLE' && settings?.mode !== 'MUTUAL') return undefined;
  return {
    mode: settings.mode,
    sni: settings.sni ?? '',
    subjectAltNames: settings.subjectAltNames ?? [],
    caCertificates: settings.caCertificates ?? '',
    clientCertificate: settings.clientCertificate ?? '',
    privateKey: settings.privateKey ?? '',
    credential: settings.credentialName ?? '',
    insecureSkipVerify: settings.insecureSkipVerify ?? false,
  };
}
