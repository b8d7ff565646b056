import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type HostPort, parseAuthority } from '@ambit/common/address/host-port';
import {
  boolean,
  choice,
  duration,
  describeEnv,
  type EnvConfig,
  type EnvParser,
  integer,
  parseEnv,
  row,
  text,
} from '@ambit/common/config/env';
import { MeshError } from '@ambit/common/errors';
import type { Json, JsonObject } from '@ambit/common/proto/struct';
import { type ProxyConfig, readProxyConfig } from './local-config.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Only the exact word counts; anything else is false. */
const exactlyTrue: EnvParser<boolean> = { accepts: 'true, anything else is false', read: (value) => value === 'true' };
const json: EnvParser<'json' | 'plain'> = {
  accepts: 'json, anything else is plain',
  read: (value) => (value === 'json' ? 'json' : 'plain'),
};
const workerCount: EnvParser<string> = {
  accepts: 'a number, 0 for all cores, or a percentage of the cores such as 50%',
  read: (value) => (/^\d{1,4}%?$/.test(value) ? value : undefined),
};
/** `namespace/name/serviceaccount`. */
const workloadInfo: EnvParser<string> = {
  accepts: 'namespace/name/serviceaccount',
  read: (value) => (/^[^/]+\/[^/]+\/[^/]+$/.test(value) ? value : undefined),
};

/** The configuration of the node agent, complete and checked. The table below says what each fixed knob means. */
export interface Config {
  readonly proxyMode: 'shared' | 'dedicated';
  readonly workloadInfo: string | undefined;
  readonly enableProxy: boolean;
  readonly xdsRootCa: string;
  readonly caRootCa: string;
  readonly altXdsHostname: string | undefined;
  readonly altCaHostname: string | undefined;
  readonly authToken: string | undefined;
  readonly onDemand: boolean;
  readonly localXdsPath: string | undefined;
  readonly localXds: string | undefined;
  readonly secretTtlMs: number;
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly trustDomain: string;
  readonly network: string;
  readonly nodeName: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly instanceIp: string;
  readonly inpodUds: string;
  readonly portReuse: boolean;
  /** Undefined: packets carry none. */
  readonly packetMark: number | undefined;
  readonly origSrc: boolean | undefined;
  readonly ipv6: boolean;
  readonly keepaliveEnabled: boolean;
  readonly keepaliveTimeMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveRetries: number;
  readonly userTimeoutEnabled: boolean;
  readonly maxStreams: number;
  readonly poolIdleMs: number;
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly frameSize: number;
  readonly gracePeriodSeconds: number | undefined;
  readonly socks5: boolean;
  readonly localhostAppTunnel: boolean;
  readonly responseBaggage: boolean;
  readonly preferredNamespace: string | undefined;
  readonly crlPath: string | undefined;
  readonly authzInfoLogging: boolean;
  readonly tls12: boolean;
  readonly compliancePolicy: '' | 'pqc';
  readonly logFormat: 'json' | 'plain';
  readonly rustLog: string;
  readonly workerThreads: string | undefined;
  readonly cpuLimit: number | undefined;
  readonly resourceCpuLimit: number | undefined;
  readonly resourceCpuRequest: number | undefined;
  /** Undefined: no control plane. */
  readonly xdsAddress: string | undefined;
  readonly caAddress: string;
  readonly terminationDeadlineMs: number;
  readonly xdsHeaders: Readonly<Record<string, string>>;
  readonly caHeaders: Readonly<Record<string, string>>;
  /** ISTIO_META_*, prefix stripped. */
  readonly metadata: Readonly<Record<string, string>>;
  /** ISTIO_METAJSON_*, prefix stripped, parsed. */
  readonly jsonMetadata: JsonObject;
  /** ISTIO_METAJSON_* whose value is no JSON. */
  readonly badJsonMetadata: readonly string[];
  readonly dnsEnabled: boolean;
  /** Where the DNS server listens in a pod: loopback, unless DNS_PROXY_ADDR says otherwise. */
  readonly dnsAddress: HostPort | undefined;
  readonly dnsPort: number;
  readonly workers: number;
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly resolvConf: string;
  readonly hostsFile: string;
}

