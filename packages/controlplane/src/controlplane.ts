import { join } from 'node:path';
import type { Logger } from '@ambit/common/telemetry/log';
import type { ObjectStore } from './collections/object-store.ts';
import type { ObjectWriter } from './collections/object-writer.ts';
import { readInputs } from './derive/inputs.ts';
import type { Mesh } from './derive/mesh.ts';
import type { VipRanges } from './derive/vip-allocation.ts';
import { Access } from './access.ts';
import { Provisioner } from './provision/provisioner.ts';
import { Publisher } from './publish.ts';
import { Reconciler } from './reconciler.ts';
import { tokenAuthenticator } from './serve/authenticate.ts';
import { CertificateAuthority } from './serve/ca.ts';
import { type GrpcServer, startGrpcServer } from './serve/grpc-server.ts';
import type { PushOptions } from './serve/push.ts';
import { ResourceStore } from './serve/resources.ts';
import { TOKEN_AUDIENCE, TokenIssuer } from './serve/tokens.ts';
import { StatusWriter } from './status/writer.ts';

export interface ControlPlaneOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  /** Holds `ca/`: root certificate, its key and the key of tokens. */
  readonly stateDir: string;
  readonly listen: { readonly hosts: readonly string[]; readonly port: number };
  readonly clusterDomain: string;
  /** The node of pods that name none. */
  readonly nodeName: string;
  readonly provision: {
    readonly waypointCommand: readonly string[];
    /** Added to, and put over, what every waypoint gets: addresses of this control plane, certificates, log format. */
    readonly env: Readonly<Record<string, string>>;
  };
  /** CA_TRUSTED_NODE_ACCOUNTS: node agents, which may ask for the certificates of pods on their node. */
  readonly trustedNodeAccounts?: readonly string[];
  readonly vipRanges?: VipRanges;
  readonly push?: PushOptions;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/** A pod, as its token names it. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  /** `istio-ca` unless said otherwise: for this control plane. */
  readonly audience?: string;
}

export interface ControlPlane {
  readonly port: number;
  /** PEM of all trust anchors, more than one during a rotation. */
  readonly rootCertificates: string;
  /** A token with which the pod proves who it is. Never logged. */
  issueToken(pod: TokenSubject): string;
  /** Connected agents and waypoints. */
  clients(): ReturnType<GrpcServer['status']>;
  /** What is served now. */
  readonly mesh: Mesh | undefined;
  /** Settles when everything that is stored now has been derived, served and written. */
  settled(): Promise<void>;
}

/** Roots change with time alone: namespaces must hear of it. */
const ROTATION_CHECK_MS = 3_600_000;

const DEFAULT_NODE_ACCOUNTS = ['istio-system/ztunnel'];

/** Starts the control plane over an object store; it runs until the signal aborts. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { store, writer, clusterDomain, log, signal, now = Date.now } = options;
  const { trustDomain } = readInputs(store, clusterDomain).mesh;
  const caDir = join(options.stateDir, 'ca');
  const ca = CertificateAuthority.load(caDir, { trustDomain, clock: now });
  const tokens = TokenIssuer.load(caDir, now);
  const resources = new ResourceStore();
  const reconciler = new Reconciler({
    store,
    writer,
    clusterDomain,
    trustDomain,
    log: log.scope('controlplane'),
    publisher: new Publisher(resources, log.scope('serve')),
    statuses: new StatusWriter(writer, now),
    provisioner: new Provisioner({
      store,
      writer,
      program: { command: options.provision.waypointCommand, env: options.provision.env },
      rootCertificates: () => ca.roots,
      log: log.scope('provision'),
    }),
    ...(options.vipRanges !== undefined && { vipRanges: options.vipRanges }),
  });
  const trustedNodeAccounts = options.trustedNodeAccounts ?? DEFAULT_NODE_ACCOUNTS;
  const access = new Access(store, trustedNodeAccounts, options.nodeName);
  await reconciler.run();
  const verify = tokenAuthenticator(tokens, trustDomain);
  const server = await startGrpcServer({
    hosts: options.listen.hosts,
    port: options.listen.port,
    resources,
    ca,
    authenticate: async (token) => access.admit(await verify(token)),
    trustedNodeAccounts,
    mayImpersonate: (caller, identity) => access.mayImpersonate(caller, identity),
    servesGateway: (caller, gateway) => access.servesGateway(caller, gateway),
    log: log.scope('xds'),
    signal,
    ...(options.push !== undefined && { push: options.push }),
  });
  wakeUntil(signal, reconciler);
  return {
    port: server.port,
    get rootCertificates() {
      return ca.roots;
    },
    get mesh() {
      return reconciler.mesh;
    },
    issueToken: ({ audience = TOKEN_AUDIENCE, ...pod }) => tokens.issue({ ...pod, audience }),
    clients: () => server.status(),
    settled: () => reconciler.run(),
  };
}

function wakeUntil(signal: AbortSignal, reconciler: Reconciler): void {
  const timer = setInterval(() => reconciler.wake(), ROTATION_CHECK_MS).unref();
  const stop = (): void => {
    clearInterval(timer);
    reconciler.stop();
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
}
