/** Small worlds for the tests of this folder: a mesh of values, servers on loopback, and one exchange as a promise. */
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Endpoint, MeshView } from '@ambit/common/mesh/view';
import type { Backend, BackendPort, ClientTls, ConnectionPool } from '@ambit/common/model/backend';
import { NO_LOCALITY } from '@ambit/common/model/locality';
import { type Service, STANDARD_LOAD_BALANCING } from '@ambit/common/model/service';
import type { Workload, WorkloadUid } from '@ambit/common/model/workload';
import type { RequestHead, ResponseHead } from '@ambit/http/h2/contract';
import { Headers } from '@ambit/http/headers';
import { DEFAULT_POOL } from './cluster.ts';
import type { PickRequest, Upstream, UpstreamEndpoint, UpstreamRequestOptions, UpstreamStream } from './contract.ts';
import { createUpstream, type UpstreamOptions } from './upstream.ts';

export const ip = (text: string): IpAddress => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
};

export const LOOPBACK: IpAddress = ip('127.0.0.1');

type WorkloadFields = Omit<Partial<Workload>, 'uid'>;

export function workload(fields: WorkloadFields): Workload {
  const uid: string = fields.name ?? fields.addresses?.join() ?? fields.hostname ?? '';
  return {
    name: uid,
    namespace: 'shop',
    addresses: [],
    hostname: '',
    network: '',
    protocol: 'TCP',
    trustDomain: '',
    serviceAccount: 'default',
    node: '',
    canonicalName: '',
    canonicalRevision: '',
    workloadType: 'pod',
    workloadName: '',
    nativeTunnel: false,
    waypoint: undefined,
    networkGateway: undefined,
    applicationTunnel: undefined,
    authorizationPolicies: [],
    healthy: true,
    clusterId: '',
    locality: NO_LOCALITY,
    hostNetwork: false,
    capacity: 1,
    services: new Map(),
    ...fields,
    uid: asUid(uid),
  };
}

/** The brand's owner makes uids from the wire; tests make them here. */
function asUid(text: string): WorkloadUid {
  if (isUid(text)) return text;
  throw new Error(text);
}

const isUid = (_text: string): _text is WorkloadUid => true;

/** A mesh of one service `shop/api.shop` whose endpoints may be replaced. */
export class OneServiceMesh implements MeshView {
  version = 1;
  #endpoints: readonly Endpoint[];
  readonly #targetPort: number;

  constructor(endpoints: readonly Endpoint[], targetPort = 0) {
    this.#endpoints = endpoints;
    this.#targetPort = targetPort;
  }

  replace(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    this.version++;
  }

