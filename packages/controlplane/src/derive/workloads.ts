import type { IpAddress } from '@ambit/common/address/ip';
import { NO_LOCALITY } from '@ambit/common/model/locality';
import type { PortMap, Workload } from '@ambit/common/model/workload';
import { workloadUid } from '../ingest/schema-uid.ts';
import { canonicalNames, tunnelOf } from '../ingest/canonical.ts';
import { type Labels, selects } from '../ingest/labels.ts';
import type { PodForm } from '../ingest/pod.ts';
import type { EndpointForm, ServiceEntryForm, WorkloadEntryForm } from '../ingest/service-entry.ts';
import type { Inputs } from './inputs.ts';
import type { MeshService, Services } from './services.ts';
import type { Binding, Waypoints } from './waypoints.ts';

export interface Workloads {
  readonly byUid: ReadonlyMap<string, Workload>;
  /** How each WorkloadEntry is bound. */
  readonly entryBindings: ReadonlyMap<WorkloadEntryForm, Binding>;
}

export interface WorkloadContext {
  readonly inputs: Inputs;
  readonly waypoints: Waypoints;
  readonly services: Services;
  /** Names of the policies that select a workload of this namespace with these labels. */
  readonly policiesFor: (namespace: string, labels: Labels) => readonly string[];
  /** Workloads of pods made in this very context; pods that are new are added. */
  readonly pods: WeakMap<PodForm, Workload>;
}

/** Pods, WorkloadEntries, endpoints of ServiceEntries and of EndpointSlices as workloads. */
export function deriveWorkloads(context: WorkloadContext): Workloads {
  const { inputs } = context;
  const index = indexServices(context.services);
  const byUid = new Map<string, Workload>();
  const add = (workload: Workload): void => {
    if (!byUid.has(workload.uid)) byUid.set(workload.uid, workload);
  };
  const slices = podsInSlices(inputs, index);
  for (const pod of inputs.pods) {
    const workload = context.pods.get(pod) ?? fromPod(pod, context, servicesOfPod(pod, index, slices));
    context.pods.set(pod, workload);
    add(workload);
  }
  const entryBindings = new Map<WorkloadEntryForm, Binding>();
  for (const entry of inputs.workloadEntries) {
    const binding = context.waypoints.bind(entry, 'workload');
    entryBindings.set(entry, binding);
    add(fromWorkloadEntry(entry, binding, context, index));
  }
  for (const entry of inputs.serviceEntries) for (const workload of fromServiceEntry(entry, context)) add(workload);
  for (const workload of fromSlices(inputs, index)) add(workload);
  return { byUid, entryBindings };
}

interface ServiceIndex {
  readonly selecting: ReadonlyMap<string, readonly MeshService[]>;
  /** Kubernetes Services by `namespace/name`. */
  readonly byName: ReadonlyMap<string, MeshService>;
}

function indexServices(services: Services): ServiceIndex {
  const selecting = new Map<string, MeshService[]>();
  const byName = new Map<string, MeshService>();
  for (const service of services.byKey.values()) {
    const { namespace, name } = service.service;
    if (service.kind === 'Service') byName.set(`${namespace}/${name}`, service);
    if (service.selector === undefined) continue;
    const list = selecting.get(namespace);
    if (list === undefined) selecting.set(namespace, [service]);
    else list.push(service);
  }
  return { selecting, byName };
}

const selecting = (index: ServiceIndex, namespace: string, labels: Labels): readonly MeshService[] =>
  (index.selecting.get(namespace) ?? []).filter((service) => selects(service.selector, labels));

/** Services without a selector name their pods in EndpointSlices. */
function podsInSlices(inputs: Inputs, index: ServiceIndex): ReadonlyMap<string, readonly MeshService[]> {
  const services = new Map<string, MeshService[]>();
  for (const slice of inputs.endpointSlices) {
    const service = index.byName.get(`${slice.namespace}/${slice.service}`);
    if (service === undefined || service.selector !== undefined) continue;
    for (const { namespace, name, uid } of slice.pods) {
      const key = `${namespace}/${name}/${uid ?? ''}`;
      services.set(key, [...(services.get(key) ?? []), service]);
    }
  }
  return services;
}

