import type { Backend, BackendPort, ClientTls, ConnectionPool } from '../model/backend.ts';
import { type Unset, type WireInput, message } from '../proto/load.ts';
import { wireEnum } from './wire-enum.ts';

interface WireBackend {
  readonly namespace: string;
  readonly hostname: string;
  readonly resolution: number;
  readonly external: boolean;
  readonly subjectAltNames: readonly string[];
  readonly ports: readonly WireBackendPort[];
}

interface WireBackendPort {
  readonly port: number;
  readonly targetPort: number;
  readonly tls: WireClientTls | Unset;
  readonly loadBalancer: number;
  readonly pool: WireConnectionPool | Unset;
}

type WireClientTls = Omit<ClientTls, 'mode'> & { readonly mode: number };
type WireConnectionPool = Omit<ConnectionPool, 'h2Upgrade'> & { readonly h2Upgrade: number };

const BACKEND = message<WireBackend>('ambit.l7.v1.Backend');
const RESOLUTION = wireEnum<Backend['resolution']>('resolution', [
  'STATIC',
  'DNS',
  'DNS_ROUND_ROBIN',
  'NONE',
  'DYNAMIC_DNS',
]);
const LOAD_BALANCER = wireEnum<BackendPort['loadBalancer']>('ports.load_balancer', [
  'LEAST_REQUEST',
  'ROUND_ROBIN',
  'RANDOM',
  'PASSTHROUGH',
]);
const TLS_MODE = wireEnum<ClientTls['mode']>('ports.tls.mode', ['SIMPLE', 'MUTUAL']);
const H2_UPGRADE = wireEnum<ConnectionPool['h2Upgrade']>('ports.pool.h2_upgrade', [
  'DEFAULT',
  'UPGRADE',
  'DO_NOT_UPGRADE',
]);

/** `ambit.l7.v1.Backend`; its resource name is `namespace/hostname`. */
export const encodeBackend = (backend: Backend): Uint8Array =>
  BACKEND.encode({
    namespace: backend.namespace,
    hostname: backend.hostname,
    resolution: RESOLUTION.encode(backend.resolution),
    external: backend.external,
    subjectAltNames: backend.subjectAltNames,
    ports: backend.ports.map(encodePort),
  });

const encodePort = (port: BackendPort): WireInput<WireBackendPort> => ({
  port: port.port,
  targetPort: port.targetPort,
  tls: port.tls && { ...port.tls, mode: TLS_MODE.encode(port.tls.mode) },
  loadBalancer: LOAD_BALANCER.encode(port.loadBalancer),
  pool: { ...port.pool, h2Upgrade: H2_UPGRADE.encode(port.pool.h2Upgrade) },
});

/** @throws MeshError CONFIG naming the backend and the field at fault. */
export function decodeBackend(bytes: Uint8Array): Backend {
  const wire = BACKEND.decode(bytes);
  const resource = `backend ${wire.namespace}/${wire.hostname}`;
  return Object.freeze({
    namespace: wire.namespace,
    hostname: wire.hostname,
    resolution: RESOLUTION.decode(wire.resolution, resource),
    external: wire.external,
    subjectAltNames: wire.subjectAltNames,
    ports: wire.ports.map((port) => ({
      port: port.port,
      targetPort: port.targetPort,
      tls: port.tls ? decodeTls(port.tls, resource) : undefined,
      loadBalancer: LOAD_BALANCER.decode(port.loadBalancer, resource),
      pool: decodePool(port.pool, resource),
    })),
  });
}

const decodeTls = (wire: WireClientTls, resource: string): ClientTls => ({
  mode: TLS_MODE.decode(wire.mode, resource),
  sni: wire.sni,
  subjectAltNames: wire.subjectAltNames,
  caCertificates: wire.caCertificates,
  clientCertificate: wire.clientCertificate,
  privateKey: wire.privateKey,
  credential: wire.credential,
  insecureSkipVerify: wire.insecureSkipVerify,
});

/** All defaults. */
const UNSET_POOL: WireConnectionPool = {
  maxConnections: 0,
  connectTimeoutMs: 0,
  maxPendingRequests: 0,
  maxRequests: 0,
  maxRequestsPerConnection: 0,
  idleTimeoutMs: 0,
  h2Upgrade: 0,
};

function decodePool(wire: WireConnectionPool | Unset, resource: string): ConnectionPool {
  const pool = wire ?? UNSET_POOL;
  return {
    maxConnections: pool.maxConnections,
    connectTimeoutMs: pool.connectTimeoutMs,
    maxPendingRequests: pool.maxPendingRequests,
    maxRequests: pool.maxRequests,
    maxRequestsPerConnection: pool.maxRequestsPerConnection,
    idleTimeoutMs: pool.idleTimeoutMs,
    h2Upgrade: H2_UPGRADE.decode(pool.h2Upgrade, resource),
  };
}
