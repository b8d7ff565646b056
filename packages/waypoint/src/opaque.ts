import { evaluate } from '@ambit/common/authz/evaluate';
import { envoyDenialDetail } from '@ambit/common/authz/explain';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import { splice, type Splice, type SpliceResult } from '@ambit/common/net/splice';
import { connectionAttributes } from './authorize/attributes.ts';
import { IDLE_MS } from './deadlines.ts';
import type { Live, TunnelContext } from './pipeline.ts';
import type { ExchangeRecord } from './telemetry/exchange-record.ts';
import { NO_ENDPOINT } from './telemetry/labels.ts';
import type { TcpHandles } from './telemetry/metrics.ts';
import { failureBeforeResponse } from './transform/upstream-failure.ts';
import type { UpstreamConnection, UpstreamEndpoint } from './upstream/contract.ts';

const MAX_RETRIES = 2;
const MAX_NEEDS = 3;
/** Byte counters of a long connection grow while it lasts, not only at its end. */
const REPORT_MS = 5000;

/** One opaque connection: authorize → upstream → deliver → record. Bytes pass as they are; a TLS connection's SNI is known. */
export class OpaqueConnection implements Live {
  readonly #tunnel: TunnelContext;
  readonly #stream: ByteStream;
  readonly #sni: string | undefined;
  readonly #record: ExchangeRecord;
  readonly #abort = new AbortController();
  readonly #tried: UpstreamEndpoint[] = [];
  #endpoint: UpstreamEndpoint | undefined;
  #splice: Splice | undefined;
  #counters: TcpHandles | undefined;
  #reported = 0;
  /** When bytes were last seen to move. */
  #movedAt: number;
  #reportedSent = 0;
  #reportedReceived = 0;
  /** Read from the client while there was no upstream yet; little, as the stream is paused. */
  #early: Uint8Array[] = [];
  #clientEnded = false;
  #over = false;

  constructor(tunnel: TunnelContext, stream: ByteStream, sni: string | undefined) {
    this.#tunnel = tunnel;
    this.#stream = stream;
    this.#sni = sni;
    this.#record = tunnel.newRecord();
    this.#record.sni = sni ?? '';
    this.#movedAt = tunnel.pipeline.parts.clock.monotonic();
  }

