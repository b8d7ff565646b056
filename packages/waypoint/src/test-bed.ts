import type { HostPort } from '@ambit/common/address/host-port';
import { parseIp, type IpAddress } from '@ambit/common/address/ip';
import { spiffeId } from '@ambit/common/identity/spiffe';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Listener, ListenerProtocol, ProxySettings } from '@ambit/common/model/listener';
import type { Policy } from '@ambit/common/model/policy';
import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import { createLogger } from '@ambit/common/telemetry/log';
import { Registry } from '@ambit/common/telemetry/metrics';
import type { RequestHead, ResponseHead, StreamHandler } from '@ambit/http/h2/contract';
import { Headers } from '@ambit/http/headers';
import { PolicyTable } from './authorize/policy-table.ts';
import { serveTunnel } from './connection.ts';
import { Pipeline, TunnelContext } from './pipeline.ts';
import { WaypointMetrics } from './telemetry/metrics.ts';
import type {
  PickRequest,
  PickResult,
  Upstream,
  UpstreamConnection,
  UpstreamEndpoint,
  UpstreamRequestOptions,
  UpstreamStream,
} from './upstream/contract.ts';

/** For unit tests of the pipelines: tunnels in memory, and an upstream that a test plays itself. No program uses this file. */

/** One end of a connection in memory: what one end writes the other receives, in order and later. */
export class MemoryStream implements ByteStream {
  peer: MemoryStream | undefined;
  #sink: ByteSink | undefined;
  #queue: (() => void)[] = [];
  #scheduled = false;
  #paused = false;
  #closed = false;
  ended = false;
  destroyed = false;
  /** What write() answers. */
  room = true;