  service(namespace: string, hostname: string): Service | undefined {
    if (namespace !== 'shop' || hostname !== 'api.shop') return undefined;
    return {
      name: 'api',
      namespace,
      hostname,
      vips: [],
      cidrVips: [],
      ports: [{ servicePort: 80, targetPort: this.#targetPort, appProtocol: 'HTTP11' }],
      subjectAltNames: [],
      waypoint: undefined,
      weightedWaypoints: [],
      loadBalancing: STANDARD_LOAD_BALANCING,
      ipFamilies: 'AUTOMATIC',
      canonical: true,
      visibility: 'PUBLIC',
    };
  }

  endpoints(): Iterable<Endpoint> {
    return this.#endpoints;
  }

  workloadByAddress(_network: string, address: IpAddress): Workload | undefined {
    return this.#endpoints.find((one) => one.workload.addresses.includes(address))?.workload;
  }

  workload(): undefined {}
  workloads(): Iterable<Workload> {
    return this.#endpoints.map((one) => one.workload);
  }
  serviceByHostname(): undefined {}
  serviceByAddress(): undefined {}
  services(): Iterable<Service> {
    return [];
  }
  policy(): undefined {}
  policies(): [] {
    return [];
  }
  policiesFor(): [] {
    return [];
  }
}

/** An endpoint of `api.shop` port 80 at a port of its own. */
export const endpointAt = (address: string, port: number, fields: WorkloadFields = {}): Endpoint => ({
  workload: workload({ addresses: [ip(address)], name: `${address}:${port}`, ...fields }),
  ports: new Map([[80, port]]),
});

export const endpointNamed = (hostname: string, port: number, fields: WorkloadFields = {}): Endpoint => ({
  workload: workload({ hostname, ...fields }),
  ports: new Map([[80, port]]),
});

export interface BackendFields {
  readonly resolution?: Backend['resolution'];
  readonly hostname?: string;
  readonly tls?: Partial<ClientTls>;
  readonly pool?: Partial<ConnectionPool>;
  readonly loadBalancer?: BackendPort['loadBalancer'];
  readonly targetPort?: number;
}

export function backendOf(fields: BackendFields = {}): Backend {
  const { resolution = 'STATIC', hostname = 'api.shop', loadBalancer = 'ROUND_ROBIN', targetPort = 80 } = fields;
  const tls = fields.tls === undefined ? undefined : { ...SIMPLE, ...fields.tls };
  const port = { port: 80, targetPort, tls, loadBalancer, pool: { ...DEFAULT_POOL, ...fields.pool } };
  return { namespace: 'shop', hostname, resolution, external: true, subjectAltNames: [], ports: [port] };
}

const SIMPLE: ClientTls = {
  mode: 'SIMPLE',
  sni: '',
  subjectAltNames: [],
  caCertificates: '',
  clientCertificate: '',
  privateKey: '',
  credential: '',
  insecureSkipVerify: false,
};

export interface World {
  readonly upstream: Upstream;
  readonly log: string[];
}

/** An upstream over one mesh and one backend; no HBONE, no DNS unless given. */
export function worldOf(mesh: MeshView, backend: () => Backend, over: Partial<UpstreamOptions> = {}): World {
  const log: string[] = [];
  const say = (message: string, fields?: object): void => void log.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const upstream = createUpstream({
    mesh: () => mesh,
    backend: (name) => (name === `shop/${backend().hostname}` ? backend() : undefined),
    credential: () => undefined,
    hbone: { open: () => Promise.reject(new MeshError('INTERNAL', 'no HBONE in this test')) },
    identity: () => Promise.reject(new MeshError('NO_IDENTITY', 'no identity in this test')),
    network: '',
    addresses: [LOOPBACK],
    dns: () => Promise.reject(new Error('no DNS in this test')),
    random: () => 0,
    log: { warn: say, info: say },
    ...over,
  });
  return { upstream, log };
}

export const wanted = (over: Partial<PickRequest> = {}): PickRequest => ({
  backend: 'shop/api.shop',
  port: 80,
  originalDestination: { ip: ip('240.240.0.2'), port: 80 },
  host: undefined,
  tried: [],
  ...over,
});

/** Picks until the answer is not `need`; throws when there is none. */
export async function pick(upstream: Upstream, request: PickRequest = wanted()): Promise<UpstreamEndpoint> {
  for (let i = 0; i < 3; i++) {
    const result = upstream.pick(request);
    if (result.kind === 'endpoint') return result.endpoint;
    if (result.kind === 'none') throw new MeshError(result.code, result.detail);
    await result.ready;
  }
  throw new Error('still waiting');
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly interim: readonly number[];
  readonly body: string;
  readonly trailers: Headers | undefined;
  readonly error: MeshError | undefined;
  readonly events: readonly string[];
}

export interface SendOptions {
  readonly head?: Partial<RequestHead>;
  readonly body?: string;
  readonly options?: Partial<UpstreamRequestOptions>;
  readonly onSent?: (stream: UpstreamStream) => void;
  readonly onStream?: (stream: UpstreamStream, event: string) => void;
}

/** One exchange, from the request to onClose. */
export function send(upstream: Upstream, endpoint: UpstreamEndpoint, sent: SendOptions = {}): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const head: RequestHead = {
    method: sent.body === undefined ? 'GET' : 'POST',
    scheme: 'http',
    authority: 'api.shop',
    path: '/',
    protocol: undefined,
    headers: new Headers(),
    ...sent.head,
  };
  const received: Buffer[] = [];
  const events: string[] = [];
  const interim: number[] = [];
  let final: ResponseHead | undefined;
  let trailers: Headers | undefined;
  const happened = (event: string): void => {
    events.push(event);
    sent.onStream?.(stream, event);
  };
  const options = { endStream: sent.body === undefined, protocol: 'HTTP1' as const, ...sent.options };
  const stream = upstream.request(endpoint, head, options, {
    onHead: (one) => {
      if (one.status >= 200 || one.status === 101) final = one;
      else interim.push(one.status);
      happened(`head ${one.status}`);
    },
    onData: (chunk) => {
      received.push(Buffer.from(chunk));
      happened('data');
    },
    onTrailers: (fields) => (trailers = fields),
    onEnd: () => happened('end'),
    onDrain: () => happened('drain'),
    onClose: (error) => {
      events.push('close');
      resolve({
        status: final?.status ?? 0,
        headers: final?.headers ?? new Headers(),
        interim,
        body: Buffer.concat(received).toString(),
        trailers,
        error: error === undefined ? undefined : asMeshError(error),
        events,
      });
    },
  });
  sent.onSent?.(stream);
  if (sent.body !== undefined) {
    stream.write(Buffer.from(sent.body));
    stream.end();
  }
  return promise;
}

/** Listens on a free port of loopback; the port. */
export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Waits for something that real sockets bring about; throws after five seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it did not happen within 5 s');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
