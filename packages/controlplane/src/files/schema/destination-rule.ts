import { duration, durationOrNone, parseDuration } from './duration.ts';
import { isDnsName } from './hostname.ts';
import {
  anything,
  boolean,
  choice,
  integer,
  isSet,
  list,
  map,
  notRun,
  object,
  port,
  refuse,
  type Path,
  type Report,
  type Schema,
  text,
  warn,
} from './schema.ts';

export interface ClientTlsSettings {
  readonly mode?: 'DISABLE' | 'SIMPLE' | 'MUTUAL' | 'ISTIO_MUTUAL';
  readonly clientCertificate?: string;
  readonly privateKey?: string;
  readonly caCertificates?: string;
  readonly credentialName?: string;
  readonly subjectAltNames?: readonly string[];
  readonly sni?: string;
  readonly insecureSkipVerify?: boolean;
}

export interface ConnectionPoolSettings {
  readonly tcp?: { readonly maxConnections?: number; readonly connectTimeout?: string; readonly idleTimeout?: string };
  readonly http?: {
    readonly http1MaxPendingRequests?: number;
    readonly http2MaxRequests?: number;
    readonly maxRequestsPerConnection?: number;
    readonly idleTimeout?: string;
    readonly h2UpgradePolicy?: 'DEFAULT' | 'DO_NOT_UPGRADE' | 'UPGRADE';
  };
}

export interface PortTrafficPolicy {
  readonly loadBalancer?: {
    readonly simple?: 'UNSPECIFIED' | 'LEAST_CONN' | 'RANDOM' | 'PASSTHROUGH' | 'ROUND_ROBIN' | 'LEAST_REQUEST';
  };
  readonly connectionPool?: ConnectionPoolSettings;
  readonly tls?: ClientTlsSettings;
}

export interface TrafficPolicy extends PortTrafficPolicy {
  readonly portLevelSettings?: readonly (PortTrafficPolicy & { readonly port?: { readonly number?: number } })[];
}

export interface DestinationRuleSpec {
  readonly host: string;
  readonly trafficPolicy?: TrafficPolicy;
  readonly subsets?: readonly { readonly name: string }[];
  readonly workloadSelector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly exportTo?: readonly string[];
}

const tls: Schema<ClientTlsSettings> = object<ClientTlsSettings>(
  {
    mode: choice('DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL'),
    clientCertificate: text,
    privateKey: text,
    caCertificates: text,
    credentialName: text,
    subjectAltNames: list(text),
    sni: text,
    insecureSkipVerify: boolean,
  },
  { notRun: { caCrl: 'revoked certificates are not looked up' }, rules: checkTls },
);

/** Where the key material comes from must be said once: files or a Secret, and MUTUAL needs one of them. */
function checkTls(value: ClientTlsSettings, path: Path, report: Report): void {
  if (value.mode === 'ISTIO_MUTUAL')
    warn(
      report,
      [...path, 'mode'],
      'ISTIO_MUTUAL adds no TLS of its own: pods of the mesh are reached by HBONE, anything else in plain text',
    );
  const secret = isSet(value.credentialName);
  const files = [value.clientCertificate, value.privateKey, value.caCertificates].some(isSet);
  if (value.mode === 'MUTUAL' && !secret) checkKeyFiles(value, path, report);
  if (secret && files)
    refuse(
      report,
      [...path, 'credentialName'],
      'expected either credentialName or certificate files, found both',
      'key',
    );
  if (value.mode === 'ISTIO_MUTUAL' && (files || secret))
    refuse(report, path, 'mode ISTIO_MUTUAL uses the mesh certificate: expected no certificate fields');
}

function checkKeyFiles(value: ClientTlsSettings, path: Path, report: Report): void {
  if (!isSet(value.clientCertificate))
    refuse(report, path, 'mode MUTUAL expects credentialName, or clientCertificate and privateKey');
  else if (!isSet(value.privateKey))
    refuse(report, path, 'privateKey is missing: mode MUTUAL expects it beside clientCertificate');
}

type Http = NonNullable<ConnectionPoolSettings['http']>;
type Tcp = NonNullable<ConnectionPoolSettings['tcp']>;
const count = integer(0, 0x7fff_ffff);

const connectionPool: Schema<ConnectionPoolSettings> = object<ConnectionPoolSettings>({
  tcp: object<Tcp>(
    { maxConnections: count, connectTimeout: duration, idleTimeout: durationOrNone },
    {
      notRun: {
        tcpKeepalive: 'connections are kept alive as the waypoint does for all',
        maxConnectionDuration: 'a connection ends when it is idle or one side closes it',
      },
    },
  ),
  http: object<Http & { readonly useClientProtocol?: boolean }>(
    {
      http1MaxPendingRequests: count,
      http2MaxRequests: count,
      maxRequestsPerConnection: count,
      idleTimeout: duration,
      h2UpgradePolicy: choice('DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE'),
      useClientProtocol: notRun(
        boolean,
        'the protocol towards the backend follows the port',
        (value) => value === false,
      ),
    },
    {
      notRun: {
        maxRetries: 'retries are limited by their number for one request alone',
        maxConcurrentStreams: 'the backend says itself how many streams it takes',
      },
      rules: (value, path, report) => {
        if (value.useClientProtocol === true && value.h2UpgradePolicy === 'UPGRADE')
          refuse(
            report,
            [...path, 'useClientProtocol'],
            'expected either useClientProtocol or h2UpgradePolicy: UPGRADE, found both',
            'key',
          );
      },
    },
  ),
});

interface LoadBalancerSettings extends NonNullable<PortTrafficPolicy['loadBalancer']> {
  readonly consistentHash?: {
    readonly httpCookie?: { readonly name?: string };
    readonly maglev?: { readonly tableSize?: number };
  };
  readonly localityLbSetting?: unknown;
  readonly zoneAwareLbSetting?: unknown;
}

