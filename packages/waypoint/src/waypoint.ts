import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { asMeshError } from '@ambit/common/errors';
import { CaClient } from '@ambit/common/identity/ca-client';
import { CredentialCache } from '@ambit/common/identity/credential-cache';
import type { Credentials } from '@ambit/common/identity/credentials';
import { spiffeId } from '@ambit/common/identity/spiffe';
import { Readiness } from '@ambit/common/lifecycle/readiness';
import { meshTypes } from '@ambit/common/mesh/ads-types';
import { MeshStore } from '@ambit/common/mesh/store';
import type { ProxySettings } from '@ambit/common/model/listener';
import type { Logger } from '@ambit/common/telemetry/log';
import { Registry } from '@ambit/common/telemetry/metrics';
import { type AdsClient, startAdsClient } from '@ambit/common/xds/ads-client';
import { tokenSource } from '@ambit/common/xds/secure-channel';
import { HbonePool } from '@ambit/hbone';
import { startAdmin } from './admin.ts';
import type { WaypointSelf } from './capture/destination.ts';
import { listenForTunnels } from './capture/listener.ts';
import { Refusals } from './capture/refusals.ts';
import type { WaypointConfig } from './config.ts';
import { dialHbone } from './hbone-dial.ts';
import { hasIpv6 } from './ip-families.ts';
import { L7Tables } from './l7-tables.ts';
import { Pipeline } from './pipeline.ts';
import { WaypointMetrics } from './telemetry/metrics.ts';
import { answerTunnel, tellOtherRequest } from './tunnels.ts';
import type { Upstream } from './upstream/contract.ts';
import { createUpstream } from './upstream/upstream.ts';

const VERSION = '0.1.0';
/** Between looks at whether the first certificate has come. */
const POLL_MS = 100;
/** Between looks at what has lasted too long. */
const TICK_MS = 1000;
const HBONE_POOL = {
  maxStreams: 100,
  idleMs: 300_000,
  streamWindow: 4 << 20,
  connectionWindow: 16 << 20,
  frameSize: 1 << 20,
};

/** A running waypoint. */
export interface Waypoint {
  /** Port of the tunnels; differs from the configuration only if that said 0. */
  readonly port: number;
  /** Resolves at the first moment at which traffic may come. */
  readonly ready: Promise<void>;
  /** Lets connections finish for as long as the configuration says, then ends everything. */
  stop(): Promise<void>;
}

/** Starts a waypoint. Rejects with MeshError CONFIG when it cannot listen. */
export async function startWaypoint(config: WaypointConfig, log: Logger): Promise<Waypoint> {
  const scope = new AbortController();
  const readiness = new Readiness();
  const registry = new Registry();
  const mesh = new MeshStore();
  const self: WaypointSelf = {
    name: config.gatewayName,
    namespace: config.podNamespace,
    network: config.network,
    addresses: config.addresses,
  };
  const tables = new L7Tables(defaultSettings(config), () => pipeline.recheck());
  const identity = startIdentity(config, log, scope.signal);
  const hbone = new HbonePool({ ...HBONE_POOL, dial: dialHbone });
  const upstream = createUpstream({
    mesh: () => mesh,
    backend: (name) => tables.backend(name),
    credential: (name) => tables.credential(name),
    hbone,
    identity: identity.own,
    network: config.network,
    addresses: config.addresses,
    log: log.scope('upstream'),
  });
  const pipeline = startPipeline({ config, self, log, mesh, tables, upstream, registry });
  const refusals = new Refusals(log.scope('capture'), () => performance.now());
  const { maxConnectionsPerClient, maxTunnelsPerClient } = config;
  const tunnels = { self, listeners: tables, mesh, pipeline, refusals, maxTunnelsPerClient };
  const listener = await listenForTunnels({
    hosts: hasIpv6() ? ['0.0.0.0', '::'] : ['0.0.0.0'],
    port: config.hbonePort,
    credentials: identity.own,
    trustDomains: () => [tables.settings.trustDomain, ...tables.settings.trustDomainAliases],
    onTunnel: (request, open) => answerTunnel(request, open, tunnels),
    onOther: (request) => tellOtherRequest(request, refusals),
    refusals,
    maxConnectionsPerClient,
  });
  const ticker = setInterval(() => {
    pipeline.tick();
    refusals.tick();
  }, TICK_MS).unref();
  const ads = startConfiguration(config, log, [...meshTypes(mesh).slice(0, 1), ...tables.types()], scope.signal);
  const ready = whenReady(readiness, ads, identity.own, scope.signal);
  const admin = await startAdmin({ config, log, readiness, registry, tables, certificates: identity.cache });
  const stop = async (): Promise<void> => {
    readiness.task('drain');
    listener.drain();
    await pipeline.drain(config.drainSeconds * 1000);
    upstream.drain();
    hbone.drain();
    listener.close();
    clearInterval(ticker);
    scope.abort();
    await Promise.all(admin.map((server) => server.close()));
  };
  return { port: listener.port, ready, stop };
}

