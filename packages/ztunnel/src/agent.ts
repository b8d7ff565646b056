import { readFileSync } from 'node:fs';
import { type AdminServer, startAdminServer } from '@ambit/common/admin/server';
import type { IpAddress } from '@ambit/common/address/ip';
import { asMeshError, MeshError } from '@ambit/common/errors';
import { CaClient } from '@ambit/common/identity/ca-client';
import { CredentialCache } from '@ambit/common/identity/credential-cache';
import { Readiness } from '@ambit/common/lifecycle/readiness';
import { meshTypes } from '@ambit/common/mesh/ads-types';
import { MeshStore } from '@ambit/common/mesh/store';
import type { Logger } from '@ambit/common/telemetry/log';
import { Registry } from '@ambit/common/telemetry/metrics';
import { type AdsClient, type AdsType, startAdsClient } from '@ambit/common/xds/ads-client';
import { tokenSource } from '@ambit/common/xds/secure-channel';
import { ADDRESS } from '@ambit/common/xds/type-urls';
import { configDump } from './admin/config-dump.ts';
import { adminRoutes, metricsRoutes, readinessRoutes } from './admin/routes.ts';
import { Guard } from './authorize/guard.ts';
import { Enrollment } from './capture/enrollment.ts';
import { PodSockets } from './capture/pod-sockets.ts';
import { runZdsClient } from './capture/zds-client.ts';
import { CertificatePrefetch } from './certificate-prefetch.ts';
import { type Config, PORTS } from './config.ts';
import { socketExchange } from './dns/exchange.ts';
import { parseHosts, parseResolvConf } from './dns/resolv-conf.ts';
import { DnsUpstream } from './dns/upstream.ts';
import { applyLocalState, readLocalState } from './local-state.ts';
import { localWorkload, type PodInfo } from './local-workload.ts';
import { adsNode } from './node-metadata.ts';
import { createFetch } from './on-demand.ts';
import { PodProxy, type PodEnvironment } from './pod-proxy.ts';
import { podSocketOptions } from './pod-socket-options.ts';
import { ConnectionTelemetry } from './telemetry/connection-record.ts';
import { createDnsRecorder } from './telemetry/dns-record.ts';
import {
  registerPodMetrics,
  registerProcessMetrics,
  registerXdsMetrics,
  type XdsMetrics,
} from './telemetry/program-metrics.ts';
import { SOURCE_LABELS, sourceLabels } from './telemetry/traffic-labels.ts';
import { policyLogger } from './telemetry/policy-log.ts';

const PENDING_RETRY_MS = 5000;

/** What the agent does not decide itself. */
export interface AgentOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly version: string;
  /** Log level that `/logging?reset` goes back to. */
  readonly defaultLevel: string;
  /** `/quitquitquit` was called. */
  readonly onQuit: () => void;
  /** The agent cannot go on: end the program with status 1 at once. */
  readonly onFatal: (error: MeshError) => void;
}

export interface Agent {
  /** Resolves when the agent serves pods: the mesh is known, or there is no control plane to wait for. */
  readonly serving: Promise<void>;
  /** Drains: no more connections, running ones may finish until the deadline. Resolves when all have ended. */
  stop(): Promise<void>;
}

/** Everything the parts of the agent share. */
interface Core {
  readonly options: AgentOptions;
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly store: MeshStore;
  readonly abort: AbortController;
  readonly xdsMetrics: XdsMetrics;
  /** The agent as a workload of its own; empty until it serves. */
  readonly self: PodProxy[];
}

