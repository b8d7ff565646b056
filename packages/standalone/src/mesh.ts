import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Enrolment, type EnrolmentPod, startEnrolment } from '@ambit/cni/enrolment';
import { asMeshError } from '@ambit/common/errors';
import type { Scope } from '@ambit/common/lifecycle/scope';
import type { Logger, ScopedLogger } from '@ambit/common/telemetry/log';
import { objectKey } from '@ambit/controlplane/collections/object';
import { ObjectStore } from '@ambit/controlplane/collections/object-store';
import { type ControlPlane, startControlPlane } from '@ambit/controlplane/controlplane';
import { FolderSource } from '@ambit/controlplane/files/folder-source';
import { SERVICE_RANGE } from './address-pool.ts';
import { NODE_NAME, admission } from './admission.ts';
import { startApiServer } from './api/server.ts';
import { Attachments, withFamilies } from './attachments.ts';
import { dnsAddresses, hasIpv6, nodeAddresses, setUpNode } from './cluster.ts';
import { compilePrograms } from './compile.ts';
import type { MeshConfig } from './config.ts';
import { enrolmentPods, isEnrolled } from './enrolled-pods.ts';
import { record, text } from './fields.ts';
import { MeshReport } from './mesh-report.ts';
import type { Pod } from './pod/pod.ts';
import type { ContainerRoomDeps } from './pod/room.ts';
import { PROGRAMS, ZTUNNEL, withOwnNode, ztunnelPod } from './programs.ts';
import { Reconciler } from './reconcile.ts';
import { searchPath } from './rootless.ts';
import { ClusterIps } from './services/cluster-ips.ts';
import { startClusterDns } from './services/cluster-dns.ts';
import { ServiceNetwork } from './services/service-network.ts';
import { Supervisor } from './supervisor.ts';

export interface MeshOptions {
  readonly config: MeshConfig;
  readonly path: string;
  readonly log: Logger;
  readonly scope: Scope;
  /** Asked for through the API. */
  readonly stop: () => void;
}

const CLUSTER_DOMAIN = 'cluster.local';
const CONTROL_PLANE_PORT = 15_012;
/** All pods together; `ambit down` allows ten seconds for everything. */
const STOP_GRACE_MS = 5000;
const TOKEN_REFRESH_MS = 3_600_000;
const REDIRECTION = 'ambient.istio.io/redirection';

/**
 * Starts everything, in the order of the lines below, in the namespaces this process is in. What it opens belongs to the scope, which ends
 * it in the reverse order.
 */
export async function startStandalone(options: MeshOptions): Promise<void> {
  const { config, scope, log } = options;
  for (const folder of ['run', 'run/pods', 'logs'])
    mkdirSync(join(config.stateDir, folder), { recursive: true, mode: 0o700 });
  const compiled = compilePrograms({ cache: cacheOf(config), log: log.scope('pods'), signal: scope.signal });
  const store = new ObjectStore();
  const source = openSource(options, store);
  await setUpNode();
  const network = new ServiceNetwork(store, CLUSTER_DOMAIN, log.scope('services'));
  scope.defer(() => network.close());
  await startDns(options, network);
  source.start();
  addNode(store);
  const controlPlane = await startControl(options, store, source);
  const mesh = new RunningMesh({ options, store, source, controlPlane });
  await network.load();
  await compiled;
  await mesh.start();
}

function openSource({ config, log, scope }: MeshOptions, store: ObjectStore): FolderSource {
  const clusterIps = new ClusterIps(join(config.stateDir, 'cluster-ips.json'), withFamilies(SERVICE_RANGE));
  const source = new FolderSource({
    folders: config.folders,
    stateDir: config.stateDir,
    store,
    admit: admission(clusterIps),
    log: log.scope('source'),
  });
  scope.defer(() => source.close());
  return source;
}

async function startDns({ config, log, scope }: MeshOptions, network: ServiceNetwork): Promise<void> {
  const { v4, v6 } = dnsAddresses();
  const addresses = hasIpv6() && v6 !== undefined ? [v4, v6] : [v4];
  const dns = await startClusterDns({
    addresses,
    zone: () => network.zone(),
    upstreams: config.upstreamDns,
    log: log.scope('dns'),
  });
  scope.defer(() => dns.close());
}

