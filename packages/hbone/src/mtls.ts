import { X509Certificate } from 'node:crypto';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { peerIdentities, uriNames } from '@ambit/common/identity/certificate';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { MeshError } from '@ambit/common/errors';
import { tlsProblem } from './tls-problem.ts';

/** A socket after a finished and verified handshake. */
export interface SecureSocket {
  readonly socket: TLSSocket;
  readonly peer: SpiffeId;
}

/** Istio's ztunnel has none; without one a silent peer would hold a socket for ever. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const ALPN = ['h2'];
/** Istio's ztunnel, in its order. X25519 first: one key share, so no HelloRetryRequest with peers that know it. */
const CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256';
const GROUPS = 'X25519:P-256:P-384:X25519MLKEM768';

/** Whom a client wants to talk to, and as whom. */
export interface ClientHandshake {
  readonly credentials: Credentials;
  readonly accept: readonly SpiffeId[];
  readonly signal: AbortSignal;
  /** The far end, for messages. */
  readonly where: string;
}

/**
 * Client side: TLS 1.3, ALPN h2, our certificate, no SNI, no resumption. The chain is verified by OpenSSL against the roots of our own
 * certificate (with serverAuth if the peer's has an EKU extension); one URI SAN must equal one accepted id. Names of other kinds are ignored.
 *
 * @throws MeshError TLS_FAILED, TLS_NAME_MISMATCH, HBONE_TIMEOUT; the socket is destroyed then.
 */
export function secureClient(raw: Duplex, options: ClientHandshake): Promise<SecureSocket> {
  const { credentials, accept, signal, where } = options;
  const { promise, resolve, reject } = Promise.withResolvers<SecureSocket>();
  let peer: SpiffeId | undefined;
  const socket = connect({
    socket: raw,
    secureContext: credentials.context,
    ALPNProtocols: ALPN,
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => {
      const leaf = new X509Certificate(certificate.raw);
      peer = peerIdentities(leaf).find((id) => accept.some((one) => one.uri === id.uri));
      return peer === undefined ? wrongIdentity(where, leaf, accept) : undefined;
    },
  });
  const fail = (error: Error): void => {
    stop();
    socket.destroy();
    raw.destroy();
    reject(error);
  };
  const failed = (error: Error): void =>
    fail(error instanceof MeshError ? error : tlsProblem(`TLS handshake with ${where} failed`, error));
  const aborted = (): void => fail(abortError(signal));
  const closed = (): void => failed(new Error('the peer closed the connection'));
  const timer = setTimeout(() => failed(new Error(`no answer in ${HANDSHAKE_TIMEOUT_MS} ms`)), HANDSHAKE_TIMEOUT_MS);
  const stop = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
    socket.off('error', failed).off('close', closed);
    socket.on('error', ignoreLateError);
  };
  signal.addEventListener('abort', aborted, { once: true });
  socket.on('error', failed);
  socket.on('close', closed);
  socket.once('secureConnect', () => {
    const problem = sessionProblem(socket);
    if (problem !== undefined || peer === undefined) {
      failed(new Error(problem ?? 'the certificate was not verified'));
      return;
    }
    stop();
    resolve({ socket, peer });
  });
  if (signal.aborted) aborted();
  return promise;
}

/**
 * Server side: a client certificate is required; chain as above (clientAuth). The peer is the first SPIFFE id of its certificate, whose
 * trust domain must be one of `trustDomains`.
 *
 * @throws MeshError TLS_FAILED that says what came instead; the socket is destroyed then.
 */
export async function secureServer(
  raw: Socket,
  credentials: Credentials,
  trustDomains: readonly string[],
): Promise<SecureSocket> {
  const where = `${raw.remoteAddress ?? '?'}:${raw.remotePort ?? 0}`;
  const socket = await handshake(raw, credentials, where);
  const certificate = socket.getPeerX509Certificate();
  const peer = certificate === undefined ? undefined : peerIdentities(certificate)[0];
  const problem = sessionProblem(socket) ?? clientProblem(peer, certificate, trustDomains);
  if (problem === undefined && peer !== undefined) return { socket, peer };
  socket.destroy();
  raw.destroy();
  throw new MeshError('TLS_FAILED', `connection from ${where} refused: ${problem ?? 'no client certificate'}`);
}

