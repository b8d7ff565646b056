import type { HostPort } from '@ambit/common/address/host-port';
import { formatHostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isLoopback, isV6, parseIp } from '@ambit/common/address/ip';
import type { ErrorCode } from '@ambit/common/errors';
import { type SpiffeId, spiffeId } from '@ambit/common/identity/spiffe';
import type { Endpoint, MeshView } from '@ambit/common/mesh/view';
import type { Backend, BackendPort, ClientTls, ConnectionPool } from '@ambit/common/model/backend';
import type { Service } from '@ambit/common/model/service';
import type { PortMap, Workload } from '@ambit/common/model/workload';
import type { EndpointLoad } from './balance.ts';
import type { PickRequest, UpstreamEndpoint } from './contract.ts';
import type { HostResolver } from './resolve.ts';

/** An endpoint with what balancing needs. */
export interface ClusterEndpoint extends UpstreamEndpoint {
  readonly weight: number;
  readonly load: EndpointLoad;
}

/** Where clusters look things up. */
export interface ClusterSources {
  readonly resolver: HostResolver;
  /** The network this waypoint is on. */
  readonly network: string;
  /** Of two families the one that this waypoint can send from; 4 when both. */
  readonly family: 4 | 6;
}

/** The endpoints of a backend port at one moment. */
export interface Membership {
  readonly endpoints: readonly ClusterEndpoint[];
  /** Set when there are none because a first DNS answer is awaited. */
  readonly ready: Promise<void> | undefined;
  /** Why there are none. */
  readonly code: ErrorCode;
  readonly detail: string;
}

export const DEFAULT_POOL: ConnectionPool = Object.freeze({
  maxConnections: 0,
  connectTimeoutMs: 0,
  maxPendingRequests: 0,
  maxRequests: 0,
  maxRequestsPerConnection: 0,
  idleTimeoutMs: 0,
  h2Upgrade: 'DEFAULT',
});

/** `istio.workload.Workload.trust_domain` may be left empty for this one. */
const DEFAULT_TRUST_DOMAIN = 'cluster.local';

/**
 * One port of one backend: its endpoints from the mesh and DNS. Rebuilt only when the backend, the mesh or an answer changed;
 * load counters stay with their address across rebuilds.
 */
export class Cluster {
  readonly backend: Backend;
  readonly port: BackendPort;
  readonly name: string;
  readonly #sources: ClusterSources;
  #loads = new Map<string, EndpointLoad>();
  #hosts: ReadonlySet<string> = new Set();
  #membership: Membership | undefined;
  #meshVersion = -1;
  #dnsVersion = -1;

  constructor(backend: Backend, port: BackendPort, sources: ClusterSources, before: Cluster | undefined) {
    this.backend = backend;
    this.port = port;
    this.name = `${backend.namespace}/${backend.hostname}`;
    this.#sources = sources;
    if (before !== undefined) this.#loads = before.#loads;
  }

