import { asMeshError, MeshError } from '@ambit/common/errors';
import type { HostPort } from '@ambit/common/address/host-port';
import type { Http2Session, Http2Stream, RequestHead, ResponseHead, StreamHandler } from '@ambit/http/h2/contract';
import { clientSession } from '@ambit/http/h2/session';
import type { Headers } from '@ambit/http/headers';
import type { UpstreamConnection } from './contract.ts';
import { idleSinceLimit, type PoolContext, type RequestPool } from './http1-pool.ts';
import { mayConnect } from './limits.ts';
import type { Outgoing } from './outgoing.ts';
import { WaitingRequests } from './waiting-requests.ts';

/** Streams that may wait on one connection being made before a second is made beside it. */
const WAITING_PER_CONNECTION = 100;

interface Member {
  readonly session: Http2Session;
  readonly local: HostPort;
  started: number;
  idleSince: number;
}

/** HTTP/2: all requests share one connection until it is full, refuses more or goes away. */
export class Http2Pool implements RequestPool {
  readonly #context: PoolContext;
  readonly #members = new Set<Member>();
  readonly #waiting: WaitingRequests;
  #connecting = 0;
  #draining = false;

  constructor(context: PoolContext) {
    this.#context = context;
    this.#waiting = new WaitingRequests(context.usage);
  }

  get busy(): boolean {
    return this.#available() === undefined;
  }

  submit(request: Outgoing): void {
    const member = this.#available();
    if (member !== undefined && this.#start(member, request)) return;
    this.#waiting.add(request);
    this.#connectIfNeeded();
  }

  abandon(request: Outgoing): void {
    this.#waiting.remove(request);
  }

  sweep(): boolean {
    const oldest = idleSinceLimit(this.#context);
    for (const { session, idleSince } of this.#members) {
      if (session.activeStreams === 0 && idleSince <= oldest) session.drain();
    }
    return this.#members.size + this.#connecting === 0 && this.#waiting.length === 0;
  }

  drain(): void {
    this.#draining = true;
    for (const { session } of this.#members) session.drain();
  }

  #available(): Member | undefined {
    for (const member of this.#members) {
      const { session } = member;
      if (session.accepting && session.activeStreams < session.peerMaxStreams) return member;
    }
    return undefined;
  }

  /** A full connection will; one that only finishes its streams, which may last for hours, will not. */
  #mayTakeMore(): boolean {
    for (const { session } of this.#members) if (session.accepting) return true;
    return this.#connecting > 0;
  }

  #start(member: Member, request: Outgoing): boolean {
    const { endpoint, destination } = this.#context;
    const relay = new Relay(request, destination);
    const head = secureScheme(request.head, endpoint.tls !== undefined);
    const stream = member.session.request(head, request.options.endStream, relay);
    if (stream === undefined) return false;
    relay.stream = stream;
    member.started++;
    request.bind(stream, member.local);
    const most = endpoint.pool.maxRequestsPerConnection;
    if (most > 0 && member.started >= most) member.session.drain();
    return true;
  }

  /** Requests that waited go out while there is room. */
  #pump(): void {
    for (let request = this.#waiting.first; request !== undefined; request = this.#waiting.first) {
      const member = this.#available();
      if (member === undefined || !this.#start(member, request)) break;
      this.#waiting.remove(request);
    }
    this.#connectIfNeeded();
  }

  #connectIfNeeded(): void {
    const { usage, endpoint } = this.#context;
    while (this.#waiting.length > this.#connecting * WAITING_PER_CONNECTION) {
      if (!mayConnect(usage, endpoint.pool) && this.#members.size + this.#connecting > 0) return;
      void this.#connect();
    }
  }

  async #connect(): Promise<void> {
    const { usage, open } = this.#context;
    this.#connecting++;
    usage.connections++;
    try {
      const transport = await open();
      this.#connecting--;
      this.#join(transport);
    } catch (error) {
      this.#connecting--;
      usage.connections--;
      // Without a connection that may take them later nobody waits: they all learn what is wrong.
      const failed = this.#mayTakeMore() ? [] : this.#waiting.clear();
      for (const request of failed) request.fail(asMeshError(error));
    }
  }

  #join({ stream, local }: UpstreamConnection): void {
    const { usage, now } = this.#context;
    // Pings would be taken for abuse by servers that allow one in five minutes (gRPC's default).
    const session = clientSession(
      stream,
      { pingIntervalMs: 0 },
      {
        onCapacity: () => {
          if (session.activeStreams === 0) member.idleSince = now();
          if (this.#waiting.length > 0) queueMicrotask(() => this.#pump());
        },
        onClose: () => {
          this.#members.delete(member);
          usage.connections--;
          this.#pump();
        },
      },
    );
    const member: Member = { session, local, started: 0, idleSince: now() };
    this.#members.add(member);
    this.#pump();
    if (this.#draining) session.drain();
  }
}

/** Passes a stream's events on and gives its end its reason. */
class Relay implements StreamHandler {
  stream: Http2Stream | undefined = undefined;
  readonly #request: Outgoing;
  readonly #destination: string;

  constructor(request: Outgoing, destination: string) {
    this.#request = request;
    this.#destination = destination;
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.#request.onHead(head, end);
  }

  onData(chunk: Uint8Array): void {
    this.#request.onData(chunk);
  }

  onTrailers(trailers: Headers): void {
    this.#request.onTrailers(trailers);
  }

  onEnd(): void {
    this.#request.onEnd();
  }

  onDrain(): void {
    this.#request.onDrain();
  }

  onClose(error: Error | undefined): void {
    const code = this.stream?.resetCode;
    if (error === undefined || code === undefined || code === 'NO_ERROR') return this.#request.onClose(error);
    const refused = code === 'REFUSED_STREAM';
    const message = `${this.#destination} reset the stream with ${code}`;
    this.#request.onClose(new MeshError(refused ? 'STREAM_REFUSED' : 'UPSTREAM_RESET', message, { cause: error }));
  }
}

/** RFC 9113 §8.3.1: the scheme says how the request reaches its destination. */
function secureScheme(head: RequestHead, secure: boolean): RequestHead {
  const scheme = secure ? 'https' : (head.scheme ?? 'http');
  return head.scheme === scheme || head.method === 'CONNECT' ? head : { ...head, scheme };
}
