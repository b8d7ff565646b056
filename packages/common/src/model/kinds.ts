/** One kind of Kubernetes object that Ambit reads, as API paths, `ambit get` and YAML name it. */
export interface Kind {
  readonly kind: string;
  readonly group: string;
  /** The first is written; all are read. */
  readonly versions: readonly string[];
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
}

type Row = readonly [
  kind: string,
  group: string,
  versions: string,
  plural: string,
  shortNames?: string,
  scope?: 'cluster',
];

const row = ([kind, group, versions, plural, shortNames, scope]: Row): Kind => ({
  kind,
  group,
  versions: versions.split(' '),
  plural,
  shortNames: shortNames === undefined ? [] : shortNames.split(' '),
  namespaced: scope !== 'cluster',
});

const ISTIO_NETWORKING = 'v1 v1beta1 v1alpha3';
const ISTIO_SECURITY = 'v1 v1beta1';

/** Every kind, in the order in which objects of one file are applied. */
export const KINDS: readonly Kind[] = [
  row(['Namespace', '', 'v1', 'namespaces', 'ns', 'cluster']),
  row(['Node', '', 'v1', 'nodes', 'no', 'cluster']),
  row(['ServiceAccount', '', 'v1', 'serviceaccounts', 'sa']),
  row(['ConfigMap', '', 'v1', 'configmaps', 'cm']),
  row(['Secret', '', 'v1', 'secrets']),
  row(['Service', '', 'v1', 'services', 'svc']),
  row(['Pod', '', 'v1', 'pods', 'po']),
  row(['Deployment', 'apps', 'v1', 'deployments', 'deploy']),
  row(['EndpointSlice', 'discovery.k8s.io', 'v1', 'endpointslices']),
  row(['GatewayClass', 'gateway.networking.k8s.io', 'v1', 'gatewayclasses', 'gc', 'cluster']),
  row(['Gateway', 'gateway.networking.k8s.io', 'v1 v1beta1', 'gateways', 'gtw']),
  row(['ServiceEntry', 'networking.istio.io', ISTIO_NETWORKING, 'serviceentries', 'se']),
  row(['WorkloadEntry', 'networking.istio.io', ISTIO_NETWORKING, 'workloadentries', 'we']),
  row(['DestinationRule', 'networking.istio.io', ISTIO_NETWORKING, 'destinationrules', 'dr']),
  row(['AuthorizationPolicy', 'security.istio.io', ISTIO_SECURITY, 'authorizationpolicies', 'ap']),
  row(['PeerAuthentication', 'security.istio.io', ISTIO_SECURITY, 'peerauthentications', 'pa']),
];

/** Finds a kind by what a person types: kind, plural, singular or short name, any case; `waypoints` is not a kind but a view of Gateway. */
export function findKind(word: string): Kind | undefined {
  const name = word.toLowerCase();
  return KINDS.find(
    (kind) => kind.kind.toLowerCase() === name || kind.plural === name || kind.shortNames.includes(name),
  );
}

/** Finds a kind by its apiVersion and kind as written in YAML. */
export function kindOf(apiVersion: string, kind: string): Kind | undefined {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  return KINDS.find((row) => row.kind === kind && row.group === group && row.versions.includes(version));
}

/** The apiVersion that Ambit writes for a kind. */
export const apiVersionOf = (kind: Kind): string =>
  (kind.group === '' ? '' : `${kind.group}/`) + (kind.versions[0] ?? '');