  members(mesh: MeshView, request: PickRequest): Membership {
    const { resolution } = this.backend;
    if (resolution === 'NONE' || this.port.loadBalancer === 'PASSTHROUGH') return this.#original(mesh, request);
    if (resolution === 'DYNAMIC_DNS') return this.#dynamic(request.host);
    const namesUnchanged = this.#refreshNames();
    if (this.#membership !== undefined && namesUnchanged && this.#meshVersion === mesh.version) return this.#membership;
    this.#meshVersion = mesh.version;
    const built = this.#build(mesh);
    this.#dnsVersion = this.#sources.resolver.version;
    this.#membership = built.endpoints.length > 0 || this.#hosts.size === 0 ? built : undefined;
    return built;
  }

  /** Asking is what renews an answer that has run out, so the names of the last build are asked at every pick. True when no answer changed. */
  #refreshNames(): boolean {
    const { resolver } = this.#sources;
    for (const host of this.#hosts) resolver.resolve(host);
    return this.#hosts.size === 0 || resolver.version === this.#dnsVersion;
  }

  #build(mesh: MeshView): Membership {
    const { backend, port } = this;
    const service = mesh.service(backend.namespace, backend.hostname);
    const gathered = new Gathering(this, this.#sources, this.#loads);
    if (service !== undefined) for (const endpoint of mesh.endpoints(service)) gathered.add(endpoint, service);
    this.#hosts = gathered.hosts;
    this.#loads = gathered.loads;
    return gathered.membership(`${this.name} port ${port.port}`, service !== undefined);
  }

  /** Where the client wanted to go, over HBONE when that is a mesh workload. */
  #original(mesh: MeshView, { originalDestination }: PickRequest): Membership {
    const workload = mesh.workloadByAddress(this.#sources.network, originalDestination.ip);
    return only(this.#endpoint(originalDestination, workload));
  }

  /** The host of the request itself, when the wildcard covers it. */
  #dynamic(host: string | undefined): Membership {
    const wildcard = this.backend.hostname;
    if (host === undefined || !coveredBy(wildcard, host)) {
      return noMembers('NO_ROUTE', `host ${host ?? '(none)'} is not covered by ${this.name}`);
    }
    const { addresses, ready, failure } = this.#sources.resolver.resolve(host);
    // The client chose the name: it must not lead to what only this waypoint can reach.
    const usable = addresses.filter((ip) => parseIp(host) === undefined && isPublicEnough(ip));
    if (usable.length === 0) {
      return { endpoints: [], ready, code: 'DNS_FAILED', detail: failure ?? `${host} has no usable address` };
    }
    const endpoints = preferred(usable, this.#sources.family).map((ip) =>
      this.#endpoint({ ip, port: this.port.targetPort }, undefined),
    );
    return { endpoints, ready: undefined, code: 'DNS_FAILED', detail: '' };
  }

  #endpoint(address: HostPort, workload: Workload | undefined): ClusterEndpoint {
    const { name, port } = this;
    const label = formatHostPort(address.ip, address.port);
    return clusterEndpoint(
      { address, workload, name, port: port.port, tls: port.tls, pool: port.pool },
      1,
      loadFor(this.#loads, label),
    );
  }
}

/** A bound workload's own address: no backend, only where the client wanted to go. */
export function workloadEndpoint(
  mesh: MeshView,
  network: string,
  { originalDestination, port }: PickRequest,
): ClusterEndpoint {
  const workload = mesh.workloadByAddress(network, originalDestination.ip);
  const place = { address: originalDestination, workload, name: undefined, port, tls: undefined, pool: DEFAULT_POOL };
  return clusterEndpoint(place, 1, newLoad());
}

/** Collects the endpoints of one build. */
class Gathering {
  readonly endpoints: ClusterEndpoint[] = [];
  readonly hosts = new Set<string>();
  readonly loads = new Map<string, EndpointLoad>();
  readonly #cluster: Cluster;
  readonly #sources: ClusterSources;
  readonly #before: ReadonlyMap<string, EndpointLoad>;
  readonly #problems: string[] = [];
  #ready: Promise<void> | undefined;
  #dnsFailed = false;

  constructor(cluster: Cluster, sources: ClusterSources, before: ReadonlyMap<string, EndpointLoad>) {
    this.#cluster = cluster;
    this.#sources = sources;
    this.#before = before;
  }

  add({ workload, ports }: Endpoint, service: Service): void {
    const { port } = this.#cluster;
    if (workload.network !== '' && workload.network !== this.#sources.network) {
      this.#problems.push(`${workload.name} is on network ${workload.network}`);
      return;
    }
    const target = targetPort(port, service, ports);
    if (target === 0) {
      this.#problems.push(`${workload.name} does not say which port ${port.port} is`);
      return;
    }
    const addresses = workload.addresses.length > 0 ? this.#own(workload.addresses) : this.#resolved(workload.hostname);
    for (const ip of addresses) this.#addAddress({ ip, port: target }, workload, addresses.length);
  }

  membership(what: string, known: boolean): Membership {
    const { endpoints } = this;
    const ready = endpoints.length === 0 ? this.#ready : undefined;
    const why = known ? this.#problems.join('; ') || 'it has no endpoints' : 'the mesh knows no such service';
    return {
      endpoints,
      ready,
      code: this.#dnsFailed ? 'DNS_FAILED' : 'NO_HEALTHY_UPSTREAM',
      detail: endpoints.length > 0 ? '' : `${what}: ${why}`,
    };
  }

  /** A pod of two families is one endpoint. */
  #own(addresses: readonly IpAddress[]): readonly IpAddress[] {
    return preferred(addresses, this.#sources.family).slice(0, 1);
  }