function servicesOfPod(
  pod: PodForm,
  index: ServiceIndex,
  slices: ReadonlyMap<string, readonly MeshService[]>,
): ReadonlyMap<string, PortMap> {
  const listed =
    slices.get(`${pod.namespace}/${pod.name}/${pod.uid}`) ?? slices.get(`${pod.namespace}/${pod.name}/`) ?? [];
  const services = [...selecting(index, pod.namespace, pod.labels), ...listed];
  return new Map(services.map((service) => [service.key, podPorts(service, pod)]));
}

/** A named target port is the container port of that name; a pod that lacks it does not serve the port. */
function podPorts(service: MeshService, pod: PodForm): PortMap {
  const ports = new Map<number, number>();
  for (const { number, name, target, protocol } of service.ports) {
    if (protocol === 'UDP') continue;
    const named = service.kind === 'ServiceEntry' ? pod.ports.get(name) : undefined;
    const port = named ?? (typeof target === 'number' ? target : pod.ports.get(target));
    if (port !== undefined) ports.set(number, port);
  }
  return ports;
}

/** An endpoint says its ports by name; a Service's named target port must be among them. */
function endpointPorts(service: MeshService, endpoint: EndpointForm): PortMap {
  const ports = new Map<number, number>();
  for (const { number, name, target, protocol } of service.ports) {
    if (protocol === 'UDP') continue;
    const port = typeof target === 'number' ? (endpoint.ports[name] ?? target) : endpoint.ports[target];
    if (port !== undefined) ports.set(number, port);
  }
  return ports;
}

function fromPod(
  pod: PodForm,
  { inputs, waypoints, policiesFor }: WorkloadContext,
  services: ReadonlyMap<string, PortMap>,
): Workload {
  const gateway = pod.labels['gateway.networking.k8s.io/gateway-name'];
  const ofWaypoint = gateway !== undefined && waypoints.all.has(`${pod.namespace}/${gateway}`);
  return {
    ...blank(inputs),
    uid: workloadUid(`${inputs.clusterId}//Pod/${pod.namespace}/${pod.name}`),
    name: pod.name,
    namespace: pod.namespace,
    addresses: pod.addresses,
    protocol: pod.protocol,
    serviceAccount: pod.serviceAccount,
    node: pod.node,
    canonicalName: pod.canonicalName,
    canonicalRevision: pod.canonicalRevision,
    workloadName: pod.workloadName,
    nativeTunnel: pod.nativeTunnel,
    waypoint: ofWaypoint ? undefined : addressOf(waypoints.bind(pod, 'workload')),
    authorizationPolicies: policiesFor(pod.namespace, pod.labels),
    healthy: pod.healthy,
    locality: inputs.localities.get(pod.node) ?? NO_LOCALITY,
    hostNetwork: pod.hostNetwork,
    services,
  };
}

function fromWorkloadEntry(
  entry: WorkloadEntryForm,
  binding: Binding,
  context: WorkloadContext,
  index: ServiceIndex,
): Workload {
  const { inputs } = context;
  return {
    ...blank(inputs),
    ...endpointFields(entry, inputs),
    ...tunnelOf(entry.object.metadata),
    uid: workloadUid(`${inputs.clusterId}/networking.istio.io/WorkloadEntry/${entry.namespace}/${entry.name}`),
    name: entry.name,
    namespace: entry.namespace,
    ...canonicalNames(entry.labels, entry.workloadName),
    workloadName: entry.workloadName,
    waypoint: addressOf(binding),
    authorizationPolicies: context.policiesFor(entry.namespace, entry.labels),
    services: new Map(
      selecting(index, entry.namespace, entry.labels).map((service) => [service.key, endpointPorts(service, entry)]),
    ),
  };
}

/** Inline endpoints serve every host of the entry; without any, a DNS entry has one endpoint per host: the host itself. */
function fromServiceEntry(entry: ServiceEntryForm, context: WorkloadContext): Workload[] {
  const won = entry.hosts
    .map((host) => context.services.byKey.get(`${entry.namespace}/${host}`))
    .filter((service) => service?.entry === entry)
    .filter((service) => service !== undefined);
  if (entry.resolution === 'NONE' || won.length === 0) return [];
  if (entry.endpoints.length > 0) return entry.endpoints.map((one) => entryEndpoint(entry, one, won, context));
  if (entry.selector !== undefined || entry.resolution === 'STATIC') return [];
  return won.map((service) => entryEndpoint(entry, hostEndpoint(service.service.hostname), [service], context));
}