  /** Runs the connection; never rejects. `early` was read from the client before, to see what it speaks. */
  async run(early: Uint8Array): Promise<void> {
    const { pipeline } = this.#tunnel;
    pipeline.add(this);
    if (early.length > 0) this.#early.push(early);
    this.#stream.pause();
    this.#stream.attach({
      onData: (chunk) => void this.#early.push(Buffer.from(chunk)),
      onEnd: () => void (this.#clientEnded = true),
      onDrain: () => undefined,
      onClose: () => this.#clientGone(),
    });
    this.#record.upstreamCluster = this.#tunnel.clusterName('tcp');
    if (!this.#permitted()) return;
    try {
      const connection = await this.#connect();
      if (this.#over) connection.stream.destroy();
      else this.#deliver(connection);
    } catch (error) {
      this.#failed(asMeshError(error, 'CONNECT_REFUSED'));
    }
  }

  /** Policies have changed while it runs. */
  recheck(): void {
    if (!this.#over) this.#permitted();
  }

  /** An opaque connection has no way to be told: it may finish until the deadline of the program. */
  drain(): void {
    // Nothing to do by design.
  }

  tick(now: number): void {
    if (this.#over || this.#splice === undefined) return;
    if (now - this.#reported >= REPORT_MS) {
      this.#reported = now;
      if (this.#report()) this.#movedAt = now;
    }
    // As Envoy: closed without a flag.
    if (now - this.#movedAt >= IDLE_MS) this.#splice.abort(new MeshError('TIMEOUT', 'no bytes for an hour'));
  }

  #permitted(): boolean {
    const { facts, pipeline, service } = this.#tunnel;
    const verdict = evaluate(pipeline.parts.policies.for(service), connectionAttributes(facts, this.#sni));
    if (this.#splice === undefined) this.#tunnel.tellVerdict(verdict, this.#record);
    if (verdict.allowed) return true;
    this.#tunnel.explainDenial(verdict, this.#record);
    this.#record.connectionTermination = envoyDenialDetail(verdict);
    const denial = new MeshError('POLICY_DENIED', 'the connection is not allowed by policy');
    if (this.#splice === undefined) this.#end(denial);
    else this.#splice.abort(denial);
    return false;
  }

  async #connect(): Promise<UpstreamConnection> {
    for (;;) {
      const endpoint = await this.#pick();
      this.#endpoint = endpoint;
      this.#record.upstreamHost = endpoint.label;
      try {
        return await this.#tunnel.pipeline.parts.upstream.connect(endpoint, this.#abort.signal);
      } catch (error) {
        const failure = asMeshError(error, 'CONNECT_REFUSED');
        this.#tried.push(endpoint);
        if (!failure.kind.retry || this.#tried.length > MAX_RETRIES || this.#over) throw failure;
      }
    }
  }

  async #pick(): Promise<UpstreamEndpoint> {
    const { destination, pipeline, service } = this.#tunnel;
    for (let needs = 0; ; needs++) {
      const picked = pipeline.parts.upstream.pick({
        backend: service,
        port: destination.address.port,
        originalDestination: destination.address,
        host: this.#sni,
        tried: this.#tried,
      });
      if (picked.kind === 'endpoint') return picked.endpoint;
      if (picked.kind === 'none') throw new MeshError(picked.code, picked.detail);
      if (needs === MAX_NEEDS) throw new MeshError('DNS_FAILED', picked.detail);
      await picked.ready;
    }
  }

  #deliver({ stream, local }: UpstreamConnection): void {
    const { series } = this.#tunnel;
    this.#record.upstreamLocal = `${local.ip}:${local.port}`;
    this.#counters = series.endpoint(this.#endpoint ?? NO_ENDPOINT).tcp('');
    this.#counters.opened.inc();
    for (const chunk of this.#early) {
      stream.write(chunk);
      this.#record.bytesReceived += chunk.length;
    }
    this.#early = [];
    this.#splice = splice(this.#stream, stream, (result) => this.#done(result));
    if (this.#clientEnded) stream.end();
    this.#stream.resume();
    this.#movedAt = this.#tunnel.pipeline.parts.clock.monotonic();
  }

  #done(result: SpliceResult): void {
    const failure = result.error === undefined ? undefined : asMeshError(result.error, 'UPSTREAM_CLOSED');
    if (failure !== undefined && failure.code !== 'POLICY_DENIED' && result.failed === 'b') {
      this.#record.addFlag(failure.kind.flag);
    }
    this.#report();
    this.#end(undefined);
  }

  /** Adds what was copied since the last report; true when there was something. */
  #report(): boolean {
    const running = this.#splice;
    const counters = this.#counters;
    if (running === undefined || counters === undefined) return false;
    const received = running.bytesAToB + this.#record.bytesReceived;
    counters.received.inc(received - this.#reportedReceived);
    counters.sent.inc(running.bytesBToA - this.#reportedSent);
    const moved = received > this.#reportedReceived || running.bytesBToA > this.#reportedSent;
    this.#reportedReceived = received;
    this.#reportedSent = running.bytesBToA;
    return moved;
  }

  #failed(error: MeshError): void {
    if (this.#over) return;
    const failure = failureBeforeResponse(error, false);
    this.#record.addFlag(failure.flag);
    if (this.#tried.length > MAX_RETRIES) this.#record.addFlag('URX');
    this.#record.transportFailure = failure.transportFailure || transportFailureOf(error);
    this.#end(error);
  }

  #clientGone(): void {
    if (this.#over || this.#splice !== undefined) return;
    this.#record.addFlag('DC');
    this.#end(undefined);
  }

  #end(error: MeshError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    if (error !== undefined) this.#stream.destroy(error);
    const { pipeline, series } = this.#tunnel;
    const record = this.#record;
    record.bytesReceived += this.#splice?.bytesAToB ?? 0;
    record.bytesSent = this.#splice?.bytesBToA ?? 0;
    pipeline.remove(this);
    pipeline.write(record);
    if (this.#counters !== undefined)
      series
        .endpoint(this.#endpoint ?? NO_ENDPOINT)
        .tcp(record.flags)
        .closed.inc();
  }
}

const transportFailureOf = (error: MeshError): string =>
  error.code === 'CONNECT_REFUSED' ? 'delayed_connect_error:_Connection_refused' : '';
