import type { Locality } from '@ambit/common/model/locality';
import type { Credential } from '@ambit/common/model/backend';
import type { KubeObject } from '../collections/object.ts';
import type { ObjectStore } from '../collections/object-store.ts';
import { type AuthorizationPolicyForm, ingestAuthorizationPolicy } from '../ingest/authorization-policy.ts';
import { type DestinationRuleForm, ingestDestinationRule } from '../ingest/destination-rule.ts';
import { type EndpointSliceForm, ingestEndpointSlice } from '../ingest/endpoint-slice.ts';
import { type GatewayForm, ingestGateway, ingestGatewayClass } from '../ingest/gateway.ts';
import { DEFAULT_MESH_CONFIG, ingestMeshConfig, type MeshConfig } from '../ingest/mesh-config.ts';
import { ingestPeerAuthentication, type PeerAuthenticationForm } from '../ingest/peer-authentication.ts';
import { ingestPod, type PodForm } from '../ingest/pod.ts';
import { ingestSecret } from '../ingest/secret.ts';
import { ingestService, type ServiceForm } from '../ingest/service.ts';
import {
  ingestServiceEntry,
  ingestWorkloadEntry,
  type ServiceEntryForm,
  type WorkloadEntryForm,
} from '../ingest/service-entry.ts';
import { olderFirst } from '../ingest/age.ts';
import { Remembered } from './remembered.ts';

/** Everything that derivation reads, in normal form, as one moment of the object store. */
export interface Inputs {
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly network: string;
  readonly mesh: MeshConfig;
  readonly namespaces: ReadonlyMap<string, KubeObject>;
  readonly localities: ReadonlyMap<string, Locality>;
  readonly pods: readonly PodForm[];
  /** Oldest first, as all lists in which conflicts are settled by age. */
  readonly services: readonly ServiceForm[];
  readonly serviceEntries: readonly ServiceEntryForm[];
  readonly workloadEntries: readonly WorkloadEntryForm[];
  readonly endpointSlices: readonly EndpointSliceForm[];
  readonly gateways: readonly GatewayForm[];
  readonly gatewayClasses: ReadonlyMap<string, GatewayClassForm>;
  readonly policies: readonly AuthorizationPolicyForm[];
  readonly peerAuthentications: readonly PeerAuthenticationForm[];
  readonly destinationRules: readonly DestinationRuleForm[];
  credential(namespace: string, name: string): Credential | undefined;
}

export interface GatewayClassForm {
  readonly object: KubeObject;
  readonly controller: string | undefined;
}

const SYSTEM_NAMESPACE = 'istio-system';

/** Policies under the mesh configuration they were read with: its trust domains are part of their meaning. */
const policyForms = new WeakMap<MeshConfig, WeakMap<KubeObject, AuthorizationPolicyForm>>();

/** @param trustDomain what certificates are issued for; by default what the mesh configuration says now. */
export const readInputs = (store: ObjectStore, clusterDomain: string, trustDomain?: string): Inputs =>
  inputReader(store, clusterDomain, trustDomain)();

/** Reads the store again and again: of a kind without changes it gives the same values, by which derivation sees what is new. */
export function inputReader(store: ObjectStore, clusterDomain: string, trustDomain?: string): () => Inputs {
  const reading = <T>(kind: string, readAll: (objects: Iterable<KubeObject>) => T): (() => T) => {
    const memory = new Remembered<T>();
    return () => memory.from([store.version(kind)], () => readAll(store.list(kind)));
  };
  const forms = <T>(kind: string, ingest: Ingest<T>): (() => readonly T[]) =>
    reading(kind, (objects) => formsOf(objects, ingest));
  const lists = {
    namespaces: reading('Namespace', namespacesOf),
    localities: reading('Node', localitiesOf),
    pods: forms('Pod', ingestPod),
    services: forms('Service', ingestService),
    serviceEntries: forms('ServiceEntry', ingestServiceEntry),
    workloadEntries: forms('WorkloadEntry', ingestWorkloadEntry),
    endpointSlices: forms('EndpointSlice', ingestEndpointSlice),
    gateways: forms('Gateway', ingestGateway),
    gatewayClasses: reading('GatewayClass', gatewayClassesOf),
    peerAuthentications: forms('PeerAuthentication', ingestPeerAuthentication),
    destinationRules: forms('DestinationRule', ingestDestinationRule),
  };
  const policies = new Remembered<Inputs['policies']>();
  return () => {
    const mesh = meshConfigOf(store, trustDomain);
    const namespaces = lists.namespaces();
    return {
      clusterId: 'Kubernetes',
      clusterDomain,
      network: namespaces.get(SYSTEM_NAMESPACE)?.metadata.labels?.['topology.istio.io/network'] ?? '',
      mesh,
      namespaces,
      localities: lists.localities(),
      pods: lists.pods(),
      services: lists.services(),
      serviceEntries: lists.serviceEntries(),
      workloadEntries: lists.workloadEntries(),
      endpointSlices: lists.endpointSlices(),
      gateways: lists.gateways(),
      gatewayClasses: lists.gatewayClasses(),
      policies: policies.from([store.version('AuthorizationPolicy'), mesh], () =>
        formsOf(store.list('AuthorizationPolicy'), (object) => policyForm(object, mesh)),
      ),
      peerAuthentications: lists.peerAuthentications(),
      destinationRules: lists.destinationRules(),
      credential: (namespace, name) => credentialOf(store, namespace, name),
    };
  };
}

