import type { HostPort } from '@ambit/common/address/host-port';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { ByteSink } from '@ambit/common/net/byte-stream';
import type { Http1Fault, Http1ResponseHead } from '@ambit/http/h1/contract';
import { Http1Parser } from '@ambit/http/h1/parser';
import { CHUNK_END, chunkStart, LAST_CHUNK } from '@ambit/http/h1/write';
import type { Headers } from '@ambit/http/headers';
import type { UpstreamConnection } from './contract.ts';
import { type EncodedHead, encodeRequest, type Framing, plainResponse } from './http1-head.ts';
import type { Carrier, Outgoing } from './outgoing.ts';
import { explainTlsFailure } from './tls-origination.ts';

/** The pool a connection belongs to. */
export interface Http1Owner {
  /** `host (ip:port)`, for messages. */
  readonly destination: string;
  /** What a fresh connection that closes unanswered may mean; '' = nothing in particular. */
  readonly closedHint: string;
  /** The exchange is over and another may follow. */
  onIdle(connection: Http1Connection): void;
  /** Exactly once. */
  onGone(connection: Http1Connection): void;
}

/** Methods that may be sent again without asking whether the first was served (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
const TLS_ALERT = 0x15;
const TLS_HANDSHAKE = 0x16;

/**
 * One HTTP/1.1 connection to an endpoint: one exchange at a time, no pipelining.
 *
 *     idle ──start──► exchange ──response and request done──► idle
 *                        ├──101──► raw bytes until close
 *                        └──fault, close, reset──► gone
 */
export class Http1Connection implements Carrier, ByteSink {
  readonly local: HostPort;
  /** Exchanges started. */
  served = 0;
  idleSince = 0;
  readonly #stream: UpstreamConnection['stream'];
  readonly #owner: Http1Owner;
  readonly #parser: Http1Parser;
  #exchange: Outgoing | undefined = undefined;
  #framing: Framing = 'none';
  #requestDone = false;
  #headSeen = false;
  #responseDone = false;
  #keepAlive = false;
  #raw = false;
  /** First byte of the response in progress; -1 before. */
  #firstByte = -1;
  #paused = false;
  /** The peer's end, held back while paused. */
  #ended = false;
  #gone = false;