/**
 * Starts the agent: the order of the lines is the order of the start. Readiness can be asked first and tells what is missing; pods
 * are served once the mesh is known.
 * @throws MeshError CONFIG when a port is taken or the configuration cannot work.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { config, logger, version } = options;
  refuseUnsupported(config);
  const registry = new Registry();
  registerProcessMetrics(registry, config.metadata['ISTIO_VERSION'] ?? 'unknown');
  const core: Core = {
    options,
    registry,
    readiness: new Readiness(),
    store: new MeshStore(),
    abort: new AbortController(),
    xdsMetrics: registerXdsMetrics(registry),
    self: [],
  };
  const synced = core.readiness.task('state manager');
  const starting = [...(config.enableProxy ? ['proxy'] : []), ...(config.dnsEnabled ? ['dns proxy'] : [])].map((name) =>
    core.readiness.task(name),
  );
  const servers: AdminServer[] = [];
  const host = config.ipv6 ? '::' : '0.0.0.0';
  servers.push(await startAdminServer({ host, port: PORTS.readiness, routes: readinessRoutes(core.readiness) }));
  const certificates = startCertificates(core);
  loadLocalState(core);
  const ads = startDiscovery(core);
  const environment = buildEnvironment(core, certificates, ads);
  const enrollment = startEnrollment(core, environment);
  const dump = (): string =>
    configDump({
      store: core.store,
      config,
      version,
      certificates: () => certificates.state(),
      running: () => enrollment.running(),
      pending: () => enrollment.pending(),
    });
  const { defaultLevel, onQuit } = options;
  servers.push(
    await startAdminServer({
      host: '127.0.0.1',
      port: config.adminPort,
      routes: adminRoutes({ dump, logger, defaultLevel, quit: onQuit }),
    }),
    await startAdminServer({ host, port: config.metricsPort, routes: metricsRoutes(registry) }),
  );
  const serving = (ads?.synced ?? Promise.resolve()).then(async () => {
    synced();
    logger.scope('ztunnel::app').info('state synchronized, serving pods', { node: config.nodeName });
    await servePods(core, environment, enrollment);
    starting.forEach((done) => done());
  });
  serving.catch((error: unknown) => options.onFatal(fatal(error)));
  return { serving, stop: () => stop(core, enrollment, servers) };
}

/** What is configured and cannot be had is refused at the start, not ignored. */
function refuseUnsupported(config: Config): void {
  const problems: string[] = [];
  if (config.crlPath !== undefined && config.crlPath !== '') problems.push('CRL_PATH');
  if (config.compliancePolicy !== '') problems.push(`COMPLIANCE_POLICY=${config.compliancePolicy}`);
  if (problems.length > 0)
    throw new MeshError('CONFIG', `not supported by this version: ${problems.join(', ')}; unset them to start`);
}

/** Static state comes first; what the control plane says of the same name replaces it. */
function loadLocalState({ options: { config, logger }, store }: Core): void {
  const { localXds, localXdsPath } = config;
  const text = localXdsPath === undefined ? localXds : readLocalFile(localXdsPath);
  if (text === undefined) return;
  const state = readLocalState(text, localXdsPath ?? 'LOCAL_XDS');
  applyLocalState(store, state);
  logger.scope('ztunnel::state').info('local configuration loaded', {
    workloads: state.workloads.length,
    services: state.services.length,
    policies: state.policies.length,
  });
}

function readLocalFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new MeshError('CONFIG', `LOCAL_XDS_PATH=${path} cannot be read: ${asMeshError(cause).message}`, { cause });
  }
}

const fatal = (error: unknown): MeshError =>
  error instanceof MeshError ? error : new MeshError('INTERNAL', String(error), { cause: error });

function startCertificates({ options, store, abort }: Core): CredentialCache {
  const { config, logger } = options;
  const log = logger.scope('ztunnel::identity');
  const ca = new CaClient({
    address: config.caAddress,
    roots: config.caRootCa,
    alternativeHostname: config.altCaHostname,
    tls12: config.tls12,
    token: tokenSource(config.authToken),
    clusterId: config.clusterId,
    headers: config.caHeaders,
    ttlSeconds: Math.round(config.secretTtlMs / 1000),
    impersonate: config.proxyMode === 'shared',
    log,
  });
  abort.signal.addEventListener('abort', () => ca[Symbol.dispose](), { once: true });
  const cache = new CredentialCache({
    sign: (csr, identity, signal) => ca.sign(csr, identity, signal),
    signal: abort.signal,
    log,
  });
  if (config.proxyMode === 'shared') {
    const prefetch = new CertificatePrefetch(cache, config.nodeName);
    store.onChange((change) => prefetch.apply(change));
  }
  return cache;
}

function startDiscovery({ options, store, abort, xdsMetrics }: Core): AdsClient | undefined {
  const { config, logger } = options;
  const log = logger.scope('ztunnel::xds::client');
  for (const name of config.badJsonMetadata)
    log.warn('metadata is no JSON and is left out', { variable: `ISTIO_METAJSON_${name}` });
  if (config.xdsAddress === undefined) return undefined;
  return startAdsClient({
    address: config.xdsAddress,
    roots: config.xdsRootCa,
    alternativeHostname: config.altXdsHostname,
    tls12: config.tls12,
    token: tokenSource(config.authToken),
    clusterId: config.clusterId,
    headers: config.xdsHeaders,
    node: adsNode(config),
    types: meshTypes(store, config.onDemand).map((type) => counted(type, xdsMetrics)),
    signal: abort.signal,
    log,
    onTermination: (reason) => xdsMetrics.terminated(reason),
  });
}

function counted(type: AdsType, metrics: XdsMetrics): AdsType {
  return {
    ...type,
    onUpdate: (resources, removed) => {
      metrics.message(
        type.typeUrl,
        resources.reduce((sum, resource) => sum + resource.body.length, 0),
      );
      return type.onUpdate(resources, removed);
    },
  };
}

