import type { Family, MetricHandle, Registry } from '@ambit/common/telemetry/metrics';
import type { ExchangeRecord } from './exchange-record.ts';
import {
  COMMON_LABELS,
  commonValues,
  type EndpointFacts,
  securityPolicy,
  type ServiceFacts,
  type SourceFacts,
} from './labels.ts';

/** Envoy's default histogram bounds: milliseconds and bytes alike. */
const BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];
const HTTP_LABELS = [
  ...COMMON_LABELS,
  'response_code',
  'grpc_response_status',
  'response_flags',
  'connection_security_policy',
];
const TCP_LABELS = [...COMMON_LABELS, 'response_flags', 'connection_security_policy'];
/** Endpoints whose series one pair remembers; beyond it they are looked up anew. */
const MAX_ENDPOINTS = 256;

/** Pairs that are remembered; they cost a few hundred bytes each. */
const MAX_PAIRS = 4096;

/** The series of a pair, and the objects they were made from: when one is replaced, so are the labels. */
interface Pair {
  readonly workload: SourceFacts['workload'];
  readonly listener: ServiceFacts['listener'];
  readonly series: PairSeries;
}

/** Istio's standard metrics, reporter `waypoint`. */
export class WaypointMetrics {
  readonly #requests: Family;
  readonly #duration: Family;
  readonly #requestBytes: Family;
  readonly #responseBytes: Family;
  readonly #requestMessages: Family;
  readonly #responseMessages: Family;
  readonly #opened: Family;
  readonly #closed: Family;
  readonly #sent: Family;
  readonly #received: Family;
  readonly #pairs = new Map<string, Pair>();

  constructor(registry: Registry, tag: string) {
    const histogram = (name: string, help: string): Family =>
      registry.histogram(name, help, HTTP_LABELS, { buckets: BUCKETS });
    this.#requests = registry.counter('istio_requests_total', 'Requests handled', HTTP_LABELS);
    this.#duration = histogram('istio_request_duration_milliseconds', 'Duration of requests');
    this.#requestBytes = histogram('istio_request_bytes', 'Size of requests with headers');
    this.#responseBytes = histogram('istio_response_bytes', 'Size of responses with headers');
    this.#requestMessages = registry.counter('istio_request_messages_total', 'gRPC messages of clients', TCP_LABELS);
    this.#responseMessages = registry.counter('istio_response_messages_total', 'gRPC messages to clients', TCP_LABELS);
    this.#opened = registry.counter('istio_tcp_connections_opened_total', 'Connections opened', TCP_LABELS);
    this.#closed = registry.counter('istio_tcp_connections_closed_total', 'Connections closed', TCP_LABELS);
    this.#sent = registry.counter('istio_tcp_sent_bytes_total', 'Bytes sent to clients', TCP_LABELS);
    this.#received = registry.counter('istio_tcp_received_bytes_total', 'Bytes received from clients', TCP_LABELS);
    registry.gauge('istio_build', 'Version of this program', ['component', 'tag']).with(['proxy', tag]).set(1);
  }