  constructor({ stream, local }: UpstreamConnection, owner: Http1Owner) {
    this.#stream = stream;
    this.local = local;
    this.#owner = owner;
    this.#parser = new Http1Parser('response', {
      onHead: (head: Http1ResponseHead) => this.#onHead(head),
      onBody: (chunk) => this.#exchange?.onData(chunk),
      onComplete: (trailers) => this.#onComplete(trailers),
      onFault: (fault) => this.#onFault(fault),
    });
    stream.attach(this);
  }

  /** Sends a request; the connection must be idle. One that cannot be written fails alone. */
  start(exchange: Outgoing): void {
    const { head, options } = exchange;
    const encoded = encode(exchange);
    if (encoded === undefined) return this.#owner.onIdle(this);
    const { bytes, framing } = encoded;
    this.#exchange = exchange;
    this.#framing = framing;
    this.#requestDone = options.endStream;
    this.#headSeen = false;
    this.#responseDone = false;
    this.#firstByte = -1;
    this.served++;
    this.#parser.respondingTo(head.method);
    this.#stream.write(bytes);
    exchange.bind(this, this.local);
  }

  // The request's side.

  /** The exchange was its handler from the start. */
  attach(): void {}

  write(chunk: Uint8Array): boolean {
    if (this.#raw) return this.#stream.write(chunk);
    if (chunk.length === 0 || this.#requestDone || this.#framing === 'none') return true;
    if (this.#framing === 'chunked') return this.#writeChunk(chunk);
    this.#framing -= chunk.length;
    if (this.#framing >= 0) return this.#stream.write(chunk);
    this.#lose(new MeshError('HTTP_INVALID', 'the request body is longer than its content-length'));
    return true;
  }

  #writeChunk(chunk: Uint8Array): boolean {
    const stream = this.#stream;
    stream.cork();
    stream.write(chunkStart(chunk.length));
    stream.write(chunk);
    const room = stream.write(CHUNK_END);
    stream.uncork();
    return room;
  }

  end(): void {
    if (this.#raw) return this.#stream.end();
    if (this.#requestDone) return;
    if (typeof this.#framing === 'number' && this.#framing > 0) {
      return this.#lose(new MeshError('HTTP_INVALID', 'the request body is shorter than its content-length'));
    }
    this.#requestDone = true;
    if (this.#framing === 'chunked') this.#stream.write(LAST_CHUNK);
  }

  /** HTTP/1.1 trailers are dropped, as Envoy does. */
  endWithTrailers(): void {
    this.end();
  }

  pause(): void {
    this.#paused = true;
    this.#parser.pause();
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#parser.resume();
    this.#settle();
    if (this.#paused || this.#gone) return;
    this.#stream.resume();
    if (this.#ended) this.onEnd();
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  reset(): void {
    this.#lose(undefined);
  }

  destroy(error?: Error): void {
    this.#lose(error);
  }

  // The transport's side.

  onData(chunk: Uint8Array): void {
    if (this.#raw) {
      this.#exchange?.onData(chunk);
      return;
    }
    // A peer that speaks unasked (a 408 before it closes, or worse) gets no further request.
    if (this.#exchange === undefined) return this.#lose(undefined);
    if (this.#firstByte < 0) this.#firstByte = chunk[0] ?? -1;
    this.#parser.push(chunk);
    this.#settle();
  }

  onEnd(): void {
    if (this.#raw) {
      this.#exchange?.onEnd();
      return;
    }
    if (this.#paused && this.#exchange !== undefined) {
      this.#ended = true;
      return;
    }
    this.#keepAlive = false;
    if (this.#exchange !== undefined) this.#parser.end();
    this.#settle();
    if (!this.#gone) this.#lose(this.#exchange === undefined ? undefined : this.#cutShort(undefined));
  }

  onDrain(): void {
    this.#exchange?.onDrain();
  }

  onClose(error: Error | undefined): void {
    if (this.#raw) return this.#lose(error === undefined ? undefined : this.#cutShort(error));
    if (this.#ended && error === undefined) return;
    this.#lose(this.#exchange === undefined ? undefined : this.#cutShort(error));
  }

  // The parser's side.

  #onHead(head: Http1ResponseHead): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    if (head.status === 101) {
      if (exchange.options.upgrade === undefined) {
        return this.#lose(new MeshError('UPSTREAM_PROTOCOL', `${this.#owner.destination} answered 101 to no upgrade`));
      }
      this.#raw = true;
    } else if (head.status < 200) {
      exchange.onHead(plainResponse(head), false);
      return;
    }
    this.#headSeen = true;
    this.#keepAlive = head.keepAlive && !this.#raw;
    exchange.onHead(plainResponse(head), head.body.kind === 'none' && !this.#raw);
  }

  #onComplete(trailers: Headers | undefined): void {
    this.#responseDone = true;
    // What follows is nobody's response: it must not be parsed as part of this one.
    this.#parser.pause();
    if (trailers !== undefined) this.#exchange?.onTrailers(trailers);
    this.#exchange?.onEnd();
  }

  #onFault(fault: Http1Fault): void {
    const { destination } = this.#owner;
    if (this.#headSeen) {
      return this.#lose(new MeshError('UPSTREAM_PROTOCOL', `${destination} broke off its response: ${fault.message}`));
    }
    const tls = this.#firstByte === TLS_ALERT || this.#firstByte === TLS_HANDSHAKE;
    const hint = tls
      ? 'it speaks TLS and was sent plain HTTP: a DestinationRule with tls mode SIMPLE originates TLS'
      : fault.message;
    this.#lose(new MeshError('UPSTREAM_PROTOCOL', `${destination} sent no valid HTTP response: ${hint}`));
  }

  /** After the parser has run: what it found is acted on here, as it must not be re-entered. */
  #settle(): void {
    if (this.#gone) return;
    if (this.#raw && !this.#responseDone) {
      this.#responseDone = true;
      const rest = this.#parser.takeRest();
      if (rest.length > 0) this.#exchange?.onData(rest);
      return;
    }
    if (this.#responseDone && !this.#raw) this.#finish();
  }

  #finish(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    // Bytes after the response, or a request still under way: the next response could not be told from them.
    const reusable = this.#keepAlive && this.#requestDone && !this.#parser.midMessage && !this.#ended;
    if (!reusable) return this.#lose(undefined);
    this.#exchange = undefined;
    this.#parser.resume();
    if (this.#paused) this.#stream.resume();
    this.#paused = false;
    this.#owner.onIdle(this);
    exchange.onClose(undefined);
  }

  /** The connection ended before the exchange did. */
  #cutShort(error: Error | undefined): MeshError {
    const { destination } = this.#owner;
    if (error instanceof MeshError) return error;
    if (error !== undefined && 'code' in error && String(error.code).startsWith('ERR_SSL')) {
      return explainTlsFailure(error, destination);
    }
    const options = error === undefined ? {} : { cause: error };
    if (this.#firstByte >= 0) {
      return new MeshError(
        'UPSTREAM_CLOSED',
        `${destination} closed the connection in the middle of its response`,
        options,
      );
    }
    return this.#unanswered(options);
  }

  #unanswered(options: { cause?: Error }): MeshError {
    const { destination, closedHint } = this.#owner;
    if (this.served === 1) {
      const message = `${destination} closed the connection before it answered${closedHint}`;
      return new MeshError('UPSTREAM_CLOSED', message, options);
    }
    const repeatable = IDEMPOTENT.has(this.#exchange?.head.method ?? '');
    const message = `${destination} closed a reused connection before it answered`;
    return new MeshError(repeatable ? 'STALE_CONNECTION' : 'UPSTREAM_CLOSED', message, options);
  }

  /** Ends the connection and the exchange on it. */
  #lose(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (this.#raw || this.#requestDone) this.#stream.end();
    this.#stream.destroy(error);
    this.#owner.onGone(this);
    exchange?.onClose(error);
  }
}

function encode(exchange: Outgoing): EncodedHead | undefined {
  const { head, options } = exchange;
  try {
    return encodeRequest(head, options.endStream, options.upgrade);
  } catch (error) {
    exchange.fail(asMeshError(error));
    return undefined;
  }
}