const hostEndpoint = (host: string): EndpointForm & { readonly implicit: true } => ({
  address: host,
  ip: undefined,
  ports: {},
  labels: {},
  network: undefined,
  locality: NO_LOCALITY,
  weight: 1,
  serviceAccount: '',
  implicit: true,
});

function entryEndpoint(
  entry: ServiceEntryForm,
  endpoint: EndpointForm & { readonly implicit?: true },
  services: readonly MeshService[],
  context: WorkloadContext,
): Workload {
  const { inputs, waypoints } = context;
  const { namespace, name } = entry;
  const labels = entry.object.metadata.labels ?? {};
  return {
    ...blank(inputs),
    ...endpointFields(endpoint, inputs),
    ...tunnelOf(entry.object.metadata),
    uid: workloadUid(`${inputs.clusterId}/networking.istio.io/ServiceEntry/${namespace}/${name}/${endpoint.address}`),
    name,
    namespace,
    ...canonicalNames(labels, name),
    workloadName: name,
    waypoint:
      endpoint.implicit === true
        ? undefined
        : addressOf(waypoints.bind({ namespace, labels: endpoint.labels }, 'workload')),
    authorizationPolicies: context.policiesFor(namespace, labels),
    services: new Map(services.map((service) => [service.key, endpointPorts(service, endpoint)])),
  };
}

const endpointFields = (
  endpoint: EndpointForm,
  inputs: Inputs,
): Pick<Workload, 'addresses' | 'hostname' | 'network' | 'serviceAccount' | 'locality' | 'capacity'> => ({
  addresses: endpoint.ip === undefined ? [] : [endpoint.ip],
  hostname: endpoint.ip === undefined ? endpoint.address : '',
  network: endpoint.network ?? inputs.network,
  serviceAccount: endpoint.serviceAccount,
  locality: endpoint.locality,
  capacity: endpoint.weight,
});

function* fromSlices(inputs: Inputs, index: ServiceIndex): Generator<Workload> {
  for (const slice of inputs.endpointSlices) {
    const service = index.byName.get(`${slice.namespace}/${slice.service}`);
    if (service === undefined) continue;
    const ports = new Map(
      service.ports.flatMap(({ number, name }) => {
        const port = slice.ports.get(name);
        return port === undefined ? [] : [[number, port] as const];
      }),
    );
    for (const { addresses, ready } of slice.addresses)
      yield sliceWorkload(slice, { addresses, ready }, inputs, [service.key, ports]);
  }
}

function sliceWorkload(
  slice: { readonly namespace: string; readonly name: string },
  endpoint: { readonly addresses: readonly IpAddress[]; readonly ready: boolean },
  inputs: Inputs,
  service: readonly [string, PortMap],
): Workload {
  const { namespace, name } = slice;
  return {
    ...blank(inputs),
    uid: workloadUid(
      `${inputs.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${endpoint.addresses[0] ?? ''}`,
    ),
    name,
    namespace,
    addresses: endpoint.addresses,
    ...canonicalNames({}, name),
    workloadName: name,
    healthy: endpoint.ready,
    hostNetwork: true,
    services: new Map([service]),
  };
}

const blank = (
  inputs: Inputs,
): Omit<
  Workload,
  'uid' | 'name' | 'namespace' | 'canonicalName' | 'canonicalRevision' | 'workloadName' | 'services'
> => ({
  addresses: [],
  hostname: '',
  network: inputs.network,
  protocol: 'TCP',
  trustDomain: inputs.mesh.trustDomain,
  serviceAccount: '',
  node: '',
  workloadType: 'pod',
  nativeTunnel: false,
  waypoint: undefined,
  networkGateway: undefined,
  applicationTunnel: undefined,
  authorizationPolicies: [],
  healthy: true,
  clusterId: inputs.clusterId,
  locality: NO_LOCALITY,
  hostNetwork: false,
  capacity: 1,
});

const addressOf = (binding: Binding): Workload['waypoint'] => (binding.kind === 'bound' ? binding.address : undefined);
