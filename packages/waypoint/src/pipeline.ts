import { formatHostPort } from '@ambit/common/address/host-port';
import type { Verdict } from '@ambit/common/authz/verdict';
import { Drain } from '@ambit/common/lifecycle/drain';
import type { MeshView } from '@ambit/common/mesh/view';
import type { ProxySettings } from '@ambit/common/model/listener';
import { serviceKey } from '@ambit/common/model/service';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { ConnectionFacts } from './authorize/attributes.ts';
import type { PolicyTable } from './authorize/policy-table.ts';
import type { WaypointSelf } from './capture/destination.ts';
import type { ServedDestination } from './decision.ts';
import { AccessLog } from './telemetry/access-log.ts';
import { ExchangeRecord } from './telemetry/exchange-record.ts';
import type { EndpointFacts } from './telemetry/labels.ts';
import type { PairSeries, WaypointMetrics } from './telemetry/metrics.ts';
import { allowanceMessage, denialFields, denialMessage, shadowFields, shadowMessage } from './telemetry/denial.ts';
import { HttpDate } from './transform/http-date.ts';
import type { Upstream } from './upstream/contract.ts';

/** Two clocks, in milliseconds: the wall's for time stamps, and one that never jumps for durations. */
export interface Clock {
  now(): number;
  monotonic(): number;
}

/** Something alive that policy changes must reach. */
export interface Live {
  /** Asks the policies of now whether it may go on; ends it if not. */
  recheck(): void;
  /** Takes nothing new; what runs may finish. */
  drain(): void;
  /** Called every second or so with the time of the monotonic clock: ends what has lasted too long. */
  tick(now: number): void;
}

/** What every tunnel of a waypoint shares. */
export interface PipelineParts {
  readonly self: WaypointSelf;
  readonly cluster: string;
  readonly upstream: Upstream;
  readonly mesh: MeshView;
  readonly policies: PolicyTable;
  readonly settings: () => ProxySettings;
  readonly metrics: WaypointMetrics;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newRequestId: () => string;
  /** Receives access log lines. */
  readonly writeLine: (line: string) => void;
  readonly authzLog: ScopedLogger;
}

/** The shared side of all tunnels: what they ask, count and write. */
export class Pipeline {
  readonly parts: PipelineParts;
  readonly #accessLog = new AccessLog();
  readonly #date = new HttpDate();
  /** With the function that lets a drain go on without it. */
  readonly #live = new Map<Live, () => void>();
  readonly #drain = new Drain();

  constructor(parts: PipelineParts) {
    this.parts = parts;
  }

  get draining(): boolean {
    return this.#drain.draining.aborted;
  }

  /** Connections open now. */
  get connections(): number {
    return this.#live.size;
  }

  /** Registers before the first policy check, so that no change is lost in between. */
  add(live: Live): void {
    this.#live.set(live, this.#drain.hold());
  }

  remove(live: Live): void {
    this.#live.get(live)?.();
    this.#live.delete(live);
  }

  /** Policies have changed. */
  recheck(): void {
    for (const live of this.#live.keys()) live.recheck();
  }

  /** The one timer of all connections: deadlines of minutes and hours need no timer each. */
  tick(): void {
    const now = this.parts.clock.monotonic();
    for (const live of this.#live.keys()) live.tick(now);
  }

  /** Tells every connection to come to its end; resolves when all have, or at the deadline. */
  async drain(deadlineMs: number): Promise<void> {
    const drained = this.#drain.start('graceful', deadlineMs);
    for (const live of this.#live.keys()) live.drain();
    await drained;
  }

  /** Value of a `date` header of now. */
  date(): string {
    return this.#date.at(this.parts.clock.now());
  }

  newRecord(): ExchangeRecord {
    return new ExchangeRecord(this.parts.clock.now(), this.parts.clock.monotonic());
  }

  /** Closes a record: duration and log line. */
  write(record: ExchangeRecord): void {
    record.durationMs = Math.round(this.parts.clock.monotonic() - record.started);
    const line = this.#accessLog.line(record, this.parts.settings().accessLog);
    if (line !== undefined) this.parts.writeLine(line);
  }
}

/** One tunnel: who opened it, where it leads, and what is the same for everything inside it. */
export class TunnelContext {
  readonly pipeline: Pipeline;
  readonly facts: ConnectionFacts;
  readonly destination: ServedDestination;
  /** `namespace/hostname` of the bound service; undefined for a workload's own address. */
  readonly service: string | undefined;
  readonly series: PairSeries;
  readonly #local: string;
  readonly #remote: string;

  constructor(pipeline: Pipeline, facts: ConnectionFacts, destination: ServedDestination) {
    const { self, mesh, metrics, cluster } = pipeline.parts;
    const { listener } = destination;
    const workload = mesh.workloadByAddress(self.network, facts.source.ip);
    this.pipeline = pipeline;
    this.facts = facts;
    this.destination = destination;
    this.service = listener === undefined ? undefined : serviceKey(listener.namespace, listener.hostname);
    this.series = metrics.between(
      { identity: facts.identity, workload },
      { listener, namespace: self.namespace, cluster },
    );
    this.#local = formatHostPort(facts.destination.ip, facts.destination.port);
    this.#remote = formatHostPort(facts.source.ip, facts.source.port);
  }

  /** A record with both addresses in it. */
  newRecord(): ExchangeRecord {
    const record = this.pipeline.newRecord();
    record.downstreamLocal = this.#local;
    record.downstreamRemote = this.#remote;
    return record;
  }

  /** UPSTREAM_CLUSTER as Istio names a waypoint's clusters. */
  clusterName(protocol: 'http' | 'tcp'): string {
    const { listener, address } = this.destination;
    return listener === undefined ? 'encap' : `inbound-vip|${address.port}|${protocol}|${listener.hostname};`;
  }

  /** Log line and metrics of a finished HTTP request. */
  finishHttp(record: ExchangeRecord, endpoint: EndpointFacts): void {
    this.pipeline.write(record);
    this.series.endpoint(endpoint).observe(record);
  }

  /** Metrics of an HTTP request that still runs. */
  reportHttp(record: ExchangeRecord, endpoint: EndpointFacts): void {
    if (record.grpc !== undefined) this.series.endpoint(endpoint).messages(record);
  }

  /** Tells, at debug, which rule allowed; and, in one line, of policies that matched and are not enforced: dry-run and AUDIT. */
  tellVerdict(verdict: Verdict, record: ExchangeRecord): void {
    const { authzLog } = this.pipeline.parts;
    if (verdict.decidedBy !== undefined && verdict.allowed && authzLog.enabled('debug'))
      authzLog.debug(allowanceMessage(verdict), denialFields(verdict, this.facts, this.destination, record));
    if (verdict.shadow.length === 0 || !authzLog.enabled('info')) return;
    authzLog.info(shadowMessage(verdict), shadowFields(verdict, this.facts, this.destination, record));
  }

  /** The one line that explains a denial. */
  explainDenial(verdict: Verdict, record: ExchangeRecord): void {
    const { authzLog } = this.pipeline.parts;
    if (!authzLog.enabled('info')) return;
    authzLog.info(denialMessage(verdict), denialFields(verdict, this.facts, this.destination, record));
  }
}
