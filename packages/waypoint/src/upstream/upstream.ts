import { networkInterfaces } from 'node:os';
import type { IpAddress } from '@ambit/common/address/ip';
import { isV6, parseIp } from '@ambit/common/address/ip';
import { asMeshError, type ErrorCode } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Backend, ClientTls, ConnectionPool, Credential } from '@ambit/common/model/backend';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { HbonePool } from '@ambit/hbone/index';
import { choose, type EndpointLoad } from './balance.ts';
import { Cluster, type ClusterEndpoint, type ClusterSources, workloadEndpoint } from './cluster.ts';
import type { PickRequest, PickResult, Upstream, UpstreamEndpoint } from './contract.ts';
import { counted } from './counted-stream.ts';
import { watchDoubleTls } from './double-tls.ts';
import { HttpClient } from './http-client.ts';
import { connectionOverflow, PoolUsage } from './limits.ts';
import { type DnsLookup, HostResolver, systemLookup } from './resolve.ts';
import { TlsMaterial } from './tls-material.ts';
import { openTransport, type TransportOptions } from './transport.ts';

/** What the upstream side is made of. */
export interface UpstreamOptions {
  readonly mesh: () => MeshView;
  /** By `namespace/hostname`. */
  readonly backend: (name: string) => Backend | undefined;
  /** By `namespace/name`. */
  readonly credential: (name: string) => Credential | undefined;
  readonly hbone: Pick<HbonePool, 'open'>;
  /** The waypoint's own certificate. */
  readonly identity: () => Promise<Credentials>;
  readonly network: string;
  /** The waypoint's own addresses; HBONE starts from one of them. Default: those of its interfaces. */
  readonly addresses?: readonly IpAddress[];
  readonly dns?: DnsLookup;
  readonly random?: () => number;
  readonly now?: () => number;
  readonly log: Pick<ScopedLogger, 'warn' | 'info'>;
}

/** Puts choosing, connecting and pooling together. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { log, now = (): number => performance.now(), random = Math.random } = options;
  const addresses = options.addresses?.length ? options.addresses : ownAddresses();
  const resolver = new HostResolver({ lookup: options.dns ?? systemLookup(), now, log });
  const family = addresses.some((ip) => !isV6(ip)) || addresses.length === 0 ? 4 : 6;
  const clusters = new Clusters(options, { resolver, network: options.network, family });
  const warned = new Set<string>();
  const warnOnce = (endpoint: UpstreamEndpoint, message: string): void => {
    const about = `${endpoint.backend ?? endpoint.label} ${message}`;
    if (warned.has(about) || warned.size > 4096) return;
    warned.add(about);
    log.warn(message, { backend: endpoint.backend, port: endpoint.port, endpoint: endpoint.label });
  };
  const transport: TransportOptions = {
    hbone: options.hbone,
    identity: options.identity,
    sources: addresses,
    material: new TlsMaterial(options.credential),
    onUncheckedName: warnOnce,
  };
  const http = new HttpClient(transport, now);
  return {
    pick: (request) => clusters.pick(request, random),
    connect: async (endpoint, signal) => {
      const usage = clusters.usageOf(endpoint);
      const refusal = connectionOverflow(usage, endpoint.pool);
      if (refusal !== undefined) throw refusal;
      try {
        const { stream, local } = await openTransport(transport, endpoint, {
          host: undefined,
          protocol: undefined,
          signal,
        });
        const watched = endpoint.tls === undefined ? stream : watchDoubleTls(stream, endpoint, warnOnce);
        return { stream: counted(watched, usage, loadOf(endpoint)), local };
      } catch (error) {
        throw asMeshError(error, 'DOWNSTREAM_CLOSED');
      }
    },
    request: (endpoint, head, request, handler) => {
      const upgraded = endpoint.pool.h2Upgrade === 'UPGRADE' && request.upgrade === undefined;
      const sent = upgraded && request.protocol === 'HTTP1' ? { ...request, protocol: 'HTTP2' as const } : request;
      const host = endpoint.tls === undefined ? undefined : hostOf(head.authority);
      const key = keyOf(endpoint, host, options.credential);
      const route = { endpoint, load: loadOf(endpoint), usage: clusters.usageOf(endpoint), key, host };
      return http.request(route, head, sent, handler);
    },
    drain: () => http.drain(),
  };
}

/** The clusters in use, each kept until its backend changes. */
class Clusters {
  readonly #options: UpstreamOptions;
  readonly #sources: ClusterSources;
  readonly #clusters = new Map<string, Cluster>();
  readonly #usage = new Map<string, PoolUsage>();

  constructor(options: UpstreamOptions, sources: ClusterSources) {
    this.#options = options;
    this.#sources = sources;
  }

