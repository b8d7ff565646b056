import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import type { Verdict } from '@ambit/common/authz/verdict';
import { describeVerdict } from '@ambit/common/authz/explain';
import type { MeshError } from '@ambit/common/errors';
import type { LogFields, Logger, ScopedLogger } from '@ambit/common/telemetry/log';
import type { Family, MetricHandle, Registry } from '@ambit/common/telemetry/metrics';
import { TRAFFIC_LABELS, trafficLabels, type TrafficParties, withResponseFlags } from './traffic-labels.ts';

export type Direction = 'outbound' | 'inbound';

/** All that one connection is reported by; fixed when it opens. */
export interface ConnectionFacts extends TrafficParties {
  readonly direction: Direction;
  readonly sourceAddress: HostPort;
  /** The next hop (outbound), or where the connection arrived (inbound). */
  readonly destinationAddress: HostPort;
  /** CONNECT authority of a tunnel; undefined on plain TCP. */
  readonly hboneAddress: string | undefined;
}

/** Counters that a running copy keeps. */
export interface LiveBytes {
  readonly bytesAToB: number;
  readonly bytesBToA: number;
}

const NO_BYTES: LiveBytes = Object.freeze({ bytesAToB: 0, bytesBToA: 0 });

/** How a connection ended; no error means a clean end. */
export interface Outcome {
  readonly error?: MeshError;
  /** The denial behind the error. */
  readonly verdict?: Verdict | undefined;
}

/** Makes the records of connections: their lines in the access log and their metrics. */
export class ConnectionTelemetry {
  readonly #log: ScopedLogger;
  readonly #now: () => number;
  readonly #opened: Family;
  readonly #closed: Family;
  readonly #failed: Family;
  readonly #received: Family;
  readonly #sent: Family;
  readonly #sockets: { readonly source: MetricHandle; readonly destination: MetricHandle };
  readonly #active = new Set<ConnectionRecord>();

  /** @param now milliseconds, monotonic. */
  constructor(registry: Registry, logger: Logger, now: () => number) {
    this.#log = logger.scope('access');
    this.#now = now;
    const unstable = { unstable: true };
    this.#opened = registry.counter(
      'istio_tcp_connections_opened',
      'The total number of TCP connections opened',
      TRAFFIC_LABELS,
    );
    this.#closed = registry.counter(
      'istio_tcp_connections_closed',
      'The total number of TCP connections closed',
      TRAFFIC_LABELS,
    );
    this.#received = registry.counter(
      'istio_tcp_received_bytes',
      'The size of total bytes received during request in case of a TCP connection',
      TRAFFIC_LABELS,
    );
    this.#sent = registry.counter(
      'istio_tcp_sent_bytes',
      'The size of total bytes sent during response in case of a TCP connection',
      TRAFFIC_LABELS,
    );
    this.#failed = registry.counter(
      'istio_tcp_connections_failed',
      'The total number of TCP connections that ended with a response flag',
      TRAFFIC_LABELS,
      unstable,
    );
    const open = registry.gauge('istio_tcp_sockets_open', 'The number of open sockets', ['reporter'], unstable);
    this.#sockets = { source: open.with(['source']), destination: open.with(['destination']) };
    registry.collect(() => this.#active.forEach((record) => record.flush()));
  }

  /** Counts a socket until the function returned is called. */
  socketOpened(reporter: 'source' | 'destination'): () => void {
    const gauge = this.#sockets[reporter];
    gauge.inc();
    return () => gauge.inc(-1);
  }

  /** A connection whose ends are known; counted as opened, whatever policy says next. */
  open(facts: ConnectionFacts): ConnectionRecord {
    const labels = trafficLabels(facts, '-');
    const record = new ConnectionRecord({
      facts,
      started: this.#now(),
      received: this.#received.with(labels),
      sent: this.#sent.with(labels),
      end: (ended, outcome) => this.#complete(ended, labels, outcome),
    });
    this.#active.add(record);
    this.#opened.with(labels).inc();
    if (this.#log.enabled('debug')) this.#log.debug('connection opened', connectionFields(facts));
    return record;
  }

  /** A connection that was refused before its ends were known: one line, no metric. */
  failed(direction: Direction, source: HostPort, destination: HostPort | undefined, error: string): void {
    this.#log.warn('connection failed', {
      'src.addr': formatHostPort(source.ip, source.port),
      'dst.addr': destination === undefined ? undefined : formatHostPort(destination.ip, destination.port),
      direction,
      error,
    });
  }

  #complete(record: ConnectionRecord, labels: readonly (string | undefined)[], { error, verdict }: Outcome): void {
    this.#active.delete(record);
    record.flush();
    const flags = error?.kind.l4Flag ?? '-';
    const final = flags === '-' ? labels : withResponseFlags(labels, flags);
    this.#closed.with(final).inc();
    if (flags !== '-') this.#failed.with(final).inc();
    if (error === undefined && !this.#log.enabled('info')) return;
    const fields: LogFields = {
      ...connectionFields(record.facts),
      ...byteFields(record),
      duration: `${Math.round(this.#now() - record.started)}ms`,
      error: error?.message,
      ...denialFields(verdict),
    };
    if (error === undefined) this.#log.info('connection complete', fields);
    else this.#log.error('connection complete', fields);
  }
}