/** In force until the control plane has spoken. */
const defaultSettings = (config: WaypointConfig): ProxySettings => ({
  namespace: config.podNamespace,
  name: config.gatewayName,
  trustDomain: config.trustDomain,
  trustDomainAliases: [],
  accessLog: 'TEXT',
  pathNormalization: 'BASE',
  serverHeader: 'istio-envoy',
});

interface PipelineInput {
  readonly config: WaypointConfig;
  readonly self: WaypointSelf;
  readonly log: Logger;
  readonly mesh: MeshStore;
  readonly tables: L7Tables;
  readonly upstream: Upstream;
  readonly registry: Registry;
}

function startPipeline({ config, self, log, mesh, tables, upstream, registry }: PipelineInput): Pipeline {
  return new Pipeline({
    self,
    cluster: config.clusterId,
    upstream,
    mesh,
    policies: tables.policies,
    settings: () => tables.settings,
    metrics: new WaypointMetrics(registry, VERSION),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    random: Math.random,
    newRequestId: () => randomUUID(),
    writeLine: (line) => log.raw(line),
    authzLog: log.scope('authz'),
  });
}

interface Identity {
  readonly cache: CredentialCache;
  /** The waypoint's own certificate. */
  readonly own: () => Promise<Credentials>;
}

function startIdentity(config: WaypointConfig, log: Logger, signal: AbortSignal): Identity {
  const id = spiffeId(config.trustDomain, config.podNamespace, config.serviceAccount);
  const ca = new CaClient({
    address: config.caAddress ?? config.xdsAddress,
    roots: config.caRootCa,
    token: tokenSource(config.authToken),
    clusterId: config.clusterId,
    ttlSeconds: config.secretTtlSeconds,
    impersonate: false,
    log: log.scope('identity'),
  });
  signal.addEventListener('abort', () => ca[Symbol.dispose](), { once: true });
  const sign = (csr: string, identity: typeof id, aborted: AbortSignal): Promise<string[]> =>
    ca.sign(csr, identity, aborted);
  const cache = new CredentialCache({ sign, signal, log: log.scope('identity') });
  return { cache, own: () => cache.credentials(id) };
}

function startConfiguration(
  config: WaypointConfig,
  log: Logger,
  types: Parameters<typeof startAdsClient>[0]['types'],
  signal: AbortSignal,
): AdsClient {
  const { podName, podNamespace, addresses } = config;
  return startAdsClient({
    address: config.xdsAddress,
    roots: config.xdsRootCa,
    token: tokenSource(config.authToken),
    clusterId: config.clusterId,
    node: {
      id: `waypoint~${addresses[0] ?? ''}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
      metadata: {
        NAME: podName,
        NAMESPACE: podNamespace,
        GATEWAY_NAME: config.gatewayName,
        SERVICE_ACCOUNT: config.serviceAccount,
        NODE_NAME: config.nodeName,
        CLUSTER_ID: config.clusterId,
        NETWORK: config.network,
        INSTANCE_IPS: addresses.join(','),
      },
    },
    types,
    signal,
    log: log.scope('xds'),
  });
}

/** Traffic may come once the configuration is whole and the own certificate is here. */
async function whenReady(
  readiness: Readiness,
  ads: AdsClient,
  own: () => Promise<Credentials>,
  signal: AbortSignal,
): Promise<void> {
  const configured = readiness.task('configuration');
  const certified = readiness.task('certificate');
  const configuration = ads.synced.then(configured);
  await firstCertificate(own, signal);
  certified();
  await configuration;
}

/** The cache logs each failure and tries again by itself; here it is only waited for. */
async function firstCertificate(own: () => Promise<Credentials>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await own();
      return;
    } catch (error) {
      if (asMeshError(error).code !== 'NO_IDENTITY') throw error;
      await delay(POLL_MS);
    }
  }
}