  #resolved(host: string): readonly IpAddress[] {
    if (host === '') return [];
    this.hosts.add(host);
    const { addresses, ready, failure } = this.#sources.resolver.resolve(host);
    this.#ready ??= ready;
    if (failure !== undefined) {
      this.#dnsFailed = true;
      this.#problems.push(`${host} does not resolve: ${failure}`);
    }
    const usable = preferred(addresses, this.#sources.family);
    return this.#cluster.backend.resolution === 'DNS_ROUND_ROBIN' ? usable.slice(0, 1) : usable;
  }

  /** A host name's weight is shared by its addresses. */
  #addAddress(address: HostPort, workload: Workload, sharers: number): void {
    const { name, port } = this.#cluster;
    const label = formatHostPort(address.ip, address.port);
    if (this.loads.has(label)) return;
    const load = this.#before.get(label) ?? newLoad();
    this.loads.set(label, load);
    const place = { address, workload, name, port: port.port, tls: port.tls, pool: port.pool };
    this.endpoints.push(clusterEndpoint(place, workload.capacity / sharers, load));
  }
}

/**
 * An endpoint's own port wins over the service's. Where it has none of its own the backend says it, not the service: whether TLS
 * is originated comes with the backend, and the two must change in the same moment (80 in plain becomes 443 with TLS).
 */
function targetPort(port: BackendPort, service: Service, ports: PortMap): number {
  const declared = service.ports.find((one) => one.servicePort === port.port)?.targetPort ?? 0;
  const mapped = ports.get(port.port) ?? 0;
  return mapped !== 0 && mapped !== declared ? mapped : port.targetPort || declared;
}

interface Place {
  readonly address: HostPort;
  readonly workload: Workload | undefined;
  readonly name: string | undefined;
  readonly port: number;
  readonly tls: ClientTls | undefined;
  readonly pool: ConnectionPool;
}

function clusterEndpoint(
  { address, workload, name, port, tls, pool }: Place,
  weight: number,
  load: EndpointLoad,
): ClusterEndpoint {
  const viaHbone = workload !== undefined && workload.protocol === 'HBONE';
  return {
    address,
    workload,
    identity: viaHbone ? identityOf(workload) : undefined,
    viaHbone,
    tls,
    pool,
    label: formatHostPort(address.ip, address.port),
    backend: name,
    port,
    weight,
    load,
  };
}

function identityOf({ trustDomain, namespace, serviceAccount }: Workload): SpiffeId {
  return spiffeId(trustDomain === '' ? DEFAULT_TRUST_DOMAIN : trustDomain, namespace, serviceAccount);
}

const newLoad = (): EndpointLoad => ({ active: 0, credit: 0 });

/** Bounded: original destinations and dynamic hosts are the client's choice. */
const MAX_LOADS = 4096;

function loadFor(loads: Map<string, EndpointLoad>, label: string): EndpointLoad {
  let load = loads.get(label);
  if (load === undefined) {
    if (loads.size >= MAX_LOADS) loads.clear();
    loads.set(label, (load = newLoad()));
  }
  return load;
}

/** One family, as an unreachable second one would fail half of the requests. */
function preferred(addresses: readonly IpAddress[], family: 4 | 6): readonly IpAddress[] {
  const own = addresses.filter((ip) => isV6(ip) === (family === 6));
  return own.length > 0 ? own : addresses;
}

const only = (endpoint: ClusterEndpoint): Membership => ({
  endpoints: [endpoint],
  ready: undefined,
  code: 'NO_HEALTHY_UPSTREAM',
  detail: '',
});

export const noMembers = (code: ErrorCode, detail: string): Membership => ({
  endpoints: [],
  ready: undefined,
  code,
  detail,
});

/** `*.example.com` covers every name below example.com, at any depth, not example.com itself. */
export function coveredBy(hostname: string, host: string): boolean {
  const name = host.toLowerCase();
  if (!hostname.startsWith('*')) return name === hostname;
  const suffix = hostname.slice(1);
  return name.length > suffix.length && name.endsWith(suffix);
}

/** No loopback, unspecified, link-local or multicast address. */
const isPublicEnough = (ip: IpAddress): boolean =>
  !isLoopback(ip) && !/^(?:0\.|169\.254\.|22[4-9]\.|23\d\.|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:)/.test(ip) && ip !== '::';