/** Every fixed knob: Istio's names and defaults. */
const TABLE = {
  proxyMode: row('PROXY_MODE', choice('shared', 'dedicated'), 'shared' as const, 'pods of the node, or one workload'),
  workloadInfo: row('PROXY_WORKLOAD_INFO', workloadInfo, undefined, 'the workload in dedicated mode'),
  enableProxy: row('ENABLE_PROXY', boolean, true, 'carries traffic, not only DNS'),
  xdsAddress: row('XDS_ADDRESS', text, undefined, 'control plane; empty: none; unset: discoveryAddress'),
  caAddress: row('CA_ADDRESS', text, undefined, 'certificate authority'),
  xdsRootCa: row('XDS_ROOT_CA', text, './var/run/secrets/istio/root-cert.pem', 'file, PEM or SYSTEM'),
  caRootCa: row('CA_ROOT_CA', text, './var/run/secrets/istio/root-cert.pem', 'file, PEM or SYSTEM'),
  altXdsHostname: row('ALT_XDS_HOSTNAME', text, undefined, 'further accepted name of the control plane'),
  altCaHostname: row('ALT_CA_HOSTNAME', text, undefined, 'further accepted name of the CA'),
  authToken: row('AUTH_TOKEN', text, undefined, 'file with the token, or the token'),
  onDemand: row('XDS_ON_DEMAND', boolean, false, 'ask for addresses when they are needed'),
  localXdsPath: row('LOCAL_XDS_PATH', text, undefined, 'file of static state'),
  localXds: row('LOCAL_XDS', text, undefined, 'static state'),
  secretTtlMs: row('SECRET_TTL', duration, 86_400_000, 'certificate lifetime asked for'),
  clusterId: row('CLUSTER_ID', text, 'Kubernetes', 'cluster'),
  clusterDomain: row('CLUSTER_DOMAIN', text, 'cluster.local', 'domain of Kubernetes services'),
  trustDomain: row('TRUST_DOMAIN', text, 'cluster.local', 'shown in the dump only'),
  network: row('NETWORK', text, '', 'own network'),
  nodeName: row('NODE_NAME', text, '', 'own node'),
  podName: row('POD_NAME', text, '', 'own pod'),
  podNamespace: row('POD_NAMESPACE', text, '', 'own namespace'),
  serviceAccount: row('SERVICE_ACCOUNT', text, '', 'own service account'),
  instanceIp: row('INSTANCE_IP', text, '1.1.1.1', 'own address'),
  inpodUds: row('INPOD_UDS', text, '/var/run/ztunnel/ztunnel.sock', 'socket on which the CNI hands over pods'),
  portReuse: row('INPOD_PORT_REUSE', boolean, true, 'SO_REUSEPORT: an upgrade serves without a gap'),
  packetMark: row(
    'PACKET_MARK',
    integer(1, 0xffff_ffff),
    undefined,
    'mark of own packets; unset: 1337, in dedicated mode none',
  ),
  origSrc: row('ENABLE_ORIG_SRC', boolean, undefined, 'keep client addresses; unset: where possible'),
  ipv6: row('IPV6_ENABLED', boolean, true, 'IPv6 beside IPv4'),
  keepaliveEnabled: row('KEEPALIVE_ENABLED', boolean, true, 'TCP keepalive'),
  keepaliveTimeMs: row('KEEPALIVE_TIME', duration, 180_000, 'idle before the first probe'),
  keepaliveIntervalMs: row('KEEPALIVE_INTERVAL', duration, 180_000, 'between probes'),
  keepaliveRetries: row('KEEPALIVE_RETRIES', integer(1, 127), 9, 'probes before giving up'),
  userTimeoutEnabled: row('USER_TIMEOUT_ENABLED', boolean, false, 'give up on unacknowledged bytes as early'),
  maxStreams: row('POOL_MAX_STREAMS_PER_CONNECTION', integer(1, 65_535), 100, 'tunnels per HBONE connection'),
  poolIdleMs: row('POOL_UNUSED_RELEASE_TIMEOUT', duration, 300_000, 'idle HBONE connections are released'),
  streamWindow: row('HTTP2_STREAM_WINDOW_SIZE', integer(65_535, 0x7fff_ffff), 4_194_304, 'bytes in flight per tunnel'),
  connectionWindow: row(
    'HTTP2_CONNECTION_WINDOW_SIZE',
    integer(65_535, 0x7fff_ffff),
    16_777_216,
    'bytes in flight per HBONE connection',
  ),
  frameSize: row('HTTP2_FRAME_SIZE', integer(16_384, 16_777_215), 1_048_576, 'largest frame accepted'),
  terminationDeadlineMs: row(
    'CONNECTION_TERMINATION_DEADLINE',
    duration,
    undefined,
    'connections may finish for so long',
  ),
  gracePeriodSeconds: row(
    'TERMINATION_GRACE_PERIOD_SECONDS',
    integer(0, 86_400),
    undefined,
    'the pod’s, for the above',
  ),
  socks5: row('UNSTABLE_ENABLE_SOCKS5', boolean, false, 'SOCKS5 on 15080'),
  localhostAppTunnel: row('LOCALHOST_APP_TUNNEL', boolean, true, 'application tunnels go to loopback'),
  responseBaggage: row('ENABLE_RESPONSE_BAGGAGE', boolean, true, 'exchange baggage with peers'),
  preferredNamespace: row('PREFERED_SERVICE_NAMESPACE', text, undefined, 'its services win name conflicts'),
  crlPath: row('CRL_PATH', text, undefined, 'revocation lists'),
  authzInfoLogging: row('AUTHZ_POLICY_INFO_LOGGING', exactlyTrue, false, 'policy decisions at info'),
  tls12: row('TLS12_ENABLED', exactlyTrue, false, 'TLS 1.2, too, to the control plane'),
  compliancePolicy: row('COMPLIANCE_POLICY', choice('', 'pqc'), '' as const, 'post-quantum key exchange only'),
  logFormat: row('LOG_FORMAT', json, 'plain' as const, 'one JSON object per line'),
  proxyConfig: row(
    'PROXY_CONFIG',
    text,
    undefined,
    'ProxyConfig as YAML, over defaultConfig of ./etc/istio/config/mesh',
  ),
  rustLog: row('RUST_LOG', text, 'info', 'log levels'),
  workerThreads: row(
    'ZTUNNEL_WORKER_THREADS',
    workerCount,
    undefined,
    'accepted; this version carries traffic on one thread',
  ),
  cpuLimit: row('ZTUNNEL_CPU_LIMIT', integer(0, 4096), undefined, 'accepted, for the above'),
  resourceCpuLimit: row('ZTUNNEL_RESOURCE_CPU_LIMIT', integer(0, 4096), undefined, 'accepted, for the above'),
  resourceCpuRequest: row('ZTUNNEL_RESOURCE_CPU_REQUEST', integer(0, 4096), undefined, 'accepted, for the above'),
  fakeCa: row('FAKE_CA', boolean, false, 'certificates without a CA: only of test builds of Istio’s agent'),
  inpodEnabled: row('INPOD_ENABLED', text, undefined, 'no effect: sockets are always in the pods'),
  rustBacktrace: row('RUST_BACKTRACE', text, undefined, 'no effect: of another program’s language'),
} as const;

