import { type WireWorkload, workloadFromWire } from '@ambit/common/codec/workload';
import type { MeshStore } from '@ambit/common/mesh/store';
import { NO_LOCALITY } from '@ambit/common/model/locality';
import type { Attribute, Condition, Match, Policy, ValueMatcher } from '@ambit/common/model/policy';
import type { LoadBalancing, Service } from '@ambit/common/model/service';
import type { ApplicationTunnel, PortMap, Workload } from '@ambit/common/model/workload';
import { Fields, readCidr, readGateway, readIp, readNetworkAddress, readPort, readText } from './local-fields.ts';
import { isMapping, parseYaml } from './local-config.ts';

/** A mesh that is written down instead of served: the forms of `/config_dump`, as YAML. */
export interface LocalState {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly Policy[];
}

/** @throws MeshError CONFIG naming the field that is unknown or wrong. */
export function readLocalState(text: string, source: string): LocalState {
  const fields = new Fields(parseYaml(text, source) ?? {}, source);
  const state = {
    workloads: fields.list('workloads', readWorkload),
    services: fields.list('services', readService),
    policies: fields.list('policies', readPolicy),
  };
  fields.done();
  return state;
}

export function applyLocalState(store: MeshStore, { workloads, services, policies }: LocalState): void {
  store.applyAddresses(
    [
      ...services.map((service) => ({ kind: 'service', service }) as const),
      ...workloads.map((workload) => ({ kind: 'workload', workload }) as const),
    ],
    [],
  );
  store.applyPolicies(policies, []);
}

const TYPES = ['deployment', 'cronjob', 'pod', 'job'] as const;

function readWorkload(value: unknown, path: string): Workload {
  const fields = new Fields(value, path);
  const workload: Workload = {
    ...namedWorkload(fields.text('uid')),
    name: fields.text('name', ''),
    namespace: fields.text('namespace', ''),
    addresses: fields.list('workloadIps', readIp),
    network: fields.text('network', ''),
    protocol: fields.choice('protocol', 'TCP', ['TCP', 'HBONE']),
    trustDomain: fields.text('trustDomain', 'cluster.local'),
    serviceAccount: fields.text('serviceAccount', 'default'),
    waypoint: fields.optional('waypoint', readGateway),
    networkGateway: fields.optional('networkGateway', readGateway),
    node: fields.text('node', ''),
    canonicalName: fields.text('canonicalName', ''),
    canonicalRevision: fields.text('canonicalRevision', ''),
    workloadType: fields.choice('workloadType', 'deployment', TYPES),
    workloadName: fields.text('workloadName', ''),
    nativeTunnel: fields.flag('nativeTunnel'),
    authorizationPolicies: fields.list('authorizationPolicies', readText),
    healthy: fields.choice('status', 'Healthy', ['Healthy', 'Unhealthy']) === 'Healthy',
    clusterId: fields.text('clusterId', 'Kubernetes'),
    hostname: fields.text('hostname', ''),
    services: new Map(fields.entries('services', readPorts)),
    applicationTunnel: fields.optional('applicationTunnel', readTunnel),
    locality: fields.optional('locality', readLocality) ?? NO_LOCALITY,
    hostNetwork: fields.choice('networkMode', 'Standard', ['Standard', 'HostNetwork']) === 'HostNetwork',
    capacity: fields.number('capacity', 1),
  };
  fields.done();
  return Object.freeze(workload);
}

/** The codec is the only maker of uids. */
function namedWorkload(uid: string): Workload {
  const wire: WireWorkload = {
    uid,
    name: '',
    namespace: '',
    addresses: [],
    network: '',
    tunnelProtocol: 0,
    trustDomain: '',
    serviceAccount: '',
    waypoint: undefined,
    node: '',
    canonicalName: '',
    canonicalRevision: '',
    workloadType: 0,
    workloadName: '',
    nativeTunnel: false,
    authorizationPolicies: [],
    status: 0,
    clusterId: '',
    networkGateway: undefined,
    hostname: '',
    services: {},
    applicationTunnel: undefined,
    locality: undefined,
    networkMode: 0,
    capacity: undefined,
  };
  return workloadFromWire(wire);
}

function readPorts(value: unknown, path: string): PortMap {
  const ports = new Fields({ ports: value }, path).entries('ports', readPort);
  return new Map(ports.map(([from, to]) => [Number(from), to]));
}

function readTunnel(value: unknown, path: string): ApplicationTunnel {
  const fields = new Fields(value, path);
  const tunnel: ApplicationTunnel = {
    protocol: fields.choice('protocol', 'NONE', ['NONE', 'PROXY']),
    port: fields.number('port', 0),
  };
  fields.done();
  return tunnel;
}

function readLocality(value: unknown, path: string): Workload['locality'] {
  const fields = new Fields(value, path);
  const locality = {
    region: fields.text('region', ''),
    zone: fields.text('zone', ''),
    subzone: fields.text('subzone', ''),
  };
  fields.done();
  return locality;
}

const FAMILIES = { IPv4: 'IPV4', IPv6: 'IPV6', Dual: 'DUAL', '': 'AUTOMATIC' } as const;