  /** The series between one source and one service: the same for all their connections, so that labels are built once. */
  between(source: SourceFacts, service: ServiceFacts): PairSeries {
    const { listener } = service;
    const workload = source.workload?.uid ?? '';
    const key = `${source.identity.uri} ${workload} ${listener?.namespace ?? ''}/${listener?.hostname ?? ''}`;
    const known = this.#pairs.get(key);
    if (known !== undefined && known.workload === source.workload && known.listener === listener) return known.series;
    const series = new PairSeries(
      (endpoint) => new EndpointSeries(this, commonValues(source, service, endpoint), securityPolicy(endpoint)),
    );
    if (this.#pairs.size >= MAX_PAIRS) this.#pairs.clear();
    this.#pairs.set(key, { workload: source.workload, listener, series });
    return series;
  }

  /** The HTTP series with these label values. */
  http(values: readonly (string | undefined)[]): HttpHandles {
    return {
      requests: this.#requests.with(values),
      duration: this.#duration.with(values),
      requestBytes: this.#requestBytes.with(values),
      responseBytes: this.#responseBytes.with(values),
    };
  }

  /** Adds gRPC messages to the series with these label values. */
  messages(values: readonly string[], request: number, response: number): void {
    this.#requestMessages.with(values).inc(request);
    this.#responseMessages.with(values).inc(response);
  }

  /** The TCP series with these label values. */
  tcp(values: readonly string[]): TcpHandles {
    return {
      opened: this.#opened.with(values),
      closed: this.#closed.with(values),
      sent: this.#sent.with(values),
      received: this.#received.with(values),
    };
  }
}

interface HttpHandles {
  readonly requests: MetricHandle;
  readonly duration: MetricHandle;
  readonly requestBytes: MetricHandle;
  readonly responseBytes: MetricHandle;
}

/** Counters of one opaque connection's labels. */
export interface TcpHandles {
  readonly opened: MetricHandle;
  readonly closed: MetricHandle;
  readonly sent: MetricHandle;
  readonly received: MetricHandle;
}

/** Series of one source and service, by the endpoint that answered. */
export class PairSeries {
  readonly #make: (endpoint: EndpointFacts) => EndpointSeries;
  readonly #byWorkload = new Map<EndpointFacts['workload'], EndpointSeries>();

  constructor(make: (endpoint: EndpointFacts) => EndpointSeries) {
    this.#make = make;
  }

  endpoint(endpoint: EndpointFacts): EndpointSeries {
    const known = this.#byWorkload.get(endpoint.workload);
    if (known !== undefined) return known;
    if (this.#byWorkload.size >= MAX_ENDPOINTS) this.#byWorkload.clear();
    const made = this.#make(endpoint);
    this.#byWorkload.set(endpoint.workload, made);
    return made;
  }
}

/** What differs between the series of one endpoint. */
interface Outcome {
  readonly isGrpc: boolean;
  readonly responseCode: number;
  readonly flags: string;
  readonly grpcStatus: string;
  readonly handles: HttpHandles;
}

/** Series of one source, service and endpoint. */
export class EndpointSeries {
  readonly #metrics: WaypointMetrics;
  readonly #values: readonly string[];
  readonly #security: string;
  /** Few: one for each way a request has ended. A walk over them is cheaper than a key. */
  readonly #outcomes: Outcome[] = [];

  constructor(metrics: WaypointMetrics, values: readonly string[], security: string) {
    this.#metrics = metrics;
    this.#values = values;
    this.#security = security;
  }

  /** Counts a finished request. */
  observe(record: ExchangeRecord): void {
    const { handles } = this.#outcome(record);
    handles.requests.inc();
    handles.duration.observe(record.durationMs);
    handles.requestBytes.observe(record.requestBytes);
    handles.responseBytes.observe(record.responseBytes);
    this.messages(record);
  }

  /** Counts the gRPC messages since the last time: streams are long, and are not waited for. */
  messages(record: ExchangeRecord): void {
    record.grpc?.tell((request, response) => {
      const flags = record.flags === '' ? '-' : record.flags;
      this.#metrics.messages([...this.#values, 'grpc', flags, this.#security], request, response);
    });
  }

  /** The counters of an opaque connection that ended, or began, with these flags. */
  tcp(flags: string): TcpHandles {
    return this.#metrics.tcp([...this.#values, 'tcp', flags === '' ? '-' : flags, this.#security]);
  }

  #outcome(record: ExchangeRecord): Outcome {
    for (const known of this.#outcomes) {
      if (
        known.responseCode === record.responseCode &&
        known.flags === record.flags &&
        known.isGrpc === record.isGrpc &&
        known.grpcStatus === record.grpcStatus
      ) {
        return known;
      }
    }
    const { isGrpc, responseCode, flags, grpcStatus } = record;
    const handles = this.#metrics.http([
      ...this.#values,
      isGrpc ? 'grpc' : 'http',
      String(responseCode),
      isGrpc ? grpcStatus : undefined,
      flags === '' ? '-' : flags,
      this.#security,
    ]);
    const made: Outcome = { isGrpc, responseCode, flags, grpcStatus, handles };
    // A backend may answer with any status: what is rare is not kept.
    if (this.#outcomes.length < 16) this.#outcomes.push(made);
    return made;
  }
}
