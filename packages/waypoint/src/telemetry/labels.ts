import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { Listener } from '@ambit/common/model/listener';
import type { Workload } from '@ambit/common/model/workload';

/** Who called, for `source_*` labels. */
export interface SourceFacts {
  readonly identity: SpiffeId;
  readonly workload: Workload | undefined;
}

/** What was called, for `destination_service*` labels. */
export interface ServiceFacts {
  /** Undefined: a workload by its own address. */
  readonly listener: Listener | undefined;
  /** Of the waypoint itself: what Istio puts into destination_service_namespace and destination_cluster. */
  readonly namespace: string;
  readonly cluster: string;
}

/** Which endpoint answered. */
export interface EndpointFacts {
  readonly workload: Workload | undefined;
  /** Who its certificate named; undefined without mTLS to it. */
  readonly identity: SpiffeId | undefined;
}

/** Nothing answered. */
export const NO_ENDPOINT: EndpointFacts = Object.freeze({ workload: undefined, identity: undefined });

const UNKNOWN = 'unknown';

/** Labels that HTTP and TCP metrics share, in Istio's order; what only HTTP has is put before the last two. */
export const COMMON_LABELS: readonly string[] = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_workload',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_service',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_service_name',
  'destination_service_namespace',
  'destination_cluster',
  'request_protocol',
];

/** The values of {@link COMMON_LABELS} up to `destination_cluster`. */
export function commonValues(source: SourceFacts, service: ServiceFacts, endpoint: EndpointFacts): readonly string[] {
  return ['waypoint', ...sourceValues(source), ...destinationValues(service, endpoint)];
}

function sourceValues({ identity, workload }: SourceFacts): string[] {
  const { name, canonical, revision, cluster } = workloadNames(workload);
  return [name, canonical, revision, identity.namespace, identity.uri, canonical, revision, cluster];
}

function destinationValues(service: ServiceFacts, { workload, identity }: EndpointFacts): string[] {
  const { name, namespace, canonical, revision, cluster } = workloadNames(workload);
  return [
    name,
    namespace,
    identity?.uri ?? UNKNOWN,
    canonical,
    workload === undefined ? UNKNOWN : revision,
    service.listener?.hostname ?? UNKNOWN,
    canonical,
    revision,
    serviceName(service.listener),
    service.namespace,
    cluster === UNKNOWN ? service.cluster : cluster,
  ];
}

interface WorkloadNames {
  readonly name: string;
  readonly namespace: string;
  readonly canonical: string;
  readonly revision: string;
  readonly cluster: string;
}

const NO_WORKLOAD: WorkloadNames = {
  name: UNKNOWN,
  namespace: UNKNOWN,
  canonical: UNKNOWN,
  revision: 'latest',
  cluster: UNKNOWN,
};

function workloadNames(workload: Workload | undefined): WorkloadNames {
  if (workload === undefined) return NO_WORKLOAD;
  return {
    name: workload.workloadName || UNKNOWN,
    namespace: workload.namespace || UNKNOWN,
    canonical: workload.canonicalName || UNKNOWN,
    revision: workload.canonicalRevision || 'latest',
    cluster: workload.clusterId || UNKNOWN,
  };
}

/** A ServiceEntry has no short name: Istio names it by its host. */
function serviceName(listener: Listener | undefined): string {
  if (listener === undefined) return UNKNOWN;
  return listener.kind === 'Service' ? listener.name : listener.hostname;
}

/** `mutual_tls` when both ends are known by certificate. */
export const securityPolicy = (endpoint: EndpointFacts): string =>
  endpoint.identity === undefined ? 'none' : 'mutual_tls';
