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
export function readInputs(store: ObjectStore, clusterDomain: string, trustDomain?: string): Inputs {
  const configMap = store.get('ConfigMap', SYSTEM_NAMESPACE, 'istio');
  const written = configMap === undefined ? DEFAULT_MESH_CONFIG : ingestMeshConfig(configMap);
  const mesh = trustDomain === undefined ? written : withTrustDomain(written, trustDomain);
  const namespaces = new Map([...store.list('Namespace')].map((one) => [one.metadata.name, one]));
  return {
    clusterId: 'Kubernetes',
    clusterDomain,
    network: namespaces.get(SYSTEM_NAMESPACE)?.metadata.labels?.['topology.istio.io/network'] ?? '',
    mesh,
    namespaces,
    localities: new Map([...store.list('Node')].map((node) => [node.metadata.name, localityOf(node)])),
    pods: forms(store, 'Pod', ingestPod),
    services: forms(store, 'Service', ingestService),
    serviceEntries: forms(store, 'ServiceEntry', ingestServiceEntry),
    workloadEntries: forms(store, 'WorkloadEntry', ingestWorkloadEntry),
    endpointSlices: forms(store, 'EndpointSlice', ingestEndpointSlice),
    gateways: forms(store, 'Gateway', ingestGateway),
    gatewayClasses: new Map(
      [...store.list('GatewayClass')].map((one) => [
        one.metadata.name,
        { object: one, controller: ingestGatewayClass(one) },
      ]),
    ),
    policies: forms(store, 'AuthorizationPolicy', (object) => policyForm(object, mesh)),
    peerAuthentications: forms(store, 'PeerAuthentication', ingestPeerAuthentication),
    destinationRules: forms(store, 'DestinationRule', ingestDestinationRule),
    credential: (namespace, name) => credentialOf(store, namespace, name),
  };
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

function forms<T>(store: ObjectStore, kind: string, ingest: (object: KubeObject) => T | undefined): T[] {
  return [...store.list(kind)].sort(olderFirst).flatMap((object) => ingest(object) ?? []);
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