interface RecordParts {
  readonly facts: ConnectionFacts;
  readonly started: number;
  readonly received: MetricHandle;
  readonly sent: MetricHandle;
  readonly end: (record: ConnectionRecord, outcome: Outcome) => void;
}

/** One connection that is open. */
export class ConnectionRecord {
  readonly facts: ConnectionFacts;
  readonly started: number;
  readonly #parts: RecordParts;
  #live: LiveBytes = NO_BYTES;
  #reportedReceived = 0;
  #reportedSent = 0;
  #ended = false;

  constructor(parts: RecordParts) {
    this.facts = parts.facts;
    this.started = parts.started;
    this.#parts = parts;
  }

  /** Downstream to upstream. */
  get received(): number {
    return this.#live.bytesAToB;
  }

  /** Upstream to downstream. */
  get sent(): number {
    return this.#live.bytesBToA;
  }

  /** From now on the bytes of this copy (a: downstream, b: upstream) are those of the connection. */
  measure(live: LiveBytes): void {
    this.#live = live;
  }

  /** Brings the byte counters up to now. */
  flush(): void {
    const { bytesAToB, bytesBToA } = this.#live;
    this.#parts.received.inc(bytesAToB - this.#reportedReceived);
    this.#parts.sent.inc(bytesBToA - this.#reportedSent);
    this.#reportedReceived = bytesAToB;
    this.#reportedSent = bytesBToA;
  }

  /** The connection has ended: its line and its last counts. Only the first call counts. */
  complete(outcome: Outcome = {}): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#parts.end(this, outcome);
  }
}

/** Istio's fields in Istio's order; empty ones are left out, identities are told only under mutual TLS. */
function connectionFields(facts: ConnectionFacts): LogFields {
  const { source, destination, mutualTls } = facts;
  return {
    'src.addr': formatHostPort(facts.sourceAddress.ip, facts.sourceAddress.port),
    'src.workload': filled(source.name),
    'src.namespace': filled(source.namespace),
    'src.identity': mutualTls ? facts.sourcePrincipal?.uri : undefined,
    'src.cluster': filled(source.cluster),
    'dst.addr': formatHostPort(facts.destinationAddress.ip, facts.destinationAddress.port),
    'dst.hbone_addr': facts.hboneAddress,
    'dst.service': facts.service?.hostname,
    'dst.workload': filled(destination.name),
    'dst.namespace': filled(destination.namespace),
    'dst.identity': mutualTls ? facts.destinationPrincipal?.uri : undefined,
    'dst.cluster': filled(destination.cluster),
    direction: facts.direction,
  };
}

/** The log counts as each side sees it: a client sends the request, a server the response. */
function byteFields({ facts, received, sent }: ConnectionRecord): LogFields {
  return facts.direction === 'outbound'
    ? { bytes_sent: received, bytes_recv: sent }
    : { bytes_sent: sent, bytes_recv: received };
}

/** Beyond Istio: which policy decided and what would have been needed. */
function denialFields(verdict: Verdict | undefined): LogFields {
  if (verdict === undefined || verdict.allowed) return {};
  return { policy: verdict.decidedBy?.policy, rule: verdict.decidedBy?.rule, reason: describeVerdict(verdict) };
}

const filled = (value: string): string | undefined => (value === '' ? undefined : value);
