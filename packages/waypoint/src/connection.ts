import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import { sniff } from './capture/sniff.ts';
import type { Sniffed } from './decision.ts';
import { HEAD_MS, IDLE_MS } from './deadlines.ts';
import { Http1Downstream } from './http1-downstream.ts';
import { serveHttp2 } from './http2-downstream.ts';
import { OpaqueConnection } from './opaque.ts';
import type { Live, TunnelContext } from './pipeline.ts';

/** How long a client of a port of unknown protocol may stay silent before it is taken for one whose server speaks first. */
const SNIFF_MS = 5000;
const NOTHING = new Uint8Array(0);

/** Serves one accepted tunnel: looks at its first bytes where the port leaves its protocol open, then hands it over for good. */
export function serveTunnel(tunnel: TunnelContext, stream: ByteStream): void {
  const protocol = tunnel.destination.port?.protocol ?? 'AUTO';
  if (protocol === 'TCP') void new OpaqueConnection(tunnel, stream, undefined).run(NOTHING);
  else stream.attach(new Sniffer(tunnel, stream));
}

/** Collects first bytes until they tell the protocol. */
class Sniffer implements ByteSink, Live {
  readonly #tunnel: TunnelContext;
  readonly #stream: ByteStream;
  readonly #since: number;
  #bytes: Uint8Array = NOTHING;
  /** Set at hand-over: what still comes here is passed on. */
  #next: ByteSink | undefined;
  #over = false;

  constructor(tunnel: TunnelContext, stream: ByteStream) {
    this.#tunnel = tunnel;
    this.#stream = stream;
    this.#since = tunnel.pipeline.parts.clock.monotonic();
    tunnel.pipeline.add(this);
  }

  onData(chunk: Uint8Array): void {
    if (this.#next !== undefined) return this.#next.onData(chunk);
    if (this.#over) return;
    const bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const sniffed = sniff(bytes, this.#tunnel.destination.port?.protocol ?? 'AUTO');
    if (sniffed.kind === 'more') this.#bytes = Buffer.from(bytes);
    else this.#handOver(sniffed, bytes);
  }

  /** The client said all it had to say: too little to tell, so it is passed on as it is. */
  onEnd(): void {
    if (this.#next !== undefined) return this.#next.onEnd();
    if (this.#over) return;
    if (this.#bytes.length > 0) return this.#opaque(undefined);
    this.#leave();
    this.#stream.end();
  }

  onDrain(): void {
    this.#next?.onDrain();
  }

  onClose(error: Error | undefined): void {
    if (this.#next !== undefined) return this.#next.onClose(error);
    this.#leave();
  }

  recheck(): void {
    // Nothing was let through yet.
  }

  drain(): void {
    if (!this.#over && this.#bytes.length === 0) this.#stream.end();
  }

  /** On an HTTP port there is nothing else that silence could mean: there it is a connection without requests. */
  tick(now: number): void {
    if (this.#over) return;
    const protocol = this.#tunnel.destination.port?.protocol ?? 'AUTO';
    const silentMs = now - this.#since;
    if (protocol === 'AUTO' || protocol === 'TLS') {
      if (silentMs >= SNIFF_MS) this.#opaque(undefined);
    } else if (silentMs >= (this.#bytes.length > 0 ? HEAD_MS : IDLE_MS)) {
      this.#leave();
      this.#stream.destroy();
    }
  }

  #handOver(sniffed: Sniffed, bytes: Uint8Array): void {
    switch (sniffed.kind) {
      case 'http1': {
        this.#leave();
        const downstream = new Http1Downstream(this.#tunnel, this.#stream);
        this.#next = downstream;
        this.#stream.attach(downstream);
        return downstream.onData(bytes);
      }
      case 'http2': {
        this.#leave();
        const source = new PrefixedStream(this.#stream, bytes);
        serveHttp2(this.#tunnel, source);
        return source.start();
      }
      case 'tls':
      case 'opaque':
        this.#bytes = Buffer.from(bytes);
        return this.#opaque(sniffed.sni);
      case 'more':
        return;
      default:
        sniffed satisfies never;
    }
  }

  #opaque(sni: string | undefined): void {
    this.#leave();
    void new OpaqueConnection(this.#tunnel, this.#stream, sni).run(this.#bytes);
  }

  #leave(): void {
    this.#over = true;
    this.#tunnel.pipeline.remove(this);
  }
}

/** A stream whose first bytes were read already: they are delivered again, first. */
class PrefixedStream implements ByteStream {
  readonly #stream: ByteStream;
  readonly #prefix: Uint8Array;
  #sink: ByteSink | undefined;

  constructor(stream: ByteStream, prefix: Uint8Array) {
    this.#stream = stream;
    this.#prefix = prefix;
  }

  /** Delivers the bytes; the receiver must be attached. */
  start(): void {
    this.#sink?.onData(this.#prefix);
  }

  attach(sink: ByteSink): void {
    this.#sink = sink;
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