function addNode(store: ObjectStore): void {
  const { v4 } = nodeAddresses();
  store.apply([
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: NODE_NAME,
        uid: NODE_NAME,
        labels: { 'kubernetes.io/hostname': NODE_NAME, 'kubernetes.io/os': 'linux' },
        creationTimestamp: new Date().toISOString(),
      },
      status: { addresses: [{ type: 'InternalIP', address: v4 }], conditions: [{ type: 'Ready', status: 'True' }] },
    },
  ]);
}

function startControl(options: MeshOptions, store: ObjectStore, source: FolderSource): Promise<ControlPlane> {
  const { config, log, scope } = options;
  const { v4 } = nodeAddresses();
  return startControlPlane({
    store,
    writer: source,
    stateDir: config.stateDir,
    listen: { hosts: ['127.0.0.1', v4], port: CONTROL_PLANE_PORT },
    clusterDomain: CLUSTER_DOMAIN,
    nodeName: NODE_NAME,
    provision: {
      waypointCommand: PROGRAMS.waypoint,
      env: {
        XDS_ADDRESS: `https://${v4}:${CONTROL_PLANE_PORT}`,
        CA_ADDRESS: `https://${v4}:${CONTROL_PLANE_PORT}`,
        RUST_LOG: config.logLevel,
        ...programEnv(config),
      },
    },
    log,
    signal: scope.signal,
  });
}

/** Where our programs keep their compiled code between starts. */
const cacheOf = (config: MeshConfig): string => join(config.stateDir, 'cache');

const programEnv = (config: MeshConfig): Record<string, string> => ({ NODE_COMPILE_CACHE: cacheOf(config) });

interface MeshParts {
  readonly options: MeshOptions;
  readonly store: ObjectStore;
  readonly source: FolderSource;
  readonly controlPlane: ControlPlane;
}

/** The pods, their capture and the API: what needs one another while it runs. */
class RunningMesh {
  readonly #parts: MeshParts;
  readonly #log: ScopedLogger;
  readonly #socketPath: string;
  readonly #lookAgain = new Set<() => void>();
  readonly #supervisor: Supervisor;
  #enrolment: Enrolment | undefined;

