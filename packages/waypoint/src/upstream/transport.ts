import { connect, type Socket } from 'node:net';
import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isV6, parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import { toDuplex } from '@ambit/common/net/duplex';
import { socketStream } from '@ambit/common/net/socket-stream';
import type { HbonePool, Tunnel } from '@ambit/hbone/index';
import { Headers } from '@ambit/http/headers';
import type { UpstreamConnection, UpstreamEndpoint } from './contract.ts';
import type { TlsMaterial } from './tls-material.ts';
import { expectedNames, originateTls } from './tls-origination.ts';

const HBONE_PORT = 15_008;
const CONNECT_TIMEOUT_MS = 10_000;

/** How bytes leave this program. */
export interface TransportOptions {
  readonly hbone: Pick<HbonePool, 'open'>;
  /** The waypoint's own certificate: a waypoint speaks for itself, never for its callers. */
  readonly identity: () => Promise<Credentials>;
  /** The waypoint's own addresses. */
  readonly sources: readonly IpAddress[];
  readonly material: TlsMaterial;
  /** Said once per backend. */
  readonly onUncheckedName: (endpoint: UpstreamEndpoint, message: string) => void;
}

/** What the connection is for. */
export interface TransportRequest {
  /** Host of the request without port; undefined for opaque bytes. */
  readonly host: string | undefined;
  readonly protocol: 'http/1.1' | 'h2' | undefined;
  readonly signal: AbortSignal;
}

/**
 * TCP, TLS, HBONE, or TLS inside HBONE, as one connection. Rejects with a MeshError within the pool's connect timeout:
 *
 *     endpoint.viaHbone ── no ──► TCP to address ─────────────────┬─► endpoint.tls? ─► TLS ─► stream
 *         └── yes ──► HBONE to ip:15008, CONNECT address ─────────┘
 */
export async function openTransport(
  options: TransportOptions,
  endpoint: UpstreamEndpoint,
  request: TransportRequest,
): Promise<UpstreamConnection> {
  const timeoutMs = endpoint.pool.connectTimeoutMs === 0 ? CONNECT_TIMEOUT_MS : endpoint.pool.connectTimeoutMs;
  const deadline = new AbortController();
  const cancel = (): void => deadline.abort(request.signal.reason);
  request.signal.addEventListener('abort', cancel, { once: true });
  const timer = setTimeout(() => deadline.abort(timeout(endpoint, timeoutMs)), timeoutMs);
  try {
    if (request.signal.aborted) cancel();
    deadline.signal.throwIfAborted();
    return await open(options, endpoint, { ...request, signal: deadline.signal });
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener('abort', cancel);
  }
}

const timeout = (endpoint: UpstreamEndpoint, ms: number): MeshError =>
  endpoint.viaHbone
    ? new MeshError('HBONE_TIMEOUT', `no HBONE tunnel to ${describe(endpoint)} within ${ms / 1000} s`)
    : new MeshError('CONNECT_TIMEOUT', `no connection to ${describe(endpoint)} within ${ms / 1000} s`);

async function open(
  options: TransportOptions,
  endpoint: UpstreamEndpoint,
  request: TransportRequest,
): Promise<UpstreamConnection> {
  if (endpoint.viaHbone) {
    const tunnel = await openTunnel(options, endpoint, request.signal);
    if (endpoint.tls === undefined) return { stream: tunnel, local: tunnel.local };
    return { stream: await secure(options, endpoint, request, toDuplex(tunnel)), local: tunnel.local };
  }
  const socket = await dial(endpoint, request.signal);
  const local = localOf(socket);
  if (endpoint.tls === undefined) return { stream: socketStream(socket), local };
  return { stream: await secure(options, endpoint, request, socket), local };
}