type Fixed = EnvConfig<typeof TABLE>;

/** Istio's ports. */
export const PORTS: Readonly<
  Record<'outbound' | 'inboundPlaintext' | 'hbone' | 'dns' | 'socks5' | 'admin' | 'metrics' | 'readiness', number>
> = Object.freeze({
  outbound: 15_001,
  inboundPlaintext: 15_006,
  hbone: 15_008,
  dns: 15_053,
  socks5: 15_080,
  admin: 15_000,
  metrics: 15_020,
  readiness: 15_021,
});

/**
 * Reads the configuration.
 * @throws MeshError CONFIG naming every variable that is not understood or does not fit the others.
 */
export function readConfig(env: Environment = process.env, meshFile: string | undefined = readMeshFile()): Config {
  const fixed = parseEnv(TABLE, env);
  const proxyConfig = readProxyConfig(meshFile, fixed.proxyConfig);
  const ownMetadata = withPrefix(env, 'ISTIO_META_');
  const metadata = { ...proxyConfig.proxyMetadata, ...ownMetadata };
  const { parsed, bad } = jsonEntries(withPrefix(env, 'ISTIO_METAJSON_'));
  const config: Config = {
    ...fixed,
    clusterId: ownMetadata['CLUSTER_ID'] ?? fixed.clusterId,
    xdsAddress: controlPlane(fixed.xdsAddress ?? proxyConfig.discoveryAddress, env),
    caAddress: controlPlane(fixed.caAddress, env) ?? '',
    packetMark: fixed.packetMark ?? defaultMark(fixed),
    terminationDeadlineMs: fixed.terminationDeadlineMs ?? deadlineFor(fixed.gracePeriodSeconds),
    xdsHeaders: headers(env, 'XDS_HEADER_'),
    caHeaders: headers(env, 'CA_HEADER_'),
    metadata,
    jsonMetadata: parsed,
    badJsonMetadata: bad,
    dnsEnabled: (metadata['DNS_CAPTURE'] ?? 'true').toLowerCase() === 'true',
    ...dnsAddress(metadata['DNS_PROXY_ADDR']),
    workers: workerThreads({ ...fixed, workerThreads: fixed.workerThreads ?? proxyConfig.concurrency?.toString() }),
    ...adminPorts(proxyConfig),
    resolvConf: '/etc/resolv.conf',
    hostsFile: '/etc/hosts',
  };
  checkTogether(config, fixed);
  return Object.freeze(config);
}

