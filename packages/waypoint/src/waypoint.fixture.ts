/** For unit tests of the pipelines: tunnels in memory, and an upstream that a test plays itself. No program uses this file. */
import type { HostPort } from '@ambit/common/address/host-port';
import { spiffeId } from '@ambit/common/identity/spiffe';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Listener, ListenerProtocol, ProxySettings } from '@ambit/common/model/listener';
import { type Service, STANDARD_LOAD_BALANCING } from '@ambit/common/model/service';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import type { Workload } from '@ambit/common/model/workload';
import type { Policy } from '@ambit/common/model/policy';
import { createLogger } from '@ambit/common/telemetry/log';
import { Registry } from '@ambit/common/telemetry/metrics';
import type { RequestHead, ResponseHead, StreamHandler } from '@ambit/http/h2/contract';
import { Headers } from '@ambit/http/headers';
import { PolicyTable } from './authorize/policy-table.ts';
import { serveTunnel } from './connection.ts';
import { Pipeline, TunnelContext } from './pipeline.ts';
import { MemoryStream, TestClient } from './stream.fixture.ts';
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
import { ip, workload } from './upstream/upstream.fixture.ts';

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

export { ip };

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
  /** Sends what was picked here for real. */
  delegate: Upstream | undefined;
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
    return this.delegate?.connect(endpoint, new AbortController().signal) ?? this.connectWith(endpoint);
  }

  // oxlint-disable-next-line max-params -- the contract's
  request(
    endpoint: UpstreamEndpoint,
    head: RequestHead,
    options: UpstreamRequestOptions,
    handler: StreamHandler,
  ): UpstreamStream {
    if (this.delegate !== undefined) return this.delegate.request(endpoint, head, options, handler);
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

/** A mesh of these workloads, and of services by VIP. */
export const meshOf = (
  workloads: readonly Workload[],
  services: Readonly<Record<string, Pick<Service, 'namespace' | 'hostname'>>> = {},
): MeshView => ({
  version: 0,
  workload: () => undefined,
  workloadByAddress: (_network, address) => workloads.find((one) => one.addresses.includes(address)),
  workloads: () => workloads,
  service: () => undefined,
  serviceByHostname: () => undefined,
  serviceByAddress: (_network, address) => {
    const found = services[address];
    return found === undefined ? undefined : { ...SERVICE, ...found };
  },
  services: () => [],
  endpoints: () => [],
  policy: () => undefined,
  policies: () => [],
  policiesFor: () => [],
});

const SERVICE: Service = {
  name: 'waypoint',
  namespace: 'egress',
  hostname: '',
  vips: [],
  cidrVips: [],
  ports: [],
  subjectAltNames: [],
  waypoint: undefined,
  weightedWaypoints: [],
  loadBalancing: STANDARD_LOAD_BALANCING,
  ipFamilies: 'AUTOMATIC',
  canonical: true,
  visibility: 'PUBLIC',
};

/** A pod at an address, bound to a waypoint or not. */
export const workloadAt = (address: string, waypoint: GatewayAddress | undefined): Workload =>
  workload({ name: `pod-${address}`, namespace: 'default', addresses: [ip(address)], waypoint });

export const listenerOf = (protocol: ListenerProtocol): Listener => ({
  namespace: 'egress',
  hostname: 'httpbin.org',
  name: 'httpbin',
  kind: 'ServiceEntry',
  addresses: [{ network: '', ip: ip('240.240.0.2') }],
  cidrAddresses: [],
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

  constructor(level = 'info') {
    const log = createLogger({ level, format: 'plain', write: (line) => void this.explained.push(line) });
    this.pipeline = new Pipeline({
      self: { name: 'waypoint', namespace: 'egress', network: '', addresses: [ip('10.0.0.9')] },
      cluster: 'Kubernetes',
      upstream: this.upstream,
      mesh: meshOf([]),
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