  pick(request: PickRequest, random: () => number): PickResult {
    const mesh = this.#options.mesh();
    if (request.backend === undefined) return found(workloadEndpoint(mesh, this.#options.network, request));
    const cluster = this.#cluster(request.backend, request.port);
    if (typeof cluster === 'string') return none('UNKNOWN_BACKEND', cluster);
    const members = cluster.members(mesh, request);
    if (members.ready !== undefined) return need(members.ready, members.detail);
    const endpoint = choose(cluster.port.loadBalancer, untried(members.endpoints, request.tried), random);
    if (endpoint !== undefined) return found(endpoint);
    if (members.endpoints.length === 0) return none(members.code, members.detail);
    return none('NO_HEALTHY_UPSTREAM', `${cluster.name} port ${request.port}: every endpoint has weight 0`);
  }

  usageOf(endpoint: UpstreamEndpoint): PoolUsage {
    const name = `${endpoint.backend ?? endpoint.label}:${endpoint.port}`;
    let usage = this.#usage.get(name);
    if (usage === undefined) {
      if (this.#usage.size >= 4096) this.#forgetUnused();
      this.#usage.set(name, (usage = new PoolUsage()));
    }
    return usage;
  }

  #forgetUnused(): void {
    for (const [name, { connections, requests }] of this.#usage) {
      if (connections + requests === 0) this.#usage.delete(name);
    }
  }

  #cluster(name: string, number: number): Cluster | string {
    const backend = this.#options.backend(name);
    const key = `${name}:${number}`;
    const port = backend?.ports.find((one) => one.port === number);
    if (backend === undefined || port === undefined) {
      this.#clusters.delete(key);
      return backend === undefined ? `no backend ${name}` : `backend ${name} has no port ${number}`;
    }
    const cluster = this.#clusters.get(key);
    if (cluster?.backend === backend) return cluster;
    const made = new Cluster(backend, port, this.#sources, cluster);
    this.#clusters.set(key, made);
    return made;
  }
}

/** All of them once each was tried. */
function untried(all: readonly ClusterEndpoint[], tried: readonly UpstreamEndpoint[]): readonly ClusterEndpoint[] {
  if (tried.length === 0) return all;
  const left = all.filter((one) => !tried.some(({ label }) => label === one.label));
  return left.length > 0 ? left : all;
}

const found = (endpoint: ClusterEndpoint): PickResult => ({
  kind: 'endpoint',
  endpoint,
  ready: undefined,
  code: undefined,
  detail: '',
});

const need = (ready: Promise<void>, detail: string): PickResult => ({
  kind: 'need',
  endpoint: undefined,
  ready,
  code: undefined,
  detail,
});

const none = (code: ErrorCode, detail: string): PickResult => ({
  kind: 'none',
  endpoint: undefined,
  ready: undefined,
  code,
  detail,
});

/** Endpoints of our own making carry their counters; others (of tests) are not counted. */
function loadOf(endpoint: UpstreamEndpoint & { readonly load?: EndpointLoad }): EndpointLoad {
  return endpoint.load ?? { active: 0, credit: 0 };
}

/** A request may share a connection only if it would have been made the same way: same place, TLS settings, key material and name. */
function keyOf(
  endpoint: UpstreamEndpoint,
  host: string | undefined,
  credential: (name: string) => Credential | undefined,
): string {
  const place = placeOf(endpoint);
  const { tls } = endpoint;
  if (tls === undefined) return place;
  const secret = tls.credential === '' ? undefined : credential(tls.credential);
  return `${place} ${settingsKey(tls)} ${secret === undefined ? 0 : serialOf(secret)} ${host ?? ''}`;
}

/** Kept per endpoint, as every request asks. */
const places = new WeakMap<UpstreamEndpoint, string>();

function placeOf(endpoint: UpstreamEndpoint): string {
  let place = places.get(endpoint);
  if (place === undefined) {
    const { backend = '', port, label, identity, pool } = endpoint;
    place = `${backend}:${port} ${label} ${identity?.uri ?? ''} ${settingsKey(pool)}`;
    places.set(endpoint, place);
  }
  return place;
}

const settings = new WeakMap<ClientTls | ConnectionPool, string>();

/** Equal settings have equal keys, though every update of a backend brings new objects. */
function settingsKey(frozen: ClientTls | ConnectionPool): string {
  let text = settings.get(frozen);
  if (text === undefined) settings.set(frozen, (text = JSON.stringify(frozen)));
  return text;
}

const serials = new WeakMap<Credential, number>();
let lastSerial = 0;

function serialOf(secret: Credential): number {
  let serial = serials.get(secret);
  if (serial === undefined) serials.set(secret, (serial = ++lastSerial));
  return serial;
}

/** The authority without its port, lower case. */
function hostOf(authority: string | undefined): string | undefined {
  if (authority === undefined || authority === '') return undefined;
  const bracketed = /^\[([^\]]+)\]/.exec(authority);
  return (bracketed?.[1] ?? authority.replace(/:\d*$/, '')).toLowerCase();
}

function ownAddresses(): IpAddress[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
    .map(({ address }) => parseIp(address))
    .filter((ip) => ip !== undefined);
}
