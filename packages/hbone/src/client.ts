import type { Socket } from 'node:net';
import { formatHostPort } from '@ambit/common/address/host-port';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { socketStream } from '@ambit/common/net/socket-stream';
import type { Http2Session, Http2Stream, ResponseHead, SessionOptions, StreamHandler } from '@ambit/http/h2/contract';
import { clientSession } from '@ambit/http/h2/session';
import type { ConnectHead, Tunnel } from './index.ts';
import { secureClient } from './mtls.ts';
import { tlsProblem } from './tls-problem.ts';
import { type Ends, socketEnds, StreamTunnel } from './tunnel.ts';

/** What happens to a connection that its pool must know. */
export interface ClientEvents {
  /** No further tunnel can be opened: GOAWAY, or closed. May come more than once. */
  onRefusing(): void;
  onClose(error: Error | undefined): void;
}

/** One connection to a peer that tunnels are opened on. */
export class HboneClient {
  readonly #session: Http2Session;
  readonly #ends: Ends;

  constructor(socket: Socket, ends: Ends, settings: Partial<SessionOptions>, events: ClientEvents) {
    this.#ends = ends;
    this.#session = clientSession(socketStream(socket), settings, {
      onGoaway: () => events.onRefusing(),
      onClose: (error) => {
        events.onRefusing();
        events.onClose(error);
      },
    });
  }

  /** Tunnels open or being opened. */
  get active(): number {
    return this.#session.activeStreams;
  }

  get peerMaxStreams(): number {
    return this.#session.peerMaxStreams;
  }

  get accepting(): boolean {
    return this.#session.accepting;
  }

  /**
   * Sends CONNECT; undefined when no stream can be opened now.
   * The promise rejects with MeshError: TUNNEL_DENIED when the answer is 401, TUNNEL_REFUSED when it is not 200 either, DRAINING when the peer surely did nothing.
   */
  open(head: ConnectHead, signal: AbortSignal): Promise<Tunnel> | undefined {
    const opening = new Opening(this.#ends, head.authority, signal);
    const request = {
      method: 'CONNECT',
      scheme: undefined,
      authority: head.authority,
      path: undefined,
      protocol: undefined,
      headers: head.headers,
    };
    const stream = this.#session.request(request, false, opening);
    if (stream === undefined) return undefined;
    opening.start(stream);
    return opening.promise;
  }

  drain(): void {
    this.#session.drain();
  }

  destroy(error?: Error): void {
    this.#session.destroy(error);
  }
}

/** Waits for the answer to one CONNECT. */
class Opening implements StreamHandler {
  readonly promise: Promise<Tunnel>;
  readonly #resolve: (tunnel: Tunnel) => void;
  readonly #reject: (error: Error) => void;
  readonly #ends: Ends;
  readonly #authority: string;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#abort();
  #stream: Http2Stream | undefined;

  constructor(ends: Ends, authority: string, signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<Tunnel>();
    this.promise = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#ends = ends;
    this.#authority = authority;
    this.#signal = signal;
  }

  start(stream: Http2Stream): void {
    this.#stream = stream;
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    if (this.#signal.aborted) this.#abort();
  }

  onHead(head: ResponseHead): void {
    const stream = this.#stream;
    if (head.status < 200 || stream === undefined) return;
    this.#signal.removeEventListener('abort', this.#onAbort);
    if (head.status === 200) {
      stream.detach();
      this.#resolve(new StreamTunnel(stream, this.#ends, head.headers));
      return;
    }
    // 401 is a verdict about the caller: another endpoint must not be asked until one says yes
    const code = head.status === 401 ? 'TUNNEL_DENIED' : 'TUNNEL_REFUSED';
    this.#reject(new MeshError(code, `http status: ${head.status} (${this.#where()})`));
    stream.destroy();
  }

  onData(): void {
    // Only between a refusal and its end: nobody reads it.
  }

  onEnd(): void {
    // As above.
  }

  onDrain(): void {
    // Nothing is written before the answer.
  }

  onClose(error: Error | undefined): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#reject(this.#closeError(error));
  }

  #closeError(error: Error | undefined): MeshError {
    if (this.#stream?.resetCode === 'REFUSED_STREAM')
      return new MeshError('DRAINING', `the peer took no new tunnel (${this.#where()})`, { cause: error });
    const cause = error instanceof MeshError && error.cause instanceof Error ? error.cause : error;
    const code = cause !== undefined && 'code' in cause ? String(cause.code) : '';
    // With TLS 1.3 a server's verdict on our certificate comes after our side of the handshake is done.
    if (cause !== undefined && code.startsWith('ERR_SSL_'))
      return tlsProblem(`the peer refused our certificate (${this.#where()})`, cause);
    return asMeshError(
      error ?? new MeshError('UPSTREAM_CLOSED', `closed before an answer (${this.#where()})`),
      'UPSTREAM_CLOSED',
    );
  }

  #abort(): void {
    const reason: unknown = this.#signal.reason;
    this.#reject(reason instanceof Error ? reason : new MeshError('DOWNSTREAM_CLOSED', 'the caller gave up'));
    this.#stream?.destroy();
  }

  #where(): string {
    return `CONNECT ${this.#authority} at ${formatHostPort(this.#ends.remote.ip, this.#ends.remote.port)}`;
  }
}

/** TLS and HTTP/2 over a connected socket. @throws MeshError; the socket is destroyed then. */
export async function connectHbone(
  raw: Socket,
  peer: { readonly credentials: Credentials; readonly accept: readonly SpiffeId[]; readonly signal: AbortSignal },
  settings: Partial<SessionOptions>,
  events: ClientEvents,
): Promise<HboneClient> {
  try {
    const addresses = socketEnds(raw);
    const where = formatHostPort(addresses.remote.ip, addresses.remote.port);
    const secure = await secureClient(raw, { ...peer, where });
    return new HboneClient(secure.socket, { ...addresses, peer: secure.peer }, settings, events);
  } catch (error) {
    raw.destroy();
    throw error;
  }
}