function buildEnvironment(core: Core, credentials: CredentialCache, ads: AdsClient | undefined): PodEnvironment {
  const { options, registry, store } = core;
  const { config, logger } = options;
  const guard = new Guard(store, policyLogger(logger, config.authzInfoLogging));
  store.onChange(({ policies }) => {
    if (policies.length > 0) guard.recheck();
  });
  const resolver = parseResolvConf(readFileSync(config.resolvConf, 'utf8'));
  const hosts = readHosts(config.hostsFile);
  const own = new PodSockets(podSocketOptions(config, undefined));
  const upstream = new DnsUpstream({
    config: resolver,
    hosts,
    exchange: socketExchange({ udp: (family) => own.udp(family), tcp: (to) => own.dial(to) }, resolver.timeoutMs),
    now: performance.now.bind(performance),
    randomId: () => crypto.getRandomValues(new Uint16Array(1))[0] ?? 0,
  });
  const resolutions = registry.counter(
    'istio_on_demand_dns',
    'The total number of requests that used on-demand DNS',
    [...SOURCE_LABELS, 'hostname'],
    { unstable: true },
  );
  return {
    config,
    view: store,
    credentials,
    guard,
    telemetry: new ConnectionTelemetry(registry, logger, performance.now.bind(performance)),
    fetch: createFetch({
      resolve: (hostname) => upstream.addresses(hostname, config.ipv6),
      demand: (key) => ads?.demand(ADDRESS, key) ?? Promise.resolve(),
      resolved: (hostname, source) => resolutions.with([...sourceLabels(source), hostname]).inc(),
    }),
    localWorkload: (pod) => localWorkload(store, pod, config.nodeName),
    dns: { view: store, resolver, hosts, observe: createDnsRecorder(registry, logger) },
  };
}

function readHosts(path: string): ReadonlyMap<string, readonly IpAddress[]> {
  try {
    return parseHosts(readFileSync(path, 'utf8'));
  } catch {
    // ENOENT: an image may have none.
    return new Map();
  }
}

function startEnrollment(core: Core, environment: PodEnvironment): Enrollment<PodProxy> {
  const enrollment = new Enrollment<PodProxy>({
    start: (pod, netns) => PodProxy.start(environment, pod, netns),
    // In dedicated mode nobody hands pods over, and nobody waits for it.
    readiness: core.options.config.proxyMode === 'shared' ? core.readiness : new Readiness(),
    log: core.options.logger.scope('ztunnel::inpod::statemanager'),
  });
  registerPodMetrics(core.registry, () => enrollment.counts);
  return enrollment;
}

/** From here on pods are taken over from the CNI. */
async function servePods(core: Core, environment: PodEnvironment, enrollment: Enrollment<PodProxy>): Promise<void> {
  const { abort, options } = core;
  const { config, logger, onFatal } = options;
  if (abort.signal.aborted) return;
  if (config.workloadInfo !== undefined && config.proxyMode === 'dedicated') {
    const [namespace = '', name = '', serviceAccount = ''] = config.workloadInfo.split('/');
    core.self.push(await PodProxy.startDedicated(environment, { uid: '', namespace, name, serviceAccount }));
    return;
  }
  const self = ownPod(config);
  if (self !== undefined) {
    core.self.push(await PodProxy.startSelf(environment, self));
  }
  const retry = setInterval(() => void enrollment.retryPending(), PENDING_RETRY_MS);
  abort.signal.addEventListener('abort', () => clearInterval(retry), { once: true });
  void runZdsClient({
    path: config.inpodUds,
    sink: enrollment,
    log: logger.scope('ztunnel::inpod::statemanager'),
    signal: abort.signal,
    onFatal,
  });
}

/** The agent is a workload itself when it knows who it is: its ports are then reached through the mesh. */
function ownPod({ podName, podNamespace, serviceAccount }: Config): PodInfo | undefined {
  if (podName === '' || podNamespace === '' || serviceAccount === '') return undefined;
  return { uid: '', name: podName, namespace: podNamespace, serviceAccount };
}

async function stop(core: Core, enrollment: Enrollment<PodProxy>, servers: readonly AdminServer[]): Promise<void> {
  core.options.logger.scope('ztunnel::app').info('shutting down, connections may finish', {
    deadline_ms: core.options.config.terminationDeadlineMs,
  });
  const closed = Promise.all(servers.map((server) => server.close()));
  await Promise.all([enrollment.stopAll('graceful'), ...core.self.map((proxy) => proxy.stop('graceful'))]);
  core.abort.abort(new MeshError('DRAINING', 'this agent is shutting down'));
  await closed;
}
