import type { Socket } from 'node:net';
import type { HostPort } from '@ambit/common/address/host-port';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { socketStream } from '@ambit/common/net/socket-stream';
import type { Http2Session, Http2Stream, RequestHead } from '@ambit/http/h2/contract';
import { serverSession } from '@ambit/http/h2/session';
import { Headers } from '@ambit/http/headers';
import type { ConnectHead, HboneConnection, ServerOptions, Tunnel, TunnelRequest } from './index.ts';
import { secureServer } from './mtls.ts';
import { type Ends, socketEnds, StreamTunnel } from './tunnel.ts';

/** Istio's ztunnel, server side. */
const MAX_HEADER_LIST = 64 * 1024;
const SEND_BUFFER = 400 * 1024;
const OTHER_METHOD_STATUS = 400;

/**
 * Does the TLS handshake and serves tunnels until the connection ends. The socket belongs to it from the call on.
 *
 * @throws MeshError TLS_FAILED (or DOWNSTREAM_CLOSED) that says what came; the socket is closed then.
 */
export async function acceptHbone(socket: Socket, options: ServerOptions): Promise<HboneConnection> {
  try {
    const addresses = socketEnds(socket);
    const { socket: secure, peer } = await secureServer(socket, options.credentials, options.trustDomains);
    return new Connection(secure, { ...addresses, peer }, options);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

class Connection implements HboneConnection {
  readonly peer: SpiffeId;
  readonly remote: HostPort;
  readonly closed: Promise<void>;
  readonly #session: Http2Session;

  constructor(socket: Socket, ends: Ends, options: ServerOptions) {
    this.peer = ends.peer;
    this.remote = ends.remote;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    const settings = {
      initialWindow: options.streamWindow,
      connectionWindow: options.connectionWindow,
      maxFrameSize: options.frameSize,
      maxHeaderListSize: MAX_HEADER_LIST,
      maxConcurrentStreams: options.maxConcurrentStreams,
      pingIntervalMs: options.pingIntervalMs,
      pingTimeoutMs: options.pingTimeoutMs,
      sendBuffer: SEND_BUFFER,
    };
    this.#session = serverSession(socketStream(socket), settings, {
      onRequest: (stream, head) => onRequest(stream, head, ends, options),
      onClose: () => resolve(),
    });
  }

  get activeTunnels(): number {
    return this.#session.activeStreams;
  }

  drain(): void {
    this.#session.drain();
  }

  destroy(error?: Error): void {
    this.#session.destroy(error);
  }
}

function onRequest(stream: Http2Stream, head: RequestHead, ends: Ends, options: ServerOptions): void {
  const request = new Request(stream, head, ends);
  if (head.method === 'CONNECT' && head.protocol === undefined) return options.onTunnel(request);
  request.reject(options.otherMethodStatus ?? OTHER_METHOD_STATUS);
  options.onOther?.(request);
}

class Request implements TunnelRequest {
  readonly method: string;
  readonly head: ConnectHead;
  readonly peer: SpiffeId;
  readonly local: HostPort;
  readonly remote: HostPort;
  readonly #stream: Http2Stream;
  readonly #ends: Ends;

  constructor(stream: Http2Stream, head: RequestHead, ends: Ends) {
    this.method = head.method;
    this.head = { authority: head.authority ?? '', headers: head.headers };
    this.peer = ends.peer;
    this.local = ends.local;
    this.remote = ends.remote;
    this.#stream = stream;
    this.#ends = ends;
  }

  accept(headers: Headers): Tunnel {
    this.#stream.respond({ status: 200, headers }, false);
    return new StreamTunnel(this.#stream, this.#ends, this.head.headers);
  }

  reject(status: number): void {
    refuse(this.#stream, status);
  }
}

/** Answers and lets go: what the client may still send is of no interest (RFC 9113 §8.1). */
function refuse(stream: Http2Stream, status: number): void {
  stream.respond({ status, headers: new Headers() }, true);
  stream.reset('NO_ERROR');
}