type Ingest<T> = (object: KubeObject) => T | undefined;

const formsOf = <T>(objects: Iterable<KubeObject>, ingest: Ingest<T>): readonly T[] =>
  [...objects].sort(olderFirst).flatMap((object) => ingest(object) ?? []);

const namespacesOf = (objects: Iterable<KubeObject>): ReadonlyMap<string, KubeObject> =>
  new Map([...objects].map((one) => [one.metadata.name, one]));

const localitiesOf = (nodes: Iterable<KubeObject>): ReadonlyMap<string, Locality> =>
  new Map([...nodes].map((node) => [node.metadata.name, localityOf(node)]));

const gatewayClassesOf = (classes: Iterable<KubeObject>): ReadonlyMap<string, GatewayClassForm> =>
  new Map([...classes].map((one) => [one.metadata.name, { object: one, controller: ingestGatewayClass(one) }]));

function meshConfigOf(store: ObjectStore, trustDomain: string | undefined): MeshConfig {
  const configMap = store.get('ConfigMap', SYSTEM_NAMESPACE, 'istio');
  const written = configMap === undefined ? DEFAULT_MESH_CONFIG : ingestMeshConfig(configMap);
  return trustDomain === undefined ? written : withTrustDomain(written, trustDomain);
}

const pinned = new WeakMap<MeshConfig, MeshConfig>();

/** A trust domain is chosen once: under another one, no certificate that is out would match its workload any more. */
function withTrustDomain(mesh: MeshConfig, trustDomain: string): MeshConfig {
  if (mesh.trustDomain === trustDomain) return mesh;
  const known = pinned.get(mesh);
  if (known?.trustDomain === trustDomain) return known;
  const problem = `mesh.trustDomain: ${mesh.trustDomain} takes effect after a restart; until then it is ${trustDomain}`;
  const config = { ...mesh, trustDomain, problems: [...mesh.problems, problem] };
  pinned.set(mesh, config);
  return config;
}

function policyForm(object: KubeObject, mesh: MeshConfig): AuthorizationPolicyForm | undefined {
  let known = policyForms.get(mesh);
  if (known === undefined) policyForms.set(mesh, (known = new WeakMap()));
  const before = known.get(object);
  if (before !== undefined) return before;
  const form = ingestAuthorizationPolicy(object, { own: mesh.trustDomain, aliases: mesh.trustDomainAliases });
  if (form !== undefined) known.set(object, form);
  return form;
}

function localityOf({ metadata }: KubeObject): Locality {
  return {
    region: metadata.labels?.['topology.kubernetes.io/region'] ?? '',
    zone: metadata.labels?.['topology.kubernetes.io/zone'] ?? '',
    subzone: metadata.labels?.['topology.istio.io/subzone'] ?? '',
  };
}

/** A Secret, completed with the CA certificates of `<name>-cacert` where it has none itself. */
function credentialOf(store: ObjectStore, namespace: string, name: string): Credential | undefined {
  const secret = store.get('Secret', namespace, name);
  const separate = store.get('Secret', namespace, `${name}-cacert`);
  if (secret === undefined) return separate === undefined ? undefined : { ...ingestSecret(separate), name };
  const credential = ingestSecret(secret);
  if (credential.caCertificates !== '' || separate === undefined) return credential;
  return { ...credential, caCertificates: ingestSecret(separate).caCertificates };
}
