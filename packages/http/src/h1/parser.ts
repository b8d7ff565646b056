import type { Headers } from '../headers.ts';
import { ChunkedDecoder } from './chunked.ts';
import type { BodyLength, Http1Fault, Http1RequestHead, Http1ResponseHead } from './contract.ts';
import { faultOf, type HeadLimits, refuse, type Refusal } from './fault.ts';
import { parseFields } from './fields.ts';
import { parseRequestHead, parseResponseHead } from './head.ts';
import { SectionReader } from './section.ts';

/** Bounds of a message; defaults are Envoy's. */
export type Http1Limits = HeadLimits;

/** What a parser tells. Order per message: onHead (1xx any number of times, then the final one) → onBody* → onComplete; or onFault, last. */
export interface Http1Handler<Head> {
  onHead(head: Head): void;
  /** The chunk belongs to the receiver only during the call. */
  onBody(chunk: Uint8Array): void;
  /** The message ended; `trailers` when it had any. */
  onComplete(trailers: Headers | undefined): void;
  /** The bytes are no valid message: nothing is parsed any more. */
  onFault(fault: Http1Fault): void;
}

export type Http1ParserArguments =
  | [role: 'request', handler: Http1Handler<Http1RequestHead>, limits?: Partial<Http1Limits>]
  | [role: 'response', handler: Http1Handler<Http1ResponseHead>, limits?: Partial<Http1Limits>];

const KIB = 1024;
const REQUEST_LIMITS: Http1Limits = { headBytes: 60 * KIB, headerLines: 100 };
const RESPONSE_LIMITS: Http1Limits = { headBytes: 80 * KIB, headerLines: 100 };
/** Empty lines before a request line that are forgiven (RFC 9112 §2.2 asks for one). */
const EMPTY_LINES = 4;
const NOTHING: Buffer = Buffer.alloc(0);
const STATUS_LINE_START = Buffer.from('HTTP/1.');

/**
 * Strict push parser of a connection's requests or responses (RFC 9112): bytes in, split anywhere; heads, body slices and ends out.
 * What two readers could understand differently is refused, and after a refusal nothing more is read.
 *
 *     head ──► length | chunked | until-close ──► head …
 *       └────► upgraded (101, 2xx of CONNECT): takeRest()          any ──► failed
 */
export class Http1Parser {
  readonly #role: 'request' | 'response';
  readonly #onBody: (chunk: Uint8Array) => void;
  readonly #onComplete: (trailers: Headers | undefined) => void;
  readonly #onFault: (fault: Http1Fault) => void;
  readonly #onSection: (text: string) => void;
  readonly #limits: Http1Limits;
  readonly #section: SectionReader;
  #chunked = new ChunkedDecoder();
  #state: 'head' | 'length' | 'chunked' | 'trailers' | 'until-close' | 'upgraded' | 'failed' = 'head';
  /** Bytes being parsed, or held back while paused. */
  #chunk: Buffer = NOTHING;
  #at = 0;
  #remaining = 0;
  #emptyLines = 0;
  #paused = false;
  #running = false;
  #method = 'GET';

  constructor(...[role, handler, limits]: Http1ParserArguments) {
    this.#role = role;
    this.#limits = { ...(role === 'request' ? REQUEST_LIMITS : RESPONSE_LIMITS), ...limits };
    this.#section = new SectionReader(this.#limits);
    this.#onBody = (chunk): void => handler.onBody(chunk);
    this.#onComplete = (trailers): void => handler.onComplete(trailers);
    this.#onFault = (fault): void => handler.onFault(fault);
    this.#onSection =
      role === 'request'
        ? (text): void => this.#requestHead(text, handler)
        : (text): void => this.#responseHead(text, handler);
  }

  /** Parses a chunk; calls the handler from inside. While paused the bytes are kept, so pause the source too. */
  push(chunk: Uint8Array): void {
    if (this.#state === 'failed') return;
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#running || this.#at < this.#chunk.length) {
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#at), bytes]);
      this.#at = 0;
    } else {
      this.#chunk = bytes;
      this.#at = 0;
    }
    this.#run();
  }

  /** Response role: the method of the request that the next response answers; HEAD and CONNECT have no body. */
  respondingTo(method: string): void {
    this.#method = method;
  }

