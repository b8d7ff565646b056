import { X509Certificate } from 'node:crypto';
import type { CertificateState } from '@ambit/common/identity/credential-cache';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { Config } from '../config.ts';
import type { LiveConnections } from '../live-connections.ts';
import type { PodInfo } from '../local-workload.ts';
import { dumpMesh } from './dump-mesh.ts';

type Json = Readonly<Record<string, unknown>>;

/** What `/config_dump` is made of. */
export interface DumpSources {
  readonly store: MeshStore;
  readonly config: Config;
  readonly certificates: () => readonly CertificateState[];
  readonly running: () => readonly {
    readonly pod: PodInfo;
    readonly proxy: { readonly connections: LiveConnections };
  }[];
  readonly pending: () => readonly { readonly pod: PodInfo; readonly error: string }[];
  readonly version: string;
}

/** The state of the agent as istioctl reads it: keys in alphabetical order, indented by two. Never holds a key. */
export function configDump(sources: DumpSources): string {
  const { config, version } = sources;
  const dump: Json = {
    ...dumpMesh(sources.store),
    certificates: sources.certificates().map(dumpCertificate),
    config: dumpConfig(config),
    staticConfig: { workloads: [], policies: [], services: [] },
    version: {
      version,
      gitRevision: 'unknown',
      rustVersion: `node ${process.version}`,
      buildProfile: 'release',
      buildStatus: 'Clean',
      istioVersion: config.metadata['ISTIO_VERSION'] ?? 'unknown',
      cryptoProvider: `openssl ${process.versions.openssl}`,
    },
    ...(config.proxyMode === 'shared' ? { workloadState: dumpPods(sources) } : {}),
  };
  return `${JSON.stringify(sorted(dump), null, 2)}\n`;
}

function dumpPods({ running, pending }: DumpSources): Json {
  return {
    ...Object.fromEntries(pending().map(({ pod }) => [pod.uid, { state: 'Pending', info: dumpPod(pod) }])),
    ...Object.fromEntries(
      running().map(({ pod, proxy }) => [
        pod.uid,
        { state: 'Up', info: dumpPod(pod), connections: proxy.connections.dump() },
      ]),
    ),
  };
}

const dumpPod = ({ name, namespace, serviceAccount }: PodInfo): Json => ({ name, namespace, serviceAccount });

function dumpCertificate({ identity, state, error, credentials }: CertificateState): Json {
  return {
    identity: identity.uri,
    state: state === 'Unavailable' ? `Unavailable: ${error ?? 'expired'}` : state,
    certChain: credentials === undefined ? [] : splitPem(credentials.certificateChain).map(dumpPem),
    rootCerts: credentials === undefined ? [] : credentials.roots.map(dumpPem),
  };
}

const splitPem = (chain: string): string[] =>
  [...chain.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n?/g)].map(([pem]) => pem);

function dumpPem(pem: string): Json {
  const certificate = new X509Certificate(pem);
  return {
    pem: Buffer.from(pem).toString('base64'),
    serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(),
    validFrom: seconds(certificate.validFromDate),
    expirationTime: seconds(certificate.validToDate),
  };
}

const seconds = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`;

function dumpConfig(config: Config): Json {
  const listen = (port: number): string => `${config.ipv6 ? '[::]' : '0.0.0.0'}:${port}`;
  return {
    proxy: config.enableProxy,
    dnsProxy: config.dnsEnabled,
    proxyMode: config.proxyMode === 'shared' ? 'Shared' : 'Dedicated',
    inboundAddr: listen(15_008),
    inboundPlaintextAddr: listen(15_006),
    outboundAddr: listen(15_001),
    socks5Addr: config.socks5 ? `127.0.0.1:15080` : null,
    adminAddr: { Localhost: [config.ipv6, config.adminPort] },
    dnsProxyAddr: { Localhost: [config.ipv6, config.dnsPort] },
    statsAddr: { SocketAddr: listen(config.metricsPort) },
    readinessAddr: { SocketAddr: listen(15_021) },
    network: config.network,
    localNode: config.nodeName === '' ? null : config.nodeName,
    clusterId: config.clusterId,
    clusterDomain: config.clusterDomain,
    xdsAddress: config.xdsAddress ?? null,
    caAddress: config.caAddress,
    xdsOnDemand: config.onDemand,
    secretTtl: duration(config.secretTtlMs),
    selfTerminationDeadline: duration(config.terminationDeadlineMs),
    poolMaxStreamsPerConn: config.maxStreams,
    poolUnusedReleaseTimeout: duration(config.poolIdleMs),
    windowSize: config.streamWindow,
    connectionWindowSize: config.connectionWindow,
    frameSize: config.frameSize,
    packetMark: config.packetMark,
    requireOriginalSource: config.origSrc ?? null,
    inpodUds: config.inpodUds,
    inpodPortReuse: config.portReuse,
    numWorkerThreads: config.workers,
    ztunnelIdentity:
      config.podNamespace === '' || config.serviceAccount === ''
        ? null
        : `spiffe://${config.trustDomain}/ns/${config.podNamespace}/sa/${config.serviceAccount}`,
    proxyMetadata: config.metadata,
  };
}

const duration = (ms: number): Json => ({ nanos: (ms % 1000) * 1_000_000, secs: Math.floor(ms / 1000) });

/** The same value with the keys of every object in alphabetical order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