function readService(value: unknown, path: string): Service {
  const fields = new Fields(value, path);
  const service: Service = {
    name: fields.text('name', ''),
    namespace: fields.text('namespace'),
    hostname: fields.text('hostname'),
    vips: fields.list('vips', readNetworkAddress),
    cidrVips: fields.list('cidrVips', (one, at) => {
      const range = new Fields(one, at);
      return { network: range.text('network', ''), cidr: readCidr(range.text('cidr'), at) };
    }),
    ports: fields
      .entries('ports', readPort)
      .map(([from, targetPort]) => ({ servicePort: Number(from), targetPort, appProtocol: 'UNKNOWN' })),
    subjectAltNames: fields.list('subjectAltNames', readText),
    waypoint: fields.optional('waypoint', readGateway),
    weightedWaypoints: fields.list('weightedWaypoints', (one, at) => {
      const weighted = new Fields(one, at);
      return {
        destination: weighted.optional('destination', readGateway) ?? readGateway(undefined, `${at}.destination`),
        weight: weighted.number('weight'),
      };
    }),
    loadBalancing: readLoadBalancer(fields),
    ipFamilies: FAMILIES[fields.choice('ipFamilies', '', ['IPv4', 'IPv6', 'Dual', ''])],
    canonical: fields.flag('canonical'),
    visibility: fields.choice('visibility', 'Public', ['Public', 'Namespace']) === 'Public' ? 'PUBLIC' : 'NAMESPACE',
  };
  // Endpoints come from the workloads.
  fields.optional('endpoints', () => undefined);
  fields.done();
  return service;
}

const MODES = { Standard: 'STANDARD', Strict: 'STRICT', Failover: 'FAILOVER', Passthrough: 'PASSTHROUGH' } as const;
const SCOPES = {
  Region: 'REGION',
  Zone: 'ZONE',
  Subzone: 'SUBZONE',
  Node: 'NODE',
  Cluster: 'CLUSTER',
  Network: 'NETWORK',
} as const;

const readScope = (value: unknown, path: string): LoadBalancing['preferences'][number] =>
  SCOPES[
    new Fields({ scope: value }, path).choice('scope', 'Region', [
      'Region',
      'Zone',
      'Subzone',
      'Node',
      'Cluster',
      'Network',
    ])
  ];

function readLoadBalancer(service: Fields): LoadBalancing {
  const fields = new Fields(service.optional('loadBalancer', (value) => value) ?? {}, `${service.path}.loadBalancer`);
  const balancing: LoadBalancing = {
    mode: MODES[fields.choice('mode', 'Standard', ['Standard', 'Strict', 'Failover', 'Passthrough'])],
    preferences: fields.list('routingPreferences', readScope),
    healthPolicy:
      fields.choice('healthPolicy', 'OnlyHealthy', ['OnlyHealthy', 'AllowAll']) === 'AllowAll'
        ? 'ALLOW_ALL'
        : 'ONLY_HEALTHY',
  };
  fields.done();
  return balancing;
}

const POLICY_SCOPES = { Global: 'GLOBAL', Namespace: 'NAMESPACE', WorkloadSelector: 'WORKLOAD_SELECTOR' } as const;

/** Lists in lists: a rule is its clauses, a clause its matches. */
const readRule = (rule: unknown, path: string): Policy['rules'][number] => ({
  clauses: new Fields({ clauses: rule }, path).list('clauses', (clause, clausePath) => ({
    origin: 'any',
    matches: new Fields({ matches: clause }, clausePath).list('matches', readMatch),
  })),
});

function readPolicy(value: unknown, path: string): Policy {
  const fields = new Fields(value, path);
  const policy: Policy = {
    name: fields.text('name'),
    namespace: fields.text('namespace', ''),
    scope: POLICY_SCOPES[fields.choice('scope', 'Namespace', ['Global', 'Namespace', 'WorkloadSelector'])],
    action: fields.choice('action', 'Allow', ['Allow', 'Deny']) === 'Deny' ? 'DENY' : 'ALLOW',
    dryRun: fields.flag('dryRun'),
    rules: fields.list('rules', readRule),
    listeners: [],
  };
  fields.done();
  return policy;
}

const CONDITIONS: readonly (readonly [Attribute, string, (value: unknown, path: string) => ValueMatcher])[] = [
  ['source.namespace', 'namespaces', readMatcher],
  ['source.principal', 'principals', readMatcher],
  ['source.ip', 'sourceIps', (value, path) => ({ kind: 'cidr', cidr: readCidr(value, path) })],
  ['destination.ip', 'destinationIps', (value, path) => ({ kind: 'cidr', cidr: readCidr(value, path) })],
  ['destination.port', 'destinationPorts', (value, path) => ({ kind: 'port', port: readPort(value, path) })],
  ['source.serviceAccount', 'serviceAccounts', readAccount],
];

function readMatch(value: unknown, path: string): Match {
  const fields = new Fields(value, path);
  const conditions: Condition[] = [];
  for (const [attribute, name, read] of CONDITIONS) {
    const values = fields.list(name, read);
    const notValues = fields.list(`not${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, read);
    if (values.length + notValues.length > 0) conditions.push({ attribute, key: '', values, notValues });
  }
  fields.done();
  return { conditions };
}

/** `!Exact x` or `{Exact: x}`; `!Presence []`. */
function readMatcher(value: unknown, path: string): ValueMatcher {
  if (Array.isArray(value) || (isMapping(value) && 'Presence' in value)) return { kind: 'presence' };
  const fields = new Fields(value, path);
  for (const [name, kind] of [
    ['Exact', 'exact'],
    ['Prefix', 'prefix'],
    ['Suffix', 'suffix'],
  ] as const) {
    const text = fields.optional(name, readText);
    if (text === undefined) continue;
    fields.done();
    return { kind, value: text, ignoreCase: false };
  }
  return readMatcher(fields.text('Exact, Prefix, Suffix or Presence'), path);
}

function readAccount(value: unknown, path: string): ValueMatcher {
  const fields = new Fields(value, path);
  const account = { namespace: fields.text('namespace'), serviceAccount: fields.text('serviceAccount') };
  fields.done();
  return { kind: 'serviceAccount', ...account };
}
