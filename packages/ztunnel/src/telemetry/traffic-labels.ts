import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';

/** Labels of every istio_tcp_* series, in Istio's order. */
export const TRAFFIC_LABELS: readonly string[] = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  'source_region',
  'source_zone',
  'destination_region',
  'destination_zone',
];

const RESPONSE_FLAGS = TRAFFIC_LABELS.indexOf('response_flags');

/** What is known of one end of a connection. */
export interface Party {
  /** Name of the pod; the service name of its baggage when the mesh does not know it. */
  readonly name: string;
  readonly workloadName: string;
  readonly namespace: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly app: string;
  readonly version: string;
  readonly cluster: string;
  readonly region: string;
  readonly zone: string;
}

export const UNKNOWN_PARTY: Party = Object.freeze({
  name: '',
  workloadName: '',
  namespace: '',
  canonicalName: '',
  canonicalRevision: '',
  app: '',
  version: '',
  cluster: '',
  region: '',
  zone: '',
});

/** The parts of a baggage header that say who the peer is. */
export interface PeerBaggage {
  readonly cluster?: string | undefined;
  readonly namespace?: string | undefined;
  readonly workloadName?: string | undefined;
  readonly serviceName?: string | undefined;
  readonly serviceVersion?: string | undefined;
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
}

export const workloadParty = (workload: Workload): Party => ({
  name: workload.name,
  workloadName: workload.workloadName,
  namespace: workload.namespace,
  canonicalName: workload.canonicalName,
  canonicalRevision: workload.canonicalRevision,
  app: workload.canonicalName,
  version: workload.canonicalRevision,
  cluster: workload.clusterId,
  region: workload.locality.region,
  zone: workload.locality.zone,
});

/** A peer that only its baggage describes. */
export const baggageParty = (baggage: PeerBaggage): Party => ({
  name: baggage.serviceName ?? '',
  workloadName: baggage.workloadName ?? '',
  namespace: baggage.namespace ?? '',
  canonicalName: baggage.serviceName ?? '',
  canonicalRevision: baggage.serviceVersion ?? '',
  app: baggage.workloadName ?? '',
  version: baggage.serviceVersion ?? '',
  cluster: baggage.cluster ?? '',
  region: baggage.region ?? '',
  zone: baggage.zone ?? '',
});

/** Everything the labels of a connection are made of. */
export interface TrafficParties {
  readonly reporter: 'source' | 'destination';
  readonly source: Party;
  /** From TLS, or our own when we tunnel; undefined on plain TCP. */
  readonly sourcePrincipal: SpiffeId | undefined;
  readonly destination: Party;
  readonly destinationPrincipal: SpiffeId | undefined;
  readonly service: Service | undefined;
  readonly mutualTls: boolean;
}

/** The values, in the order of the names; what is not known is `unknown`. */
export function trafficLabels(parties: TrafficParties, responseFlags: string): (string | undefined)[] {
  const { source, destination, service } = parties;
  const localities = [source.region, source.zone, destination.region, destination.zone];
  const located = localities.some((one) => one !== '');
  return [
    parties.reporter,
    ...partyLabels(source, parties.sourcePrincipal),
    known(service?.hostname),
    known(service?.namespace),
    known(service?.name),
    ...partyLabels(destination, parties.destinationPrincipal),
    'tcp',
    responseFlags,
    parties.mutualTls ? 'mutual_tls' : 'unknown',
    ...localities.map((one) => (located ? known(one) : undefined)),
  ];
}

/** Labels that say who the source is. */
export const SOURCE_LABELS: readonly string[] = TRAFFIC_LABELS.filter(
  (name) => name.startsWith('source_') && name !== 'source_region' && name !== 'source_zone',
);

/** Their values for a workload that nobody has authenticated. */
export const sourceLabels = (workload: Workload): string[] => partyLabels(workloadParty(workload), undefined);

/** The same labels with other response flags. */
export const withResponseFlags = (
  labels: readonly (string | undefined)[],
  responseFlags: string,
): (string | undefined)[] => labels.with(RESPONSE_FLAGS, responseFlags);

const partyLabels = (party: Party, principal: SpiffeId | undefined): string[] => [
  known(party.workloadName),
  known(party.canonicalName),
  known(party.canonicalRevision),
  known(party.namespace),
  known(principal?.uri),
  known(party.app),
  known(party.version),
  known(party.cluster),
];

const known = (value: string | undefined): string => (value === undefined || value === '' ? 'unknown' : value);
