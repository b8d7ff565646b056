import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import type { Http1Fault, Http1RequestHead } from '@ambit/http/h1/contract';
import { type Http1Handler, Http1Parser } from '@ambit/http/h1/parser';
import { CHUNK_END, chunkStart, LAST_CHUNK, reasonPhrase, responseHead } from '@ambit/http/h1/write';
import type { ResponseHead } from '@ambit/http/h2/contract';
import type { Responder } from './downstream.ts';
import { HEAD_MS, IDLE_MS } from './deadlines.ts';
import { Exchange } from './exchange.ts';
import type { Live, TunnelContext } from './pipeline.ts';
import { NO_ENDPOINT } from './telemetry/labels.ts';
import { WriteGather } from './write-gather.ts';
import { localReply } from './transform/local-reply.ts';

/** How long a client may read a last response before its connection is cut. */
const LINGER_MS = 1000;
/** As Envoy answers a head that does not come to its end. */
const HEAD_TIMEOUT = { status: 408, detail: 'request_header_timeout' };

/**
 * HTTP/1.1 inside one tunnel: requests one after the other, pipelined ones wait their turn.
 *
 *     reading ──head──► exchanging ──both ends──► reading …      101 ──► raw bytes
 *        └─────────────────┴── close, fault ──► closing (reads and throws away, then cuts)
 */
export class Http1Downstream implements ByteSink, Http1Handler<Http1RequestHead>, Responder, Live {
  readonly #tunnel: TunnelContext;
  readonly #stream: ByteStream;
  readonly #parser: Http1Parser;
  readonly #out: WriteGather;
  #exchange: Exchange | undefined;
  #mode: 'http' | 'raw' | 'closing' | 'closed' = 'http';
  #method = '';
  #keepAlive = true;
  /** The request's body, and the response, are over. */
  #requestDone = true;
  #responseDone = true;
  #chunked = false;
  /** The request had no body: its end comes with its head. */
  #endedAtHead = true;
  #upgrading = false;
  #sourcePaused = false;
  #linger: NodeJS.Timeout | undefined;
  /** Since when no request runs. */
  #idleSince: number;
  /** Since when the head of the next request is on its way; undefined before its first byte. */
  #headSince: number | undefined;

  constructor(tunnel: TunnelContext, stream: ByteStream) {
    this.#tunnel = tunnel;
    this.#stream = stream;
    this.#parser = new Http1Parser('request', this);
    this.#out = new WriteGather(stream);
    this.#idleSince = this.#now();
    tunnel.pipeline.add(this);
  }

  // ── ByteSink: the tunnel ──