const adminPorts = ({ proxyAdminPort, statsPort }: ProxyConfig): { adminPort: number; metricsPort: number } => ({
  adminPort: proxyAdminPort ?? PORTS.admin,
  metricsPort: statsPort ?? PORTS.metrics,
});

/** Redirect rules know our own packets by it; in dedicated mode there are none. */
const defaultMark = ({ proxyMode }: Fixed): number | undefined => (proxyMode === 'shared' ? 1337 : undefined);

/** Settings of the whole mesh, as Istio's installation mounts them; relative to the working directory, as there. */
const MESH_FILE = './etc/istio/config/mesh';

function readMeshFile(): string | undefined {
  try {
    return readFileSync(MESH_FILE, 'utf8');
  } catch {
    // ENOENT: most installations have none.
    return undefined;
  }
}

/** Options that only make sense together. */
function checkTogether(config: Config, { fakeCa }: Fixed): void {
  const problems: string[] = [];
  const refuse = (bad: boolean, why: string): void => void (bad && problems.push(why));
  refuse(
    fakeCa,
    'FAKE_CA=true is for tests of Istio’s agent (accepted: false): name a certificate authority by CA_ADDRESS',
  );
  refuse(config.caAddress === '', 'CA_ADDRESS is empty: without a certificate authority no workload gets an identity');
  refuse(
    config.localXds !== undefined && config.localXdsPath !== undefined,
    'LOCAL_XDS and LOCAL_XDS_PATH are both set: choose one',
  );
  refuse(
    config.onDemand && config.dnsEnabled,
    'XDS_ON_DEMAND=true needs ISTIO_META_DNS_CAPTURE=false: names can only be answered from the whole mesh',
  );
  refuse(!config.enableProxy && !config.dnsEnabled, 'ENABLE_PROXY=false and DNS capture is off: nothing is left to do');
  refuse(
    config.proxyMode === 'dedicated' && config.workloadInfo === undefined,
    'PROXY_MODE=dedicated needs PROXY_WORKLOAD_INFO=namespace/name/serviceaccount',
  );
  if (problems.length > 0) throw new MeshError('CONFIG', problems.join('; '));
}