  static pair(): [MemoryStream, MemoryStream] {
    const a = new MemoryStream();
    const b = new MemoryStream();
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  get paused(): boolean {
    return this.#paused;
  }

  attach(sink: ByteSink): void {
    this.#sink = sink;
    this.#schedule();
  }

  write(chunk: Uint8Array): boolean {
    if (this.ended || this.#closed) return true;
    this.peer?.deliver((sink) => sink.onData(chunk));
    return this.room;
  }

  end(): void {
    if (this.ended || this.#closed) return;
    this.ended = true;
    this.peer?.deliver((sink) => sink.onEnd());
    if (this.peer?.ended === true) this.#closeBoth(undefined);
  }

  drain(): void {
    this.room = true;
    this.#sink?.onDrain();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  cork(): void {}

  uncork(): void {}

  destroy(error?: Error): void {
    this.destroyed = true;
    this.#closeBoth(error ?? new Error('reset'));
  }

  deliver(event: (sink: ByteSink) => void): void {
    this.#queue.push(() => this.#sink !== undefined && event(this.#sink));
    this.#schedule();
  }

  #closeBoth(error: Error | undefined): void {
    for (const side of [this, this.peer]) {
      if (side === undefined || side.#closed) continue;
      side.#closed = true;
      side.#paused = false;
      side.deliver((sink) => sink.onClose(side.destroyed ? undefined : error));
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#sink !== undefined && !this.#paused && this.#queue.length > 0) this.#queue.shift()?.();
    });
  }
}

/** What the client at the far end of a tunnel received. */
export class TestClient implements ByteSink {
  readonly stream: MemoryStream;
  received = '';
  ended = false;
  closed = false;

  constructor(stream: MemoryStream) {
    this.stream = stream;
    stream.attach(this);
  }

  send(text: string): void {
    this.stream.write(Buffer.from(text, 'latin1'));
  }

  onData(chunk: Uint8Array): void {
    this.received += Buffer.from(chunk).toString('latin1');
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {}

  onClose(): void {
    this.closed = true;
  }
}

/** One request that reached the upstream side; the test answers it. */
export class TestRequest implements UpstreamStream {
  readonly endpoint: UpstreamEndpoint;
  readonly head: RequestHead;
  readonly options: UpstreamRequestOptions;
  readonly handler: StreamHandler;
  readonly local: HostPort = { ip: ip('10.0.0.9'), port: 40_000 };
  body = '';
  ended = false;
  trailers: Headers | undefined;
  resetWith: string | undefined;
  paused = false;
  room = true;

  constructor(endpoint: UpstreamEndpoint, head: RequestHead, options: UpstreamRequestOptions, handler: StreamHandler) {
    this.endpoint = endpoint;
    this.head = head;
    this.options = options;
    this.handler = handler;
    this.ended = options.endStream;
  }

  /** A whole response. */
  answer(status: number, headers: string[] = [], body = ''): void {
    this.head200({ status, headers: new Headers(headers) }, body === '');
    if (body !== '') this.handler.onData(Buffer.from(body));
    this.handler.onEnd();
    this.handler.onClose(undefined);
  }

  head200(head: ResponseHead, end: boolean): void {
    this.handler.onHead?.(head, end);
  }

  attach(): void {}

  write(chunk: Uint8Array): boolean {
    this.body += Buffer.from(chunk).toString('latin1');
    return this.room;
  }

  end(): void {
    this.ended = true;
  }

  endWithTrailers(trailers: Headers): void {
    this.trailers = trailers;
    this.ended = true;
  }

  reset(code: string): void {
    this.resetWith = code;
  }

  destroy(): void {
    this.resetWith = 'destroy';
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  cork(): void {}

  uncork(): void {}
}

export const ip = (text: string): IpAddress => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
};

const POOL = {
  maxConnections: 0,
  connectTimeoutMs: 0,
  maxPendingRequests: 0,
  maxRequests: 0,
  maxRequestsPerConnection: 0,
  idleTimeoutMs: 0,
  h2Upgrade: 'DEFAULT' as const,
};

export const endpointAt = (address: string, port: number): UpstreamEndpoint => ({
  address: { ip: ip(address), port },
  workload: undefined,
  identity: undefined,
  viaHbone: false,
  tls: undefined,
  pool: POOL,
  label: `${address}:${port}`,
  backend: 'egress/httpbin.org',
  port: 80,
});

export const picked = (endpoint: UpstreamEndpoint): PickResult => ({
  kind: 'endpoint',
  endpoint,
  ready: undefined,
  code: undefined,
  detail: '',
});

/** An upstream whose requests wait for the test. */
export class TestUpstream implements Upstream {
  readonly picks: PickRequest[] = [];
  readonly requests: TestRequest[] = [];
  readonly opened: MemoryStream[] = [];
  next: (request: PickRequest) => PickResult = () => picked(endpointAt('203.0.113.10', 80));
  connectWith: (endpoint: UpstreamEndpoint) => Promise<UpstreamConnection> = () => {
    const [near, far] = MemoryStream.pair();
    this.opened.push(far);
    return Promise.resolve({ stream: near, local: { ip: ip('10.0.0.9'), port: 40_000 } });
  };

  pick(request: PickRequest): PickResult {
    this.picks.push({ ...request, tried: [...request.tried] });
    return this.next(request);
  }

  connect(endpoint: UpstreamEndpoint): Promise<UpstreamConnection> {
    return this.connectWith(endpoint);
  }

  // oxlint-disable-next-line max-params -- the contract's
  request(
    endpoint: UpstreamEndpoint,
    head: RequestHead,
    options: UpstreamRequestOptions,
    handler: StreamHandler,
  ): UpstreamStream {
    const request = new TestRequest(endpoint, head, options, handler);
    this.requests.push(request);
    return request;
  }

  drain(): void {}

  /** The request that came last. */
  get last(): TestRequest {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error('no request reached the upstream');
    return last;
  }
}

const EMPTY_MESH: MeshView = {
  version: 0,
  workload: () => undefined,
  workloadByAddress: () => undefined,
  workloads: () => [],
  service: () => undefined,
  serviceByHostname: () => undefined,
  serviceByAddress: () => undefined,
  services: () => [],
  endpoints: () => [],
  policy: () => undefined,
  policies: () => [],
  policiesFor: () => [],
};

export const listenerOf = (protocol: ListenerProtocol): Listener => ({
  namespace: 'egress',
  hostname: 'httpbin.org',
  name: 'httpbin',
  kind: 'ServiceEntry',
  addresses: [{ network: '', ip: ip('240.240.0.2') }],
  ports: [{ port: 80, name: 'http', protocol }],
});

/** A waypoint of one service, without network. */
export class TestBed {
  readonly upstream: TestUpstream = new TestUpstream();
  readonly policies: PolicyTable = new PolicyTable();
  readonly registry: Registry = new Registry();
  /** Access log lines. */
  readonly lines: string[] = [];
  /** Lines of scope `authz`. */
  readonly explained: string[] = [];
  readonly pipeline: Pipeline;
  settings: ProxySettings = {
    namespace: 'egress',
    name: 'waypoint',
    trustDomain: 'cluster.local',
    trustDomainAliases: [],
    accessLog: 'TEXT',
    pathNormalization: 'BASE',
    serverHeader: 'istio-envoy',
  };
  now: number = Date.UTC(2026, 10, 21, 10, 0, 0);

  constructor() {
    const log = createLogger({ level: 'info', format: 'plain', write: (line) => void this.explained.push(line) });
    this.pipeline = new Pipeline({
      self: { name: 'waypoint', namespace: 'egress', network: '', addresses: [ip('10.0.0.9')] },
      cluster: 'Kubernetes',
      upstream: this.upstream,
      mesh: EMPTY_MESH,
      policies: this.policies,
      settings: () => this.settings,
      metrics: new WaypointMetrics(this.registry, 'test'),
      clock: { now: () => this.now, monotonic: () => this.now },
      random: () => 0,
      newRequestId: () => 'new-id',
      writeLine: (line) => void this.lines.push(line),
      authzLog: log.scope('authz'),
    });
  }

  setPolicies(...policies: Policy[]): void {
    this.policies.replace(policies);
    this.pipeline.recheck();
  }

  /** A client at the far end of a new tunnel to the service. */
  open(protocol: ListenerProtocol = 'HTTP'): TestClient {
    const listener = listenerOf(protocol);
    const address = { ip: ip('240.240.0.2'), port: 80 };
    const port = { port: 80, name: 'http', protocol };
    const facts = {
      identity: spiffeId('cluster.local', 'default', 'curl'),
      source: { ip: ip('10.244.0.18'), port: 41_548 },
      destination: address,
    };
    const [near, far] = MemoryStream.pair();
    const destination = {
      kind: 'service',
      address,
      listener,
      port,
      workload: undefined,
      status: 200,
      detail: '',
    } as const;
    const client = new TestClient(far);
    serveTunnel(new TunnelContext(this.pipeline, facts, destination), near);
    return client;
  }
}

/** Lets everything that is due happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
}