  constructor(parts: MeshParts) {
    const { options, store, controlPlane } = parts;
    this.#parts = parts;
    this.#log = options.log.scope('standalone');
    this.#socketPath = join(options.config.stateDir, 'run/ztunnel.sock');
    const path = searchPath(options.path);
    const room: ContainerRoomDeps = {
      path,
      baseEnv: { PATH: withOwnNode(path), HOME: '/tmp' },
      volumes: {
        find: (kind, namespace, name) => store.get(kind, namespace, name),
        token: ({ metadata, spec }, audience) =>
          controlPlane.issueToken({
            namespace: metadata.namespace ?? 'default',
            serviceAccount: text(record(spec)['serviceAccountName']) ?? 'default',
            podName: metadata.name,
            podUid: metadata.uid ?? '',
            audience,
          }),
      },
    };
    const attachments = new Attachments({ clusterDomain: CLUSTER_DOMAIN, upstreamDns: options.config.upstreamDns });
    this.#supervisor = new Supervisor({
      ...room,
      store,
      hostIp: nodeAddresses().v4,
      runDir: join(options.config.stateDir, 'run/pods'),
      logDir: join(options.config.stateDir, 'logs'),
      attach: (pod, spec) => attachments.attach(pod, spec),
      prepared: (pod) => this.#captured(pod),
      log: options.log.scope('pods'),
    });
  }

  async start(): Promise<void> {
    const { options, store, source } = this.#parts;
    const { scope } = options;
    this.#enrolment = startEnrolment({
      pods: () => enrolmentPods(this.#supervisor.pods, store),
      onChange: (look) => this.#onLook(look),
      socketPath: this.#socketPath,
      onEnrolled: (pod, annotation) => this.#annotate(pod, annotation),
      log: options.log.scope('cni'),
      signal: scope.signal,
    });
    const reconciler = new Reconciler({
      store,
      writer: source,
      removePod: (namespace, name) => this.#supervisor.remove(namespace, name),
      log: options.log.scope('pods'),
    });
    scope.defer(() => this.#supervisor.close(STOP_GRACE_MS));
    scope.defer(() => reconciler.close());
    await this.#startApi();
    this.#startAgent();
    this.#supervisor.start();
    reconciler.start();
    const refresh = setInterval(() => this.#refreshTokens(), TOKEN_REFRESH_MS);
    scope.defer(() => clearInterval(refresh));
  }

  async #startApi(): Promise<void> {
    const { options, store, source } = this.#parts;
    const { config, scope } = options;
    const report = new MeshReport({
      config,
      store,
      source,
      supervisor: this.#supervisor,
      clients: () => this.#parts.controlPlane.clients().length,
      configProblems: () => this.#parts.controlPlane.mesh?.inputs.mesh.problems ?? [],
    });
    const server = await startApiServer({
      socketPath: join(config.stateDir, 'api.sock'),
      store,
      source,
      room: this.#supervisor.room,
      find: (namespace, name) => this.#supervisor.find(namespace, name),
      endPod: (namespace, name) => this.#endPod(namespace, name),
      status: () => report.status(),
      stop: options.stop,
      log: options.log.scope('api'),
    });
    scope.defer(() => server.close());
  }

  /** The node agent is a pod that is not in any folder; when its object goes, the next one comes. */
  #startAgent(): void {
    const { options, store } = this.#parts;
    const add = (): void =>
      store.apply([
        ztunnelPod({
          uid: randomUUID(),
          socketPath: this.#socketPath,
          controlPlane: `127.0.0.1:${CONTROL_PLANE_PORT}`,
          clusterDomain: CLUSTER_DOMAIN,
          ipv6: hasIpv6(),
          env: { RUST_LOG: options.config.logLevel, ...programEnv(options.config) },
        }),
      ]);
    const key = objectKey('Pod', ZTUNNEL.namespace, ZTUNNEL.name);
    const unsubscribe = store.subscribe((changes) => {
      if (changes.some((change) => change.key === key && change.object === undefined)) setImmediate(add);
    });
    options.scope.defer(unsubscribe);
    add();
  }

  /** Before its first process a pod of the mesh is captured: no packet leaves it around the mesh. */
  async #captured(pod: Pod): Promise<void> {
    const { store } = this.#parts;
    const done = (): boolean => {
      const { metadata } = pod.object;
      const wanted = isEnrolled(pod.object, store.get('Namespace', undefined, metadata.namespace ?? 'default'));
      return pod.stopping || !wanted || this.#enrolment?.state(metadata.uid ?? '') === 'enabled';
    };
    this.#look();
    if (done()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const unsubscribe = store.subscribe(() => {
      if (done()) resolve();
    });
    await promise;
    unsubscribe();
  }

  #onLook(look: () => void): () => void {
    const { store } = this.#parts;
    const unsubscribe = store.subscribe((changes) => {
      if (changes.some(({ kind }) => kind === 'Pod' || kind === 'Namespace')) setImmediate(look);
    });
    this.#lookAgain.add(look);
    return () => {
      unsubscribe();
      this.#lookAgain.delete(look);
    };
  }

  #look(): void {
    for (const look of this.#lookAgain) look();
  }

  #annotate(pod: EnrolmentPod, annotation: string | undefined): void {
    const { store, source } = this.#parts;
    if (store.get('Pod', pod.namespace, pod.name)?.metadata.uid !== pod.uid) return;
    try {
      source.merge('Pod', pod.namespace, pod.name, { annotations: { [REDIRECTION]: annotation ?? null } });
    } catch (error) {
      this.#log.error('redirection not noted', {
        pod: `${pod.namespace}/${pod.name}`,
        error: asMeshError(error).message,
      });
    }
  }

  /** Ends a pod gracefully; what made it makes the next one. A pod of a folder is deleted when it has ended. */
  #endPod(namespace: string, name: string): boolean {
    const pod = this.#parts.store.get('Pod', namespace, name);
    if (pod === undefined || this.#supervisor.find(namespace, name) === undefined) return false;
    this.#supervisor
      .remove(namespace, name)
      .then(() =>
        pod.metadata.ownerReferences === undefined ? this.#parts.source.delete('Pod', namespace, name) : undefined,
      )
      .catch((error: unknown) =>
        this.#log.error('pod not deleted', { pod: `${namespace}/${name}`, error: asMeshError(error).message }),
      );
    return true;
  }

  #refreshTokens(): void {
    for (const pod of this.#supervisor.pods) pod.refreshVolumes();
  }
}
