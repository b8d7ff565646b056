import type { HostPort } from '@ambit/common/address/host-port';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import type { ErrorCode as Http2Code, RequestHead, ResponseHead, StreamHandler } from '@ambit/http/h2/contract';
import type { Headers } from '@ambit/http/headers';
import type { UpstreamRequestOptions, UpstreamStream } from './contract.ts';

/** What takes a request to the endpoint: an HTTP/1.1 connection for its length, or an HTTP/2 stream. */
export interface Carrier extends ByteStream {
  endWithTrailers(trailers: Headers): void;
  reset(code: Http2Code): void;
}

/** What the client keeps about a request. */
export interface OutgoingOwner {
  /** Given up while it waited for a connection. */
  onAbandoned(request: Outgoing): void;
  /** Exactly once, last: counters go down. */
  onFinished(): void;
}

/** Written before the connection stands although write() answered false. */
const MAX_QUEUED_BYTES = 1 << 20;

/**
 * One request on its way: waits for a connection with what was written so far, then passes everything through.
 *
 *     waiting ──bind──► carried ──onClose──► closed
 *        └──────────fail, reset──────────────────┘
 */
export class Outgoing implements UpstreamStream, StreamHandler {
  readonly head: RequestHead;
  readonly options: UpstreamRequestOptions;
  local: HostPort | undefined = undefined;
  #handler: StreamHandler;
  #owner: OutgoingOwner;
  #carrier: Carrier | undefined = undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #end: 'open' | 'ended' | Headers = 'open';
  #paused = false;
  #closed = false;
  #responseEnded = false;

  constructor(head: RequestHead, options: UpstreamRequestOptions, handler: StreamHandler, owner: OutgoingOwner) {
    this.head = head;
    this.options = options;
    this.#handler = handler;
    this.#owner = owner;
  }

  /** True while nothing carries it and nobody gave it up. */
  get waiting(): boolean {
    return this.#carrier === undefined && !this.#closed;
  }

  /** Hands it to its carrier, which has sent the head. */
  bind(carrier: Carrier, local: HostPort): void {
    this.#carrier = carrier;
    this.local = local;
    if (this.#paused) carrier.pause();
    let room = true;
    for (const chunk of this.#queue) room = carrier.write(chunk);
    const hadQueue = this.#queue.length > 0;
    this.#queue = [];
    if (this.#end === 'ended') carrier.end();
    else if (this.#end !== 'open') carrier.endWithTrailers(this.#end);
    else if (hadQueue && room) this.#handler.onDrain();
  }

  /** Ends it before or without a carrier. Never inside a call of its user. */
  fail(error: Error): void {
    if (this.#closed) return;
    process.nextTick(() => this.onClose(error));
  }

  attach(handler: StreamHandler): void {
    this.#handler = handler;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed || this.#end !== 'open') return true;
    if (this.#carrier !== undefined) return this.#carrier.write(chunk);
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes > MAX_QUEUED_BYTES) {
      this.destroy(new MeshError('OVERFLOW', 'more than 1 MiB was written before the connection stood'));
    }
    return false;
  }

  end(): void {
    if (this.#end !== 'open') return;
    this.#end = 'ended';
    this.#carrier?.end();
  }

  endWithTrailers(trailers: Headers): void {
    if (this.#end !== 'open') return;
    this.#end = trailers;
    this.#carrier?.endWithTrailers(trailers);
  }

  pause(): void {
    this.#paused = true;
    this.#carrier?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#carrier?.resume();
  }

  cork(): void {
    this.#carrier?.cork();
  }

  uncork(): void {
    this.#carrier?.uncork();
  }

  reset(code: Http2Code): void {
    if (this.#carrier !== undefined) return this.#carrier.reset(code);
    this.#abandon(undefined);
  }

  destroy(error?: Error): void {
    if (this.#carrier !== undefined) return this.#carrier.destroy(error);
    this.#abandon(error);
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.#handler.onHead?.(head, end);
  }

  onData(chunk: Uint8Array): void {
    this.#handler.onData(chunk);
  }

  onTrailers(trailers: Headers): void {
    this.#handler.onTrailers?.(trailers);
  }

  onEnd(): void {
    if (this.#responseEnded) return;
    this.#responseEnded = true;
    this.#handler.onEnd();
  }

  onDrain(): void {
    this.#handler.onDrain();
  }

  onClose(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#owner.onFinished();
    this.#handler.onClose(error === undefined ? undefined : asMeshError(error, 'UPSTREAM_RESET'));
  }

  #abandon(error: Error | undefined): void {
    if (this.#closed) return;
    this.#owner.onAbandoned(this);
    process.nextTick(() => this.onClose(error));
  }
}
