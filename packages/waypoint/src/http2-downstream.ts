import type { ByteStream } from '@ambit/common/net/byte-stream';
import type {
  Http2Session,
  Http2Stream,
  RequestHead,
  ResponseHead,
  SessionHandler,
  StreamHandler,
} from '@ambit/http/h2/contract';
import { ConnectionFault } from '@ambit/http/h2/frame';
import { serverSession } from '@ambit/http/h2/session';
import type { Headers } from '@ambit/http/headers';
import type { Responder } from './downstream.ts';
import { IDLE_MS } from './deadlines.ts';
import { Exchange } from './exchange.ts';
import type { Live, TunnelContext } from './pipeline.ts';
import { NO_ENDPOINT } from './telemetry/labels.ts';

/** What Istio's waypoint allows a client: streams, and 60 KiB of headers. */
const SESSION_OPTIONS = {
  maxConcurrentStreams: 100,
  maxHeaderListSize: 60 * 1024,
  initialWindow: 1 << 20,
  connectionWindow: 1 << 22,
  enableConnectProtocol: false,
  // The tunnel below is watched already.
  pingIntervalMs: 0,
};
const MAX_HEADER_LINES = 100;

/** Serves HTTP/2 inside one tunnel: each stream is one exchange. */
export function serveHttp2(tunnel: TunnelContext, stream: ByteStream): void {
  const downstream = new Http2Downstream(tunnel);
  tunnel.pipeline.add(downstream);
  downstream.open(stream);
}

class Http2Downstream implements SessionHandler, Live {
  readonly #tunnel: TunnelContext;
  readonly #exchanges = new Set<Http2Exchange>();
  #session: Http2Session | undefined;
  /** Since when no stream is open. */
  #idleSince: number;

  constructor(tunnel: TunnelContext) {
    this.#tunnel = tunnel;
    this.#idleSince = tunnel.pipeline.parts.clock.monotonic();
  }

  open(stream: ByteStream): void {
    this.#session = serverSession(stream, SESSION_OPTIONS, this);
  }

  onRequest(stream: Http2Stream, head: RequestHead, end: boolean): void {
    const exchange = new Http2Exchange(this.#tunnel, stream, () => {
      this.#exchanges.delete(exchange);
      this.#idleSince = this.#tunnel.pipeline.parts.clock.monotonic();
    });
    this.#exchanges.add(exchange);
    exchange.start(head, end);
  }

  onClose(error: Error | undefined): void {
    this.#tunnel.pipeline.remove(this);
    if (error?.cause instanceof ConnectionFault) this.#tellFault(error.cause);
  }

  /** A connection that broke the protocol has one line of its own: it may have had no stream. */
  #tellFault(fault: ConnectionFault): void {
    const record = this.#tunnel.newRecord();
    record.protocol = 'HTTP/2';
    record.addFlag('DPE');
    record.detail = `http2.${fault.code.toLowerCase()}{${fault.message.replaceAll(/\s+/g, '_')}}`;
    this.#tunnel.finishHttp(record, NO_ENDPOINT);
  }

  recheck(): void {
    for (const exchange of this.#exchanges) exchange.recheck();
  }

  drain(): void {
    this.#session?.drain();
  }

  tick(now: number): void {
    for (const exchange of this.#exchanges) exchange.report();
    if (this.#exchanges.size === 0 && now - this.#idleSince >= IDLE_MS) this.#session?.drain();
  }
}

/** One stream: hands its events to the exchange, and the exchange's answers to it. */
class Http2Exchange implements StreamHandler, Responder {
  readonly #tunnel: TunnelContext;
  readonly #stream: Http2Stream;
  readonly #closed: () => void;
  #exchange: Exchange | undefined;
  #trailers: Headers | undefined;
  #blocked = false;
  #requestDone = false;

  constructor(tunnel: TunnelContext, stream: Http2Stream, closed: () => void) {
    this.#tunnel = tunnel;
    this.#stream = stream;
    this.#closed = closed;
  }

  start(head: RequestHead, end: boolean): void {
    this.#requestDone = end;
    this.#stream.attach(this);
    const fault = faultOf(head);
    if (fault !== undefined) return this.#refuse(fault);
    this.#exchange = new Exchange(this.#tunnel, this, {
      protocol: 'HTTP/2',
      method: head.method,
      target: head.path ?? head.authority ?? '',
      authority: head.authority ?? head.headers.get('host'),
      headers: head.headers,
      upgrade: undefined,
      ended: end,
    });
    this.#exchange.start();
  }

  recheck(): void {
    this.#exchange?.recheck();
  }

  report(): void {
    this.#exchange?.report();
  }

  // ── StreamHandler: the request ──

  onData(chunk: Uint8Array): void {
    this.#exchange?.onRequestData(chunk);
  }

  onTrailers(trailers: Headers): void {
    this.#trailers = trailers;
  }

  onEnd(): void {
    // A stream that ended with its head has told the exchange so already.
    if (this.#requestDone) return;
    this.#requestDone = true;
    this.#exchange?.onRequestEnd(this.#trailers);
  }

  onDrain(): void {
    this.#blocked = false;
    this.#exchange?.onDownstreamDrain();
  }

  onClose(): void {
    this.#closed();
    this.#exchange?.onDownstreamClose(this.#stream.resetCode !== undefined);
    this.#exchange = undefined;
  }

  // ── Responder: the response ──

  interim(head: ResponseHead): void {
    this.#stream.respond(head, false);
  }

  head(head: ResponseHead, end: boolean): void {
    this.#stream.respond(head, end);
    if (end) this.#endRequest();
  }

  /** Never asked for: an Upgrade exists in HTTP/1.1 only. */
  upgrade(): void {
    this.abort();
  }

  write(chunk: Uint8Array): boolean {
    if (!this.#stream.write(chunk)) this.#blocked = true;
    return !this.#blocked;
  }

  end(trailers: Headers | undefined): void {
    if (trailers === undefined) this.#stream.end();
    else this.#stream.endWithTrailers(trailers);
    this.#endRequest();
  }

  abort(): void {
    this.#stream.reset('INTERNAL_ERROR');
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** The response is whole: the rest of the request is not wanted (RFC 9113 §8.1). */
  #endRequest(): void {
    if (!this.#requestDone) this.#stream.reset('NO_ERROR');
  }

  /** A head that no HTTP/1.1 request could carry: the stream is reset, as Envoy does. */
  #refuse(detail: string): void {
    const record = this.#tunnel.newRecord();
    record.protocol = 'HTTP/2';
    record.addFlag('DPE');
    record.detail = detail;
    this.#stream.reset('PROTOCOL_ERROR');
    this.#tunnel.finishHttp(record, NO_ENDPOINT);
  }
}

/** Envoy's detail for a head that is refused; undefined for one that is fine. */
function faultOf(head: RequestHead): string | undefined {
  if (head.headers.size > MAX_HEADER_LINES) return 'http2.too_many_headers';
  if (head.authority === '' || !isVisible(head.authority ?? '')) return 'http2.invalid.header.field';
  if (head.method === 'CONNECT') return undefined;
  const path = head.path ?? '';
  return path === '' || !isVisible(path) ? 'http2.invalid.header.field' : undefined;
}

function isVisible(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) return false;
  }
  return true;
}