interface Waiting {
  readonly where: string;
  readonly resolve: (socket: TLSSocket) => void;
  readonly reject: (error: Error) => void;
}

interface Acceptor {
  readonly server: Server;
  /** Handshakes under way, by the socket below. */
  readonly waiting: WeakMap<Socket, Waiting>;
}

/** One per certificate: node verifies client chains only for sockets that pass a tls.Server, which here never listens. */
const acceptors = new WeakMap<Credentials, Acceptor>();

function handshake(raw: Socket, credentials: Credentials, where: string): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  let acceptor = acceptors.get(credentials);
  if (acceptor === undefined) acceptors.set(credentials, (acceptor = createAcceptor(credentials)));
  if (raw.destroyed) {
    reject(new MeshError('TLS_FAILED', `connection from ${where} was closed before its TLS handshake`));
    return promise;
  }
  acceptor.waiting.set(raw, { where, resolve, reject });
  acceptor.server.emit('connection', raw);
  return promise;
}

function createAcceptor(credentials: Credentials): Acceptor {
  const waiting = new WeakMap<Socket, Waiting>();
  const server = createServer({
    key: credentials.privateKey,
    cert: credentials.certificateChain,
    ca: [...credentials.roots],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ecdhCurve: GROUPS,
    ALPNProtocols: ALPN,
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  server.on('secureConnection', (socket) => take(waiting, socket)?.resolve(socket));
  server.on('tlsClientError', (error, socket) => {
    const entry = take(waiting, socket);
    // authorizationError says why the chain was not accepted; the event itself then only reports the hang-up.
    const reason = socket.authorizationError;
    const cause = reason ? Object.assign(new Error(String(reason)), { code: String(reason) }) : error;
    entry?.reject(tlsProblem(`connection from ${entry.where} refused: TLS handshake failed`, cause));
    socket.destroy();
  });
  return { server, waiting };
}

/** Finds who waits for a TLS socket. Node keeps the socket below in `_parent`; without it nobody is found, and the handshake stays refused. */
function take(waiting: WeakMap<Socket, Waiting>, socket: TLSSocket): Waiting | undefined {
  const raw: unknown = Reflect.get(socket, '_parent');
  if (!(raw instanceof Socket)) {
    socket.destroy();
    return undefined;
  }
  const entry = waiting.get(raw);
  waiting.delete(raw);
  return entry;
}

function sessionProblem(socket: TLSSocket): string | undefined {
  if (socket.isSessionReused()) return 'a resumed TLS session, which HBONE never uses';
  if (socket.getProtocol() !== 'TLSv1.3') return `${socket.getProtocol() ?? 'unknown TLS'}, expected TLSv1.3`;
  return socket.alpnProtocol === 'h2' ? undefined : 'ALPN without "h2", expected HTTP/2 inside';
}

function clientProblem(
  peer: SpiffeId | undefined,
  certificate: X509Certificate | undefined,
  trustDomains: readonly string[],
): string | undefined {
  if (certificate === undefined) return 'no client certificate';
  if (peer === undefined)
    return `the client certificate has no SPIFFE id (SANs: ${certificate.subjectAltName ?? 'none'})`;
  if (trustDomains.includes(peer.trustDomain)) return undefined;
  return `client ${peer.uri} is of another trust domain, expected ${trustDomains.join(' or ')}`;
}

function wrongIdentity(where: string, leaf: X509Certificate, accept: readonly SpiffeId[]): MeshError {
  const got = uriNames(leaf).join(', ') || 'no URI SAN';
  const expected = accept.map((id) => id.uri).join(' or ') || 'none, so nothing can match';
  return new MeshError('TLS_NAME_MISMATCH', `the certificate of ${where} is for ${got}, expected ${expected}`);
}

function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new MeshError('DOWNSTREAM_CLOSED', 'the caller gave up');
}

function ignoreLateError(): void {
  // After a failed handshake it was told already; after a good one the stream over the socket tells it (ECONNRESET and the like).
}
