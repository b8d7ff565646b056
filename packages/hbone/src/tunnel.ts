import type { HostPort } from '@ambit/common/address/host-port';
import { parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { ByteSink } from '@ambit/common/net/byte-stream';
import type { Http2Stream } from '@ambit/http/h2/contract';
import type { Headers } from '@ambit/http/headers';
import type { Socket } from 'node:net';
import type { Tunnel } from './index.ts';

/** The two ends of the TCP connection below tunnels. */
export interface Ends {
  readonly peer: SpiffeId;
  readonly local: HostPort;
  readonly remote: HostPort;
}

/** An HTTP/2 stream as a tunnel; adds no work per chunk. */
export class StreamTunnel implements Tunnel {
  readonly peer: SpiffeId;
  readonly headers: Headers;
  readonly local: HostPort;
  readonly remote: HostPort;
  readonly #stream: Http2Stream;

  constructor(stream: Http2Stream, ends: Ends, headers: Headers) {
    this.#stream = stream;
    this.peer = ends.peer;
    this.local = ends.local;
    this.remote = ends.remote;
    this.headers = headers;
  }

  attach(sink: ByteSink): void {
    this.#stream.attach(sink);
  }

  write(chunk: Uint8Array): boolean {
    return this.#stream.write(chunk);
  }

  end(): void {
    this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  destroy(error?: Error): void {
    this.#stream.destroy(error);
  }
}

/** The addresses of a connected socket; IPv4-mapped ones become IPv4. @throws MeshError DOWNSTREAM_CLOSED when it has none any more. */
export function socketEnds(socket: Socket): { local: HostPort; remote: HostPort } {
  const local = parseIp(socket.localAddress ?? '');
  const remote = parseIp(socket.remoteAddress ?? '');
  if (local === undefined || remote === undefined)
    throw new MeshError('DOWNSTREAM_CLOSED', 'the connection was closed before its addresses were read');
  return {
    local: { ip: local, port: socket.localPort ?? 0 },
    remote: { ip: remote, port: socket.remotePort ?? 0 },
  };
}
