import type { IpAddress } from '@ambit/common/address/ip';
import { parseIp } from '@ambit/common/address/ip';
import { choice, type EnvParser, integer, parseEnv, port, row, text } from '@ambit/common/config/env';
import { MeshError } from '@ambit/common/errors';

const addresses: EnvParser<readonly IpAddress[]> = {
  accepts: 'IP addresses, separated by commas',
  read: (value) => {
    const all = value.split(',').map((one) => parseIp(one.trim()));
    const good = all.filter((one) => one !== undefined);
    return good.length === all.length ? good : undefined;
  },
};
const NO_ADDRESSES: readonly IpAddress[] = [];

/** The configuration of a waypoint, complete and checked. The table below says what each knob means. */
export interface WaypointConfig {
  readonly xdsAddress: string;
  readonly caAddress: string | undefined;
  readonly xdsRootCa: string;
  readonly caRootCa: string;
  readonly authToken: string | undefined;
  readonly secretTtlSeconds: number;
  readonly gatewayName: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly nodeName: string;
  /** INSTANCE_IPS, or else INSTANCE_IP; never empty. */
  readonly addresses: readonly IpAddress[];
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly network: string;
  readonly logFormat: 'plain' | 'json';
  readonly rustLog: string;
  readonly drainSeconds: number;
  readonly maxConnectionsPerClient: number;
  readonly maxTunnelsPerClient: number;
  readonly hbonePort: number;
  readonly metricsPort: number;
  readonly envoyMetricsPort: number;
  readonly readyPort: number;
  readonly adminPort: number;
}

/** Every knob of a waypoint: Istio's names and defaults where Istio has them. */
const TABLE = {
  xdsAddress: row('XDS_ADDRESS', text, 'istiod.istio-system.svc:15012', 'control plane'),
  caAddress: row('CA_ADDRESS', text, undefined, 'certificate authority; the control plane when not set'),
  xdsRootCa: row('XDS_ROOT_CA', text, './var/run/secrets/istio/root-cert.pem', 'file, PEM or SYSTEM'),
  caRootCa: row('CA_ROOT_CA', text, './var/run/secrets/istio/root-cert.pem', 'file, PEM or SYSTEM'),
  authToken: row('AUTH_TOKEN', text, undefined, 'file with the token, or the token'),
  secretTtlSeconds: row('SECRET_TTL_SECONDS', integer(60, 31_536_000), 86_400, 'certificate lifetime asked for'),
  gatewayName: row('GATEWAY_NAME', text, 'waypoint', 'name of the Gateway that this waypoint serves'),
  podName: row('POD_NAME', text, '', 'own pod'),
  podNamespace: row('POD_NAMESPACE', text, 'default', 'own namespace'),
  serviceAccount: row('SERVICE_ACCOUNT', text, 'waypoint', 'own service account'),
  nodeName: row('NODE_NAME', text, '', 'own node'),
  instanceIp: row('INSTANCE_IP', addresses, NO_ADDRESSES, 'own address'),
  instanceIps: row('INSTANCE_IPS', addresses, NO_ADDRESSES, 'all own addresses'),
  trustDomain: row('TRUST_DOMAIN', text, 'cluster.local', 'trust domain of the own identity'),
  clusterId: row('CLUSTER_ID', text, 'Kubernetes', 'own cluster'),
  network: row('NETWORK', text, '', 'own network'),
  logFormat: row('LOG_FORMAT', choice('plain', 'json'), 'plain' as const, 'one line of text, or of JSON, per event'),
  rustLog: row('RUST_LOG', text, 'info', 'log levels, such as info or authz=debug,info'),
  drainSeconds: row('TERMINATION_DRAIN_DURATION_SECONDS', integer(0, 3600), 5, 'how long connections may finish'),
  maxConnectionsPerClient: row(
    'MAX_CONNECTIONS_PER_CLIENT',
    integer(1, 1_000_000),
    1024,
    'HBONE connections that one address may have',
  ),
  maxTunnelsPerClient: row(
    'MAX_TUNNELS_PER_CLIENT',
    integer(1, 10_000_000),
    16_384,
    'tunnels that one address may have open, over all its connections',
  ),
  hbonePort: row('HBONE_PORT', port, 15_008, 'where tunnels arrive'),
  metricsPort: row('METRICS_PORT', port, 15_020, '/stats/prometheus'),
  envoyMetricsPort: row(
    'ENVOY_PROMETHEUS_PORT',
    port,
    15_090,
    'the same metrics, where scrape configurations of Istio look for a proxy',
  ),
  readyPort: row('READY_PORT', port, 15_021, '/healthz/ready'),
  adminPort: row('ADMIN_PORT', port, 15_000, 'administration, on localhost'),
};

/** Reads the whole configuration. @throws MeshError CONFIG listing everything that is wrong with it. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): WaypointConfig {
  const config = parseEnv(TABLE, env);
  const own = config.instanceIps.length > 0 ? config.instanceIps : config.instanceIp;
  if (own.length === 0) throw new MeshError('CONFIG', 'INSTANCE_IP is not set: it must be the address of this pod');
  return { ...config, addresses: own };
}