async function openTunnel(options: TransportOptions, endpoint: UpstreamEndpoint, signal: AbortSignal): Promise<Tunnel> {
  const { identity, address } = endpoint;
  if (identity === undefined) {
    throw new MeshError('NO_IDENTITY', `${endpoint.label} is in the mesh, but its identity is unknown`);
  }
  const credentials = await unlessAborted(options.identity(), signal);
  const source = sourceFor(options.sources, address.ip);
  if (source === undefined) {
    throw new MeshError('CONNECT_REFUSED', `the waypoint has no address of the family of ${endpoint.label}`);
  }
  const target = { address: { ip: address.ip, port: HBONE_PORT }, accept: [identity], source };
  return options.hbone.open(credentials, target, { authority: endpoint.label, headers: new Headers() }, signal);
}

/** Certificates come from a CA that may be slow: the deadline holds there, too. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

const sourceFor = (sources: readonly IpAddress[], ip: IpAddress): IpAddress | undefined =>
  sources.find((source) => isV6(source) === isV6(ip));

/** Connects a TCP socket; rejects with CONNECT_REFUSED, CONNECT_TIMEOUT or the signal's reason. */
function dial(endpoint: UpstreamEndpoint, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { ip, port } = endpoint.address;
  const socket = connect({ host: ip, port, allowHalfOpen: true });
  const cleanUp = (): void => {
    signal.removeEventListener('abort', onAbort);
    socket.off('error', onError).off('connect', onConnect);
  };
  const onConnect = (): void => {
    cleanUp();
    socket.setNoDelay(true);
    resolve(socket);
  };
  const onError = (error: Error): void => {
    cleanUp();
    reject(connectFailure(endpoint, error));
  };
  const onAbort = (): void => {
    cleanUp();
    socket.on('error', () => undefined).destroy();
    reject(signal.reason);
  };
  socket.once('connect', onConnect).once('error', onError);
  signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}

function connectFailure(endpoint: UpstreamEndpoint, error: Error): MeshError {
  const code = 'code' in error ? String(error.code) : error.message;
  const kind = code === 'ETIMEDOUT' ? 'CONNECT_TIMEOUT' : 'CONNECT_REFUSED';
  const words = CONNECT_WORDS[code] ?? error.message;
  return new MeshError(kind, `connection to ${describe(endpoint)} failed: ${words}`, { cause: error });
}

const CONNECT_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  ENETUNREACH: 'network is unreachable',
  EHOSTUNREACH: 'no route to host',
  ETIMEDOUT: 'no answer',
};

async function secure(
  options: TransportOptions,
  endpoint: UpstreamEndpoint,
  request: TransportRequest,
  transport: Parameters<typeof originateTls>[0],
): Promise<ByteStream> {
  const { tls } = endpoint;
  if (tls === undefined) throw new MeshError('INTERNAL', `${endpoint.label} has no TLS settings`);
  try {
    const context = await options.material.context(tls);
    request.signal.throwIfAborted();
    const { host, protocol } = request;
    const chosenByClient = endpoint.backend?.includes('/*') ?? false;
    const destination = describe(endpoint);
    const checked = { tls, host, chosenByClient };
    if (!tls.insecureSkipVerify && expectedNames(checked).names.length === 0) {
      options.onUncheckedName(endpoint, 'TLS verifies the chain of this destination but not its name');
    }
    const secured = await originateTls(transport, { ...checked, context, protocol, destination }, request.signal);
    return socketStream(secured);
  } catch (error) {
    transport.destroy();
    throw error;
  }
}

function localOf(socket: Socket): HostPort {
  const ip = parseIp(socket.localAddress ?? '');
  if (ip === undefined) throw new MeshError('CONNECT_REFUSED', 'the connection was closed as soon as it stood');
  return { ip, port: socket.localPort ?? 0 };
}

/** `httpbin.org (203.0.113.10:443)`. */
export function describe(endpoint: UpstreamEndpoint): string {
  const address = formatHostPort(endpoint.address.ip, endpoint.address.port);
  const host = endpoint.backend?.slice(endpoint.backend.indexOf('/') + 1);
  return host === undefined ? address : `${host} (${address})`;
}