const MAX_MAGLEV_TABLE = 5_000_011;

const consistentHash = object<NonNullable<LoadBalancerSettings['consistentHash']>>(
  {
    httpCookie: object<{ name?: string }>(
      { name: text },
      {
        accepted: ['path', 'ttl', 'attributes'],
        rules: (value, path, report) => {
          if ((value.name ?? '') === '') refuse(report, path, 'name is missing: expected the name of the cookie');
        },
      },
    ),
    maglev: object<{ tableSize?: number }>(
      { tableSize: integer(0, Number.MAX_SAFE_INTEGER) },
      {
        rules: ({ tableSize }, path, report) => {
          if (tableSize === undefined || (tableSize <= MAX_MAGLEV_TABLE && isPrime(tableSize))) return;
          refuse(
            report,
            [...path, 'tableSize'],
            `expected a prime number up to ${MAX_MAGLEV_TABLE}, found ${tableSize}`,
          );
        },
      },
    ),
  },
  { accepted: ['httpHeaderName', 'httpQueryParameterName', 'minimumRingSize', 'ringHash', 'useSourceIp'] },
);

const NO_LOCALITY = 'a waypoint chooses among all healthy endpoints wherever they are';

const loadBalancer: Schema<LoadBalancerSettings> = object<LoadBalancerSettings>(
  {
    simple: choice('UNSPECIFIED', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN', 'LEAST_REQUEST'),
    consistentHash: notRun(consistentHash, 'requests are spread as loadBalancer.simple says'),
    localityLbSetting: notRun(anything, NO_LOCALITY),
    zoneAwareLbSetting: notRun(anything, NO_LOCALITY),
  },
  {
    notRun: {
      warmup: 'a new endpoint gets its full share at once',
      warmupDurationSecs: 'a new endpoint gets its full share at once',
      backendUtilization: 'what endpoints report about their load is not read',
    },
    rules: (value, path, report) => {
      if (value.localityLbSetting !== undefined && value.zoneAwareLbSetting !== undefined)
        refuse(
          report,
          [...path, 'zoneAwareLbSetting'],
          'expected either localityLbSetting or zoneAwareLbSetting, found both',
          'key',
        );
    },
  },
);

const NOT_RUN = {
  outlierDetection: 'an endpoint that fails is tried again like any other',
  retryBudget: 'retries are limited by their number for one request alone',
};

const trafficPolicy: Schema<TrafficPolicy> = object<
  TrafficPolicy & { readonly proxyProtocol?: unknown; readonly tunnel?: unknown }
>(
  {
    loadBalancer,
    connectionPool,
    tls,
    proxyProtocol: notRun(anything, 'no PROXY header is sent'),
    tunnel: notRun(anything, 'connections go straight to the destination'),
    portLevelSettings: list(
      object<PortTrafficPolicy & { readonly port?: { readonly number?: number } }>(
        { port: object<{ number?: number }>({ number: port }), loadBalancer, connectionPool, tls },
        {
          notRun: NOT_RUN,
          rules: (value, path, report) => {
            if (value.port?.number === undefined) refuse(report, path, 'port is missing: expected port.number');
          },
        },
      ),
    ),
  },
  {
    notRun: NOT_RUN,
    rules: (value, path, report) => {
      if (Object.keys(value).length === 0)
        refuse(report, path, 'trafficPolicy is empty: expected at least one setting');
      if (value.tunnel !== undefined && value.proxyProtocol !== undefined)
        refuse(report, [...path, 'tunnel'], 'expected either tunnel or proxyProtocol, found both', 'key');
    },
  },
);

export const destinationRuleSpec: Schema<DestinationRuleSpec> = object<DestinationRuleSpec>(
  {
    host: text,
    trafficPolicy,
    subsets: notRun(
      list(
        object<{ name: string; labels?: unknown; trafficPolicy?: TrafficPolicy }>(
          { name: text, labels: map(text), trafficPolicy },
          { required: ['name'] },
        ),
      ),
      'nothing routes to a subset, so all endpoints of the host are used with trafficPolicy',
      (value) => Array.isArray(value) && value.length === 0,
    ),
    workloadSelector: notRun(
      object<NonNullable<DestinationRuleSpec['workloadSelector']>>({ matchLabels: map(text) }),
      'the whole rule is left out, as it is for selected clients and a waypoint is never selected',
    ),
    exportTo: list(text),
  },
  { required: ['host'], rules: checkDestinationRule },
);

function checkDestinationRule(spec: DestinationRuleSpec, path: Path, report: Report): void {
  if (!isDnsName(spec.host, true) && spec.host !== '*')
    refuse(report, [...path, 'host'], `expected a host name, found ${JSON.stringify(spec.host)}`);
  const names = new Set<string>();
  for (const [i, subset] of (spec.subsets ?? []).entries()) {
    if (names.has(subset.name))
      refuse(report, [...path, 'subsets', i, 'name'], `subset ${subset.name} is there twice: expected each once`);
    names.add(subset.name);
  }
  const wide = spec.exportTo !== undefined && !(spec.exportTo.length === 1 && spec.exportTo[0] === '.');
  if (spec.workloadSelector !== undefined && wide)
    refuse(
      report,
      [...path, 'exportTo'],
      'a rule with workloadSelector is for its own namespace: expected exportTo to be "." only',
    );
}

function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let i = 2; i * i <= value; i++) if (value % i === 0) return false;
  return true;
}

/** Milliseconds of an optional duration; 0 when there is none. */
export const durationMs = (value: string | undefined): number => Math.round(parseDuration(value ?? '') ?? 0);