/** Istio's default address, and https:// where no scheme is given. */
function controlPlane(value: string | undefined, env: Environment): string | undefined {
  if (value === '') return undefined;
  if (value === undefined)
    return env['KUBERNETES_SERVICE_HOST'] === undefined
      ? 'https://localhost:15012'
      : 'https://istiod.istio-system.svc:15012';
  return value.includes('://') ? value : `https://${value}`;
}

/** Leaves the pod a few seconds after the connections are cut. */
function deadlineFor(graceSeconds: number | undefined): number {
  if (graceSeconds === undefined) return 5000;
  return (graceSeconds > 10 ? graceSeconds - 5 : Math.max(graceSeconds - 1, 1)) * 1000;
}

function withPrefix(env: Environment, prefix: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith(prefix) && value !== undefined) found[name.slice(prefix.length)] = value;
  }
  return found;
}

/** Names become lower case, as HTTP/2 wants them. */
function headers(env: Environment, prefix: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(withPrefix(env, prefix))) {
    const header = name.toLowerCase();
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(header) || !/^[\t\x20-\x7e]*$/.test(value))
      throw new MeshError(
        'CONFIG',
        `${prefix}${name} is no header: the name or the value has characters that HTTP forbids`,
      );
    found[header] = value;
  }
  return found;
}

function jsonEntries(entries: Readonly<Record<string, string>>): { parsed: JsonObject; bad: string[] } {
  const parsed: Record<string, Json> = {};
  const bad: string[] = [];
  for (const [name, value] of Object.entries(entries)) {
    try {
      const read: Json = JSON.parse(value);
      parsed[name] = read;
    } catch {
      // SyntaxError: said once in the log, as Istio does, instead of ending the program.
      bad.push(name);
    }
  }
  return { parsed, bad };
}

function dnsAddress(value: string | undefined): { dnsAddress: HostPort | undefined; dnsPort: number } {
  if (value === undefined) return { dnsAddress: undefined, dnsPort: PORTS.dns };
  const authority = parseAuthority(value);
  if (authority === undefined || (authority.ip === undefined && authority.host !== 'localhost'))
    throw new MeshError(
      'CONFIG',
      `DNS_PROXY_ADDR=${JSON.stringify(value)} (accepted: localhost:<port> or <ip>:<port>)`,
    );
  const { ip, port } = authority;
  return { dnsAddress: ip === undefined ? undefined : { ip, port }, dnsPort: port };
}

/** ZTUNNEL_WORKER_THREADS, else Istio's rule from limits, requests and cores. */
function workerThreads(fixed: Fixed): number {
  const cores = fixed.cpuLimit ?? fixed.resourceCpuLimit ?? availableParallelism();
  const request = fixed.resourceCpuRequest ?? 0;
  const wanted = fixed.workerThreads;
  if (wanted === undefined) {
    const limited = fixed.cpuLimit ?? fixed.resourceCpuLimit;
    return limited === undefined ? Math.max(Math.ceil(cores / 4), request, 2) : Math.max(limited, request, 1);
  }
  if (wanted.endsWith('%')) return Math.max(1, Math.ceil((cores * Number(wanted.slice(0, -1))) / 100));
  return wanted === '0' ? Math.max(1, cores) : Number(wanted);
}

/** The fixed knobs as a Markdown table. */
export const describeConfig = (): string => describeEnv(TABLE);