  onData(chunk: Uint8Array): void {
    if (this.#mode === 'raw') return this.#exchange?.onRequestData(chunk);
    if (this.#mode !== 'http') return;
    // A pipelined request waits in the parser; what follows it waits in the tunnel.
    if (this.#requestDone && !this.#responseDone) this.#pauseSource();
    this.#parser.push(chunk);
    if (this.#requestDone && this.#responseDone) this.#awaitHead();
  }

  onEnd(): void {
    if (this.#mode === 'raw') return this.#exchange?.onRequestEnd(undefined);
    if (this.#mode === 'http') {
      const exchange = this.#exchange;
      // As Envoy: HTTP has no half-close, a client that ends its side has gone away.
      if (exchange !== undefined && !exchange.over) exchange.onDownstreamClose(false);
      else if (this.#parser.midMessage) this.#parser.end();
    }
    this.#mode = 'closing';
    this.#out.flush();
    this.#stream.end();
  }

  onDrain(): void {
    this.#out.onDrain();
    this.#exchange?.onDownstreamDrain();
  }

  onClose(): void {
    this.#mode = 'closed';
    clearTimeout(this.#linger);
    this.#tunnel.pipeline.remove(this);
    this.#exchange?.onDownstreamClose(false);
    this.#exchange = undefined;
  }

  // ── Live ──

  recheck(): void {
    this.#exchange?.recheck();
  }

  drain(): void {
    this.#keepAlive = false;
    if (this.#mode === 'http' && this.#requestDone && this.#responseDone) this.#close();
  }

  tick(now: number): void {
    this.#exchange?.report();
    if (this.#mode !== 'http' || !this.#requestDone || !this.#responseDone) return;
    if (this.#headSince !== undefined) {
      if (now - this.#headSince >= HEAD_MS) this.#refuse(HEAD_TIMEOUT, 'request header timeout', '');
    } else if (now - this.#idleSince >= IDLE_MS) this.#close();
  }

  // ── Http1Handler: requests ──

  onHead(head: Http1RequestHead): void {
    this.#method = head.method;
    this.#headSince = undefined;
    this.#keepAlive = head.keepAlive && !this.#tunnel.pipeline.draining;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#chunked = false;
    this.#endedAtHead = head.body.kind === 'none';
    this.#upgrading = head.upgrade !== undefined && head.upgrade !== 'h2c';
    this.#exchange = new Exchange(this.#tunnel, this, {
      protocol: 'HTTP/1.1',
      method: head.method,
      target: head.target,
      authority: head.headers.get('host'),
      headers: head.headers,
      upgrade: head.upgrade,
      ended: this.#endedAtHead,
    });
    this.#exchange.start();
  }

  onBody(chunk: Uint8Array): void {
    this.#exchange?.onRequestData(chunk);
  }

  /** Trailers of HTTP/1.1 are dropped, as Envoy does. */
  onComplete(): void {
    this.#requestDone = true;
    if (this.#responseDone) return this.#next();
    this.#parser.pause();
    if (!this.#endedAtHead) this.#exchange?.onRequestEnd(undefined);
  }

  onFault(fault: Http1Fault): void {
    const exchange = this.#exchange;
    this.#keepAlive = false;
    if (exchange !== undefined && !exchange.over) exchange.onRequestFault(fault, reasonPhrase(fault.status));
    else this.#refuse(fault, reasonPhrase(fault.status), 'DPE');
  }

  // ── Responder: the response ──

  interim(head: ResponseHead): void {
    this.#out.add(responseHead(head.status, head.headers, false, undefined));
  }

  head(head: ResponseHead, end: boolean, local: boolean): void {
    const { status, headers } = head;
    const early = !this.#requestDone && !this.#endedAtHead;
    if (local && (early || this.#upgrading)) this.#keepAlive = false;
    const needsFraming = mayHaveBody(this.#method, status) && !headers.has('content-length');
    this.#chunked = needsFraming && !end;
    if (needsFraming && end) headers.append('content-length', '0');
    this.#out.add(responseHead(status, headers, this.#chunked, this.#keepAlive ? undefined : 'close'));
    if (end) this.#endResponse();
  }

  upgrade(head: ResponseHead): void {
    this.#out.add(responseHead(101, head.headers, false, 'upgrade'));
    this.#mode = 'raw';
    const rest = this.#parser.takeRest();
    if (rest.length > 0) this.#exchange?.onRequestData(rest);
    this.#resumeSource();
  }

  write(chunk: Uint8Array): boolean {
    const out = this.#out;
    if (this.#chunked && this.#mode === 'http') {
      if (chunk.length === 0) return !out.blocked;
      out.add(chunkStart(chunk.length));
      out.add(chunk);
      out.add(CHUNK_END);
    } else out.add(chunk);
    return !out.blocked;
  }

  end(): void {
    if (this.#mode === 'raw') {
      this.#out.flush();
      return this.#stream.end();
    }
    if (this.#chunked) this.#out.add(LAST_CHUNK);
    this.#endResponse();
  }

  abort(): void {
    this.#mode = 'closed';
    this.#out.flush();
    this.#stream.destroy();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#sourcePaused) this.#stream.resume();
  }

  // ── between requests ──

  /** A response that overtakes its request's body leaves no way to find the next request. */
  #endResponse(): void {
    this.#responseDone = true;
    if (this.#requestDone) this.#next();
    else if (!this.#endedAtHead) this.#close();
  }

  #next(): void {
    if (!this.#keepAlive) return this.#close();
    this.#exchange = undefined;
    this.#idleSince = this.#now();
    this.#resumeSource();
    this.#parser.resume();
    if (this.#requestDone && this.#responseDone) this.#awaitHead();
  }

  /** Part of the next head may be here already. */
  #awaitHead(): void {
    if (this.#headSince === undefined && this.#parser.midMessage) this.#headSince = this.#now();
  }

  #now(): number {
    return this.#tunnel.pipeline.parts.clock.monotonic();
  }

  /** Ends our side, and reads on for a while: a reset would take the response from a client that is still sending. */
  #close(): void {
    if (this.#mode !== 'http') return;
    this.#mode = 'closing';
    this.#out.flush();
    this.#stream.end();
    this.#resumeSource();
    this.#linger = setTimeout(() => this.#stream.destroy(), LINGER_MS);
  }

  #pauseSource(): void {
    this.#sourcePaused = true;
    this.#stream.pause();
  }

  #resumeSource(): void {
    if (!this.#sourcePaused && this.#mode === 'http') return;
    this.#sourcePaused = false;
    this.#stream.resume();
  }

  /** Answers bytes that are no request: nothing of them is logged but what was wrong. */
  #refuse(fault: Pick<Http1Fault, 'detail'> & { readonly status: number }, text: string, flag: string): void {
    const { pipeline } = this.#tunnel;
    const record = this.#tunnel.newRecord();
    const server = pipeline.parts.settings().serverHeader;
    const facts = { status: fault.status, text, isGrpc: false, isHead: false, overloaded: false };
    const reply = localReply({ ...facts, server, date: pipeline.date() });
    record.protocol = 'HTTP/1.1';
    record.responseCode = reply.status;
    record.addFlag(flag);
    record.detail = fault.detail;
    record.bytesSent = reply.body.length;
    this.#out.add(responseHead(reply.status, reply.headers, false, 'close'));
    this.#out.add(reply.body);
    this.#close();
    this.#tunnel.finishHttp(record, NO_ENDPOINT);
  }
}

const mayHaveBody = (method: string, status: number): boolean => method !== 'HEAD' && status !== 204 && status !== 304;