  /** The peer half-closed: ends a body that lasts until close; a message cut short is a fault. */
  end(): void {
    if (this.#state === 'failed' || this.#state === 'upgraded') return;
    if (this.#state === 'until-close') this.#complete(undefined);
    else if (this.midMessage) this.#fail(refuse('codec', 'the connection was closed in the middle of a message'));
  }

  /** True between the first byte of a message and its end. */
  get midMessage(): boolean {
    return this.#state !== 'head' || this.#section.started || this.#at < this.#chunk.length;
  }

  /** No handler call until resume(), but for the onComplete of a message without body, which follows its onHead at once. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#run();
  }

  /** The bytes after the message that changed protocol; nothing is parsed any more. */
  takeRest(): Uint8Array {
    const rest = Buffer.concat([this.#section.partial, this.#chunk.subarray(this.#at)]);
    this.#chunk = NOTHING;
    this.#at = 0;
    this.#state = 'upgraded';
    return rest;
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    while (!this.#paused && this.#at < this.#chunk.length && this.#state !== 'upgraded' && this.#state !== 'failed') {
      this.#step();
    }
    this.#running = false;
    // The chunk belongs to the caller after push(): what is left is copied, once.
    const held = this.#at < this.#chunk.length && this.#state !== 'failed';
    this.#chunk = held ? Buffer.from(this.#chunk.subarray(this.#at)) : NOTHING;
    this.#at = 0;
  }

  #step(): void {
    switch (this.#state) {
      case 'head':
      case 'trailers':
        return this.#readSection();
      case 'length':
        this.#remaining -= this.#deliver(this.#remaining);
        if (this.#remaining === 0) this.#complete(undefined);
        return;
      case 'until-close':
        this.#deliver(Infinity);
        return;
      case 'chunked':
        return this.#readChunked();
      case 'upgraded':
      case 'failed':
        return;
    }
  }

  /** Hands over at most `most` bytes of body; how many. */
  #deliver(most: number): number {
    const from = this.#at;
    const to = Math.min(this.#chunk.length, from + most);
    this.#at = to;
    this.#onBody(from === 0 && to === this.#chunk.length ? this.#chunk : this.#chunk.subarray(from, to));
    return to - from;
  }

  #readChunked(): void {
    const decoder = this.#chunked;
    if (decoder.remaining > 0) {
      const before = Math.min(decoder.remaining, this.#chunk.length - this.#at);
      decoder.consume(before);
      this.#deliver(before);
      return;
    }
    const next = decoder.advance(this.#chunk, this.#at);
    if (typeof next !== 'number') return this.#fail(next);
    this.#at = next;
    if (decoder.last) this.#state = 'trailers';
  }

  #readSection(): void {
    const text = this.#section.take(this.#chunk, this.#at);
    if (typeof text === 'object') return this.#fail(text);
    if (text === undefined) return this.#needMore();
    this.#at = this.#section.next;
    if (this.#state === 'trailers') return this.#readTrailers(text);
    if (text !== '') this.#onSection(text);
    else if (this.#role === 'response' || ++this.#emptyLines > EMPTY_LINES) {
      this.#fail(refuse('codec', 'an empty line where a message should begin'));
    }
  }

  /** What cannot become a message is refused at its first bytes: its sender may be waiting for ours. */
  #needMore(): void {
    this.#at = this.#section.next;
    if (this.#state !== 'head') return;
    const bytes = this.#section.partial;
    const first = bytes[0] ?? 0;
    if (this.#role === 'request') {
      if (first !== 0x0d && (first < 0x41 || first > 0x5a))
        this.#fail(refuse('codec', 'bytes that are no HTTP request'));
      return;
    }
    for (let i = 0; i < bytes.length && i < STATUS_LINE_START.length; i++) {
      if (bytes[i] !== STATUS_LINE_START[i]) return this.#fail(refuse('codec', 'bytes that are no HTTP response'));
    }
  }

  #requestHead(text: string, handler: Http1Handler<Http1RequestHead>): void {
    const head = parseRequestHead(text, this.#limits);
    if ('refusal' in head) return this.#fail(head);
    this.#emptyLines = 0;
    this.#begin(head.body);
    handler.onHead(head);
    this.#completeIfEmpty(head.body);
  }

  #responseHead(text: string, handler: Http1Handler<Http1ResponseHead>): void {
    const method = this.#method;
    const head = parseResponseHead(text, method, this.#limits);
    if ('refusal' in head) return this.#fail(head);
    if (head.status === 101 || (method === 'CONNECT' && head.status >= 200 && head.status < 300)) {
      this.#state = 'upgraded';
      return handler.onHead(head);
    }
    if (head.status < 200) return handler.onHead(head);
    this.#begin(head.body);
    handler.onHead(head);
    this.#completeIfEmpty(head.body);
  }

  #begin(body: BodyLength): void {
    switch (body.kind) {
      case 'none':
        return;
      case 'length':
        this.#remaining = body.length;
        this.#state = 'length';
        return;
      case 'chunked':
        this.#chunked = new ChunkedDecoder();
        this.#state = 'chunked';
        return;
      case 'until-close':
        this.#state = 'until-close';
        return;
    }
  }

  #completeIfEmpty(body: BodyLength): void {
    if (body.kind === 'none' && this.#state === 'head') this.#complete(undefined);
  }

  #readTrailers(text: string): void {
    if (text === '') return this.#complete(undefined);
    const trailers = parseFields(text, 0, this.#limits);
    if ('refusal' in trailers) return this.#fail(trailers);
    this.#complete(trailers);
  }

  #complete(trailers: Headers | undefined): void {
    this.#state = 'head';
    this.#onComplete(trailers);
  }

  #fail(refusal: Refusal): void {
    this.#state = 'failed';
    this.#onFault(faultOf(this.#role, refusal));
  }
}
