import { isIP } from 'node:net';
import { parseCidr } from '@ambit/common/address/cidr';
import { isDnsName, isPartialWildcard } from './hostname.ts';
import { type Metadata } from './metadata.ts';
import {
  choice,
  integer,
  isSet,
  list,
  map,
  notRun,
  object,
  port,
  type Path,
  refuse,
  type Report,
  type Schema,
  text,
  textOf,
  warn,
} from './schema.ts';
import { isTls, isHttp, parseProtocol } from './protocol.ts';

export interface WorkloadEntrySpec {
  readonly address?: string;
  readonly ports?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly network?: string;
  readonly locality?: string;
  readonly weight?: number;
  readonly serviceAccount?: string;
}

export interface ServiceEntryPort {
  readonly number: number;
  readonly name: string;
  readonly protocol?: string;
  readonly targetPort?: number;
}

export type Resolution = 'NONE' | 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN' | 'DYNAMIC_DNS';

export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  readonly addresses?: readonly string[];
  readonly ports?: readonly ServiceEntryPort[];
  readonly location?: 'MESH_EXTERNAL' | 'MESH_INTERNAL';
  readonly resolution?: Resolution;
  readonly endpoints?: readonly WorkloadEntrySpec[];
  readonly workloadSelector?: { readonly labels?: Readonly<Record<string, string>> };
  readonly subjectAltNames?: readonly string[];
  readonly exportTo?: readonly string[];
}

const isEverywhere = (value: unknown): boolean => Array.isArray(value) && value.length === 1 && value[0] === '*';

const portName = textOf('a port name', (value) => value !== '');

export const workloadEntrySpec: Schema<WorkloadEntrySpec> = object<WorkloadEntrySpec>(
  {
    address: text,
    ports: map(port, (name) => (name === '' ? 'expected the name of a port' : undefined)),
    labels: map(text),
    network: text,
    locality: text,
    weight: integer(),
    serviceAccount: text,
  },
  { rules: checkEndpoint },
);

/** One rule set for WorkloadEntry and for inline endpoints. */
function checkEndpoint(entry: WorkloadEntrySpec, path: readonly (string | number)[], report: Report): void {
  const address = entry.address ?? '';
  const at = [...path, 'address'];
  if (address === '') {
    if ((entry.network ?? '') === '') refuse(report, path, 'address is missing: expected an IP address or a host name');
    else warn(report, path, 'address is missing: the endpoint is reachable only through the gateway of its network');
    return;
  }
  if (address.startsWith('unix://')) {
    if (!/^unix:\/\/(\/|@).*[^/]$/.test(address))
      refuse(report, at, 'expected the absolute path of a socket after unix://');
    warn(report, at, 'a unix:// endpoint is out of reach of every other pod: connections to it fail');
    if (Object.keys(entry.ports ?? {}).length > 0)
      refuse(report, [...path, 'ports'], 'a unix:// address has no ports: expected none', 'key');
  } else if (isIP(address) === 0 && !isDnsName(address, false))
    refuse(report, at, `expected an IP address or a host name, found ${JSON.stringify(address)}`);
}

export const serviceEntrySpec: Schema<ServiceEntrySpec> = object<ServiceEntrySpec>(
  {
    hosts: list(text, { min: 1, max: 256 }),
    addresses: list(text, { max: 256 }),
    ports: list(
      object<ServiceEntryPort>(
        { number: port, name: portName, protocol: text, targetPort: port },
        { required: ['number', 'name'] },
      ),
      { max: 256 },
    ),
    location: choice('MESH_EXTERNAL', 'MESH_INTERNAL'),
    resolution: choice('NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'),
    endpoints: list(workloadEntrySpec, { max: 4096 }),
    workloadSelector: object<NonNullable<ServiceEntrySpec['workloadSelector']>>({ labels: map(text) }),
    subjectAltNames: list(text),
    exportTo: notRun(list(text), 'every namespace of the mesh sees the hosts', isEverywhere),
  },
  { required: ['hosts'] },
);

/** Istio's checks of a ServiceEntry across its fields. */
export function checkServiceEntry(spec: ServiceEntrySpec, metadata: Metadata, report: Report): void {
  const resolution = spec.resolution ?? 'NONE';
  checkHosts(spec, resolution, report);
  checkAddresses(spec, resolution, report);
  checkPorts(spec, resolution, report);
  checkEndpoints(spec, resolution, report);
  checkSelector(spec, resolution, report);
  if (resolution === 'DYNAMIC_DNS') checkDynamicDns(spec, metadata, report);
  warnWithoutAddress(spec, metadata, report);
}

function warnWithoutAddress(spec: ServiceEntrySpec, metadata: Metadata, report: Report): void {
  const autoAllocate = metadata.labels?.['networking.istio.io/enable-autoallocate-ip']?.toLowerCase() !== 'false';
  const passthrough = spec.resolution === undefined || spec.resolution === 'NONE';
  if (autoAllocate || passthrough || (spec.addresses ?? []).length > 0) return;
  for (const [i, one] of (spec.ports ?? []).entries())
    if (!isHttp(parseProtocol(one.protocol)) && !isTls(parseProtocol(one.protocol)))
      warn(
        report,
        ['spec', 'ports', i],
        'a TCP port without addresses, and automatic addresses are off: it matches any destination',
      );
}

