import type { AppProtocol, LoadBalancing, NetworkAddress, Service } from '@ambit/common/model/service';
import { serviceKey, STANDARD_LOAD_BALANCING } from '@ambit/common/model/service';
import type { KubeObject } from '../collections/object.ts';
import type { Protocol } from '../files/schema/protocol.ts';
import type { Labels } from '../ingest/labels.ts';
import { type PortForm, type ServiceForm, TRAFFIC_DISTRIBUTION, trafficDistribution } from '../ingest/service.ts';
import type { ServiceEntryForm } from '../ingest/service-entry.ts';
import type { Inputs } from './inputs.ts';
import { type Binding, NO_BINDING, type Waypoints } from './waypoints.ts';

/** One service of the mesh with what it was made from. */
export interface MeshService {
  /** `namespace/hostname`. */
  readonly key: string;
  readonly service: Service;
  readonly kind: 'Service' | 'ServiceEntry';
  readonly object: KubeObject;
  readonly ports: readonly PortForm[];
  /** Undefined when it selects nothing by labels. */
  readonly selector: Labels | undefined;
  readonly binding: Binding;
  readonly entry: ServiceEntryForm | undefined;
}

export interface Services {
  readonly byKey: ReadonlyMap<string, MeshService>;
  /** How each Service and ServiceEntry is bound, those that lost a conflict too. */
  readonly bindings: ReadonlyMap<KubeObject, Binding>;
}

/** Services and every host of ServiceEntries: one winner per namespace and host, one canonical per host. */
export function deriveServices(inputs: Inputs, waypoints: Waypoints): Services {
  const bindings = new Map<KubeObject, Binding>();
  const byKey = new Map<string, MeshService>();
  const add = (service: MeshService): void => {
    if (!byKey.has(service.key)) byKey.set(service.key, service);
  };
  for (const form of inputs.services) add(fromService(form, bindingOf(form.object, waypoints, bindings), inputs));
  const canonical = new Set([...byKey.values()].map(({ service }) => service.hostname));
  for (const form of inputs.serviceEntries) {
    const binding = bindingOf(form.object, waypoints, bindings);
    for (const host of form.hosts) {
      if (byKey.has(serviceKey(form.namespace, host))) continue;
      add(fromEntry(form, host, binding, { inputs, canonical: !canonical.has(host) }));
      canonical.add(host);
    }
  }
  return { byKey, bindings };
}

/** A gateway's own Service never goes through a waypoint. */
function bindingOf(object: KubeObject, waypoints: Waypoints, bindings: Map<KubeObject, Binding>): Binding {
  const { labels, namespace = 'default' } = object.metadata;
  const managed = labels?.['gateway.istio.io/managed'] !== undefined;
  const binding = managed ? NO_BINDING : waypoints.bind({ namespace, labels }, 'service');
  bindings.set(object, binding);
  return binding;
}

function fromService(form: ServiceForm, binding: Binding, inputs: Inputs): MeshService {
  const hostname = `${form.name}.${form.namespace}.svc.${inputs.clusterDomain}`;
  return {
    key: serviceKey(form.namespace, hostname),
    kind: 'Service',
    object: form.object,
    ports: form.ports,
    selector: Object.keys(form.selector).length === 0 ? undefined : form.selector,
    binding,
    entry: undefined,
    service: {
      name: form.name,
      namespace: form.namespace,
      hostname,
      vips: form.vips.map((ip): NetworkAddress => ({ network: inputs.network, ip })),
      cidrVips: [],
      ports: servicePorts(form.ports),
      subjectAltNames: [],
      waypoint: binding.kind === 'bound' ? binding.address : undefined,
      weightedWaypoints: [],
      loadBalancing: serviceBalancing(form, inputs),
      ipFamilies: form.ipFamilies,
      canonical: true,
      visibility: 'PUBLIC',
    },
  };
}

function fromEntry(
  form: ServiceEntryForm,
  host: string,
  binding: Binding,
  { inputs, canonical }: { readonly inputs: Inputs; readonly canonical: boolean },
): MeshService {
  const { network } = inputs;
  const vips = form.autoAllocate ? (form.allocated.get(host) ?? []) : form.vips;
  const distribution =
    form.object.metadata.annotations?.[TRAFFIC_DISTRIBUTION] ?? namespaceDistribution(form.namespace, inputs);
  return {
    key: serviceKey(form.namespace, host),
    kind: 'ServiceEntry',
    object: form.object,
    ports: form.ports,
    selector: selectorOf(form),
    binding,
    entry: form,
    service: {
      name: form.name,
      namespace: form.namespace,
      hostname: host,
      vips: vips.map((ip): NetworkAddress => ({ network, ip })),
      cidrVips: form.cidrVips.map((cidr) => ({ network, cidr })),
      ports: servicePorts(form.ports),
      subjectAltNames: form.subjectAltNames,
      waypoint: binding.kind === 'bound' ? binding.address : undefined,
      weightedWaypoints: [],
      loadBalancing: form.resolution === 'NONE' ? PASSTHROUGH : trafficDistribution(distribution),
      ipFamilies: 'AUTOMATIC',
      canonical,
      visibility: 'PUBLIC',
    },
  };
}

/** NONE keeps the original destination, so nothing is selected for it. */
function selectorOf({ selector = {}, resolution }: ServiceEntryForm): Labels | undefined {
  return resolution === 'NONE' || Object.keys(selector).length === 0 ? undefined : selector;
}

const PASSTHROUGH: LoadBalancing = Object.freeze({ mode: 'PASSTHROUGH', preferences: [], healthPolicy: 'ALLOW_ALL' });
const SAME_NODE: LoadBalancing = { mode: 'STRICT', preferences: ['NODE'], healthPolicy: 'ONLY_HEALTHY' };

function serviceBalancing(form: ServiceForm, inputs: Inputs): LoadBalancing {
  const word = form.trafficDistribution ?? namespaceDistribution(form.namespace, inputs);
  const balancing = form.localTraffic
    ? SAME_NODE
    : word === undefined
      ? STANDARD_LOAD_BALANCING
      : trafficDistribution(word);
  return form.publishNotReady ? { ...balancing, healthPolicy: 'ALLOW_ALL' } : balancing;
}

const namespaceDistribution = (namespace: string, inputs: Inputs): string | undefined =>
  inputs.namespaces.get(namespace)?.metadata.annotations?.[TRAFFIC_DISTRIBUTION];

const servicePorts = (ports: readonly PortForm[]): Service['ports'] =>
  ports.map(({ number, target, protocol }) => ({
    servicePort: number,
    targetPort: typeof target === 'number' ? target : 0,
    appProtocol: APP_PROTOCOLS[protocol] ?? 'UNKNOWN',
  }));

const APP_PROTOCOLS: { readonly [P in Protocol]?: AppProtocol } = {
  HTTP: 'HTTP11',
  HTTP2: 'HTTP2',
  GRPC: 'GRPC',
  TLS: 'TLS',
  HTTPS: 'TLS',
  TCP: 'TCP',
};
