import { type Cidr, parseCidr } from '@ambit/common/address/cidr';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import type { Locality } from '@ambit/common/model/locality';
import { NO_LOCALITY } from '@ambit/common/model/locality';
import type { KubeObject } from '../collections/object.ts';
import { parseProtocol } from '../files/schema/protocol.ts';
import { list, object, read, type Schema, text } from '../files/schema/schema.ts';
import {
  type Resolution,
  type ServiceEntryPort,
  type ServiceEntrySpec,
  serviceEntrySpec,
  type WorkloadEntrySpec,
  workloadEntrySpec,
} from '../files/schema/service-entry.ts';
import type { Labels } from './labels.ts';
import { memoized } from './memoized.ts';
import type { PortForm } from './service.ts';

export interface ServiceEntryForm {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  readonly hosts: readonly string[];
  readonly vips: readonly IpAddress[];
  readonly cidrVips: readonly Cidr[];
  readonly ports: readonly PortForm[];
  readonly resolution: Resolution;
  readonly external: boolean;
  readonly endpoints: readonly EndpointForm[];
  /** Undefined without a workloadSelector. */
  readonly selector: Labels | undefined;
  readonly subjectAltNames: readonly string[];
  /** May get addresses of its own: it has none, and nobody said otherwise. */
  readonly autoAllocate: boolean;
  /** Addresses in its status, by host. */
  readonly allocated: ReadonlyMap<string, readonly IpAddress[]>;
}

/** A WorkloadEntry, or one inline endpoint of a ServiceEntry. */
export interface EndpointForm {
  readonly address: string;
  readonly ip: IpAddress | undefined;
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: Labels;
  readonly network: string | undefined;
  readonly locality: Locality;
  readonly weight: number;
  readonly serviceAccount: string;
}

export interface AllocatedAddress {
  readonly value: string;
  readonly host?: string;
}

const status: Schema<{ readonly addresses?: readonly AllocatedAddress[] }> = object<{
  readonly addresses?: readonly AllocatedAddress[];
}>({ addresses: list(object<AllocatedAddress>({ value: text, host: text }, { required: ['value'] })) });

/** Undefined when an address is none: such an entry publishes nothing. */
export const ingestServiceEntry: (entry: KubeObject) => ServiceEntryForm | undefined = memoized((entry) => {
  const spec = read(serviceEntrySpec, entry.spec);
  if (spec === undefined) return undefined;
  const { resolution = 'NONE' } = spec;
  const { name, namespace = 'default', labels } = entry.metadata;
  const addresses = addressesOf(spec);
  if (addresses === undefined) return undefined;
  const optedOut = labels?.['networking.istio.io/enable-autoallocate-ip']?.toLowerCase() === 'false';
  return {
    object: entry,
    namespace,
    name,
    hosts: [...new Set(spec.hosts)],
    ...addresses,
    ...membersOf(spec),
    resolution,
    external: spec.location !== 'MESH_INTERNAL',
    subjectAltNames: spec.subjectAltNames ?? [],
    autoAllocate: resolution !== 'NONE' && addresses.vips.length + addresses.cidrVips.length === 0 && !optedOut,
    allocated: allocatedOf(entry),
  };
});

const membersOf = (spec: ServiceEntrySpec): Pick<ServiceEntryForm, 'ports' | 'endpoints' | 'selector'> => ({
  ports: (spec.ports ?? []).map(portForm),
  endpoints: (spec.endpoints ?? []).map(endpointForm),
  selector: spec.workloadSelector && (spec.workloadSelector.labels ?? {}),
});

/** Undefined when one of them is no address. */
function addressesOf({ addresses = [] }: ServiceEntrySpec): Pick<ServiceEntryForm, 'vips' | 'cidrVips'> | undefined {
  const parsed = addresses.map((one) => ({ ip: parseIp(one), cidr: parseCidr(one) }));
  if (parsed.some((one) => one.cidr === undefined)) return undefined;
  return {
    vips: parsed.flatMap((one) => one.ip ?? []),
    cidrVips: parsed.flatMap((one) => (one.ip === undefined ? (one.cidr ?? []) : [])),
  };
}

const portForm = ({ number, name, protocol, targetPort = number }: ServiceEntryPort): PortForm => ({
  number,
  name,
  protocol: parseProtocol(protocol),
  target: targetPort,
});

function allocatedOf(entry: KubeObject): ReadonlyMap<string, readonly IpAddress[]> {
  const allocated = new Map<string, IpAddress[]>();
  for (const { value, host } of read(status, entry.status ?? {})?.addresses ?? []) {
    const ip = parseIp(value);
    if (ip === undefined || host === undefined) continue;
    const known = allocated.get(host);
    if (known === undefined) allocated.set(host, [ip]);
    else known.push(ip);
  }
  return allocated;
}

export interface WorkloadEntryForm extends EndpointForm {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  readonly workloadName: string;
}

export const ingestWorkloadEntry: (entry: KubeObject) => WorkloadEntryForm | undefined = memoized((entry) => {
  const spec = read(workloadEntrySpec, entry.spec);
  if (spec === undefined) return undefined;
  const { metadata } = entry;
  const form = endpointForm(spec);
  return {
    ...form,
    object: entry,
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    labels: { ...metadata.labels, ...form.labels },
    workloadName:
      metadata.annotations?.['istio.io/autoRegistrationGroup'] ??
      metadata.labels?.['service.istio.io/workload-name'] ??
      metadata.name,
  };
});

function endpointForm(spec: WorkloadEntrySpec): EndpointForm {
  const address = spec.address ?? '';
  return {
    address,
    ip: parseIp(address),
    ports: spec.ports ?? {},
    labels: spec.labels ?? {},
    network: spec.network,
    locality: localityOf(spec.locality),
    weight: spec.weight !== undefined && spec.weight > 0 ? spec.weight : 1,
    serviceAccount: spec.serviceAccount ?? '',
  };
}

/** `region/zone/subzone`. */
function localityOf(text: string | undefined): Locality {
  if (text === undefined || text === '') return NO_LOCALITY;
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}