function checkHosts(spec: ServiceEntrySpec, resolution: Resolution, report: Report): void {
  const resolved = resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN';
  for (const [i, host] of spec.hosts.entries()) {
    const at = ['spec', 'hosts', i];
    if (host === '*') refuse(report, at, 'expected a host name: * alone would take all traffic');
    else if (isPartialWildcard(host))
      warn(report, at, `the wildcard of ${host} is part of a label: expected *. and a domain`);
    else if (!isDnsName(host, true)) refuse(report, at, `expected a host name, found ${JSON.stringify(host)}`);
    else if (
      resolved &&
      (spec.endpoints ?? []).length === 0 &&
      spec.workloadSelector === undefined &&
      host.startsWith('*')
    )
      refuse(
        report,
        at,
        `resolution ${resolution} without endpoints looks the host up: expected a full host name, found ${host}`,
      );
  }
}

function checkAddresses(spec: ServiceEntrySpec, resolution: Resolution, report: Report): void {
  for (const [i, address] of (spec.addresses ?? []).entries()) {
    const at = ['spec', 'addresses', i];
    if (parseCidr(address) === undefined)
      refuse(report, at, `expected an IP address or CIDR, found ${JSON.stringify(address)}`);
    else if (address.includes('/') && resolution !== 'NONE' && resolution !== 'STATIC')
      refuse(report, at, `a CIDR is allowed with resolution NONE or STATIC, found resolution ${resolution}`);
  }
}

function checkPorts(spec: ServiceEntrySpec, resolution: Resolution, report: Report): void {
  const seen = new Set<string | number>();
  for (const [i, one] of (spec.ports ?? []).entries()) {
    const at = ['spec', 'ports', i];
    if (seen.has(one.number))
      refuse(report, [...at, 'number'], `port ${one.number} is there twice: expected each once`);
    if (seen.has(one.name)) refuse(report, [...at, 'name'], `port name ${one.name} is there twice: expected each once`);
    seen.add(one.number).add(one.name);
    const protocol = parseProtocol(one.protocol);
    if (one.protocol !== undefined && protocol === 'UNSUPPORTED')
      refuse(
        report,
        [...at, 'protocol'],
        `expected HTTP, HTTPS, HTTP2, GRPC, TCP, TLS, MONGO or another known protocol, found ${one.protocol}`,
      );
    else if (spec.hosts.length > 1 && resolution !== 'NONE' && !isHttp(protocol) && !isTls(protocol))
      refuse(
        report,
        at,
        `several hosts share port ${one.number}: expected protocol HTTP or TLS, which name the host they mean`,
      );
  }
}

function checkEndpoints(spec: ServiceEntrySpec, resolution: Resolution, report: Report): void {
  const endpoints = spec.endpoints ?? [];
  const at = ['spec', 'endpoints'];
  if (endpoints.length > 0 && resolution === 'NONE')
    refuse(report, at, 'resolution NONE keeps the original destination: expected no endpoints', 'key');
  if (endpoints.length > 1 && resolution === 'DNS_ROUND_ROBIN')
    refuse(report, at, `DNS_ROUND_ROBIN takes one endpoint, found ${endpoints.length}`, 'key');
  const names = new Set((spec.ports ?? []).map((one) => one.name));
  for (const [i, endpoint] of endpoints.entries()) {
    if (resolution === 'STATIC') checkStaticAddress(endpoint.address, [...at, i, 'address'], report);
    for (const name of Object.keys(endpoint.ports ?? {}).filter((one) => !names.has(one)))
      refuse(
        report,
        [...at, i, 'ports', name],
        `port ${name} is not declared: expected one of ${[...names].join(', ')}`,
        'key',
      );
  }
}

function checkStaticAddress(address: string | undefined, at: Path, report: Report): void {
  if (!isSet(address) || isIP(address) !== 0 || address.startsWith('unix://')) return;
  refuse(report, at, `resolution STATIC expects an IP address, found ${JSON.stringify(address)}`);
}

function checkSelector(spec: ServiceEntrySpec, resolution: Resolution, report: Report): void {
  if (spec.workloadSelector === undefined) return;
  const at = ['spec', 'workloadSelector'];
  if ((spec.endpoints ?? []).length > 0)
    refuse(report, at, 'expected either workloadSelector or endpoints, found both', 'key');
  if (Object.keys(spec.workloadSelector.labels ?? {}).length === 0)
    warn(report, at, 'workloadSelector has no labels: it selects nothing', 'key');
  if (resolution === 'NONE') warn(report, at, 'workloadSelector has no effect with resolution NONE', 'key');
}

const DYNAMIC_PROTOCOLS = new Set(['HTTP', 'TLS', 'GRPC', 'HTTP2']);

function checkDynamicDns(spec: ServiceEntrySpec, metadata: Metadata, report: Report): void {
  checkDynamicPorts(spec, report);
  for (const [i, host] of spec.hosts.entries())
    if (!host.startsWith('*.'))
      refuse(report, ['spec', 'hosts', i], `DYNAMIC_DNS expects a wildcard host such as *.example.com, found ${host}`);
  if ((spec.addresses ?? []).length > 0)
    refuse(report, ['spec', 'addresses'], 'DYNAMIC_DNS expects no addresses', 'key');
  if ((spec.endpoints ?? []).length > 0)
    refuse(report, ['spec', 'endpoints'], 'DYNAMIC_DNS expects no endpoints', 'key');
  if (spec.location === 'MESH_INTERNAL' && metadata.labels?.['istio.io/use-waypoint'] !== undefined)
    refuse(report, ['spec', 'location'], 'DYNAMIC_DNS through a waypoint expects location: MESH_EXTERNAL');
}

function checkDynamicPorts(spec: ServiceEntrySpec, report: Report): void {
  for (const [i, one] of (spec.ports ?? []).entries())
    if (!DYNAMIC_PROTOCOLS.has(parseProtocol(one.protocol)))
      refuse(
        report,
        ['spec', 'ports', i, 'protocol'],
        `DYNAMIC_DNS expects HTTP, TLS, GRPC or HTTP2, found ${one.protocol ?? 'no protocol'}`,
      );
}
