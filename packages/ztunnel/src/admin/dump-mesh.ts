import { formatCidr } from '@ambit/common/address/cidr';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { Endpoint } from '@ambit/common/mesh/view';
import { type Condition, type Policy, policyKey, type ValueMatcher } from '@ambit/common/model/policy';
import { type NetworkAddress, type Service, serviceKey } from '@ambit/common/model/service';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import type { PortMap, Workload } from '@ambit/common/model/workload';

type Json = Readonly<Record<string, unknown>>;

/** Workloads, services, policies and staged endpoints in the form that istioctl reads. */
export function dumpMesh(store: MeshStore): Json {
  return {
    workloads: byName([...store.workloads()], (one) => one.uid).map(dumpWorkload),
    services: byName([...store.services()], (one) => one.hostname).map((one) => dumpService(store, one)),
    policies: byName([...store.policies()], policyKey).map(dumpPolicy),
    stagedServices: Object.fromEntries([...store.staged()].map(([key, endpoints]) => [key, dumpEndpoints(endpoints)])),
  };
}

const byName = <T>(all: T[], name: (one: T) => string): T[] => all.sort((a, b) => (name(a) < name(b) ? -1 : 1));

/** Leaves out what has its default. */
function withoutDefaults(values: Json): Json {
  return Object.fromEntries(
    Object.entries(values).filter(
      ([, value]) =>
        value !== undefined && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0),
    ),
  );
}

export function dumpWorkload(workload: Workload): Json {
  const { locality } = workload;
  return {
    workloadIps: workload.addresses,
    protocol: workload.protocol,
    networkMode: workload.hostNetwork ? 'HostNetwork' : 'Standard',
    name: workload.name,
    namespace: workload.namespace,
    status: workload.healthy ? 'Healthy' : 'Unhealthy',
    clusterId: workload.clusterId,
    capacity: workload.capacity,
    ...withoutDefaults({
      waypoint: dumpGateway(workload.waypoint),
      networkGateway: dumpGateway(workload.networkGateway),
      uid: workload.uid,
      trustDomain: workload.trustDomain,
      serviceAccount: workload.serviceAccount,
      network: workload.network,
      workloadName: workload.workloadName,
      workloadType: workload.workloadType,
      canonicalName: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      hostname: workload.hostname,
      node: workload.node,
      nativeTunnel: workload.nativeTunnel,
      applicationTunnel: workload.applicationTunnel,
      authorizationPolicies: workload.authorizationPolicies,
      locality: Object.values(locality).every((one) => one === '') ? undefined : { ...locality },
      services: [...workload.services.keys()].toSorted(),
    }),
  };
}

function dumpService(store: MeshStore, service: Service): Json {
  const { loadBalancing, ipFamilies } = service;
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map(dumpAddress),
    ports: Object.fromEntries(service.ports.map((port) => [port.servicePort, port.targetPort])),
    endpoints: dumpEndpoints(store.endpoints(service)),
    subjectAltNames: service.subjectAltNames,
    canonical: service.canonical,
    visibility: service.visibility === 'NAMESPACE' ? 'Namespace' : 'Public',
    ...withoutDefaults({
      cidrVips: service.cidrVips.map(({ network, cidr }) => ({ network, cidr: formatCidr(cidr) })),
      waypoint: dumpGateway(service.waypoint),
      weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
        destination: dumpGateway(destination),
        weight,
      })),
      loadBalancer:
        loadBalancing.mode === 'STANDARD'
          ? undefined
          : {
              routingPreferences: loadBalancing.preferences.map(capitalized),
              mode: capitalized(loadBalancing.mode),
              healthPolicy: loadBalancing.healthPolicy === 'ALLOW_ALL' ? 'AllowAll' : 'OnlyHealthy',
            },
      ipFamilies: IP_FAMILIES[ipFamilies],
    }),
  };
}

const IP_FAMILIES: Readonly<Record<Service['ipFamilies'], string | undefined>> = {
  AUTOMATIC: undefined,
  IPV4: 'IPv4',
  IPV6: 'IPv6',
  DUAL: 'Dual',
};

const dumpEndpoints = (endpoints: Iterable<Endpoint>): Json =>
  Object.fromEntries(
    [...endpoints].map(({ workload, ports }) => [
      workload.uid,
      { workloadUid: workload.uid, port: dumpPorts(ports), status: workload.healthy ? 'Healthy' : 'Unhealthy' },
    ]),
  );

const dumpPorts = (ports: PortMap): Json => Object.fromEntries(ports);

const dumpAddress = ({ network, ip }: NetworkAddress): string => `${network}/${ip}`;

function dumpGateway(gateway: GatewayAddress | undefined): Json | undefined {
  if (gateway === undefined) return undefined;
  const { destination, port } = gateway;
  const target =
    destination.kind === 'hostname'
      ? serviceKey(destination.namespace, destination.hostname)
      : dumpAddress(destination.address);
  return { destination: target, hboneMtlsPort: port };
}

/** `NETWORK` → `Network`, `WORKLOAD_SELECTOR` → `WorkloadSelector`. */
const capitalized = (text: string): string =>
  text
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('');

function dumpPolicy(policy: Policy): Json {
  return {
    name: policy.name,
    namespace: policy.namespace,
    scope: capitalized(policy.scope),
    action: capitalized(policy.action),
    dryRun: policy.dryRun,
    rules: policy.rules.map((rule) =>
      rule.clauses.map((clause) =>
        clause.matches.map((match) => Object.assign({}, ...match.conditions.map(dumpCondition)) satisfies Json),
      ),
    ),
  };
}

/** Istio's names of what a condition looks at. */
const CONDITION_KEYS: Readonly<Record<string, string>> = {
  'source.principal': 'principals',
  'source.namespace': 'namespaces',
  'source.serviceAccount': 'serviceAccounts',
  'source.ip': 'sourceIps',
  'destination.ip': 'destinationIps',
  'destination.port': 'destinationPorts',
};

function dumpCondition({ attribute, values, notValues }: Condition): Json {
  const key = CONDITION_KEYS[attribute] ?? attribute;
  const dumped: Record<string, unknown> = {};
  if (values.length > 0) dumped[key] = values.map(dumpMatcher);
  if (notValues.length > 0) dumped[`not${key.slice(0, 1).toUpperCase()}${key.slice(1)}`] = notValues.map(dumpMatcher);
  return dumped;
}

function dumpMatcher(matcher: ValueMatcher): unknown {
  switch (matcher.kind) {
    case 'presence':
      return { Presence: [] };
    case 'cidr':
      return formatCidr(matcher.cidr);
    case 'port':
      return matcher.port;
    case 'serviceAccount':
      return { namespace: matcher.namespace, serviceAccount: matcher.serviceAccount };
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'glob':
    case 'template':
      return { [capitalized(matcher.kind.toUpperCase())]: matcher.value };
    default:
      return matcher satisfies never;
  }
}
