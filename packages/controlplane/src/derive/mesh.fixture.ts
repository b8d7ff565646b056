import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import type { KubeObject } from '../collections/object.ts';
import { ObjectStore } from '../collections/object-store.ts';
import { parseYaml } from '../files/parse.ts';
import { isRecord } from '../files/schema/schema.ts';
import { formatSourceError, validateText } from '../files/validate.ts';
import { meshStatuses } from '../status/statuses.ts';
import { readInputs } from './inputs.ts';
import { deriveMesh, type Mesh } from './mesh.ts';

/** The mesh that a YAML stream describes: later objects are younger, and a status may be written. */
export function meshOf(...texts: string[]): Mesh {
  const store = new ObjectStore();
  store.apply(objectsOf(...texts));
  return deriveMesh(readInputs(store, 'cluster.local'));
}

/** The objects of a YAML stream, as a server would hold them. */
export function objectsOf(...texts: string[]): KubeObject[] {
  const text = texts.join('\n---\n');
  const { objects, errors } = validateText(text, 'mesh.yaml');
  if (errors.length > 0) throw new Error(errors.map(formatSourceError).join('\n'));
  const statuses = parseYaml(text, '').documents.map(({ value }) => (isRecord(value) ? value['status'] : undefined));
  return objects.map(({ object }, i) => dressed(object, i, statuses[i]));
}

function dressed(object: KubeObject, i: number, status: unknown): KubeObject {
  const second = String(i).padStart(2, '0');
  const metadata = {
    ...object.metadata,
    uid: `uid-${object.metadata.name}`,
    generation: 1,
    creationTimestamp: `2026-11-21T00:00:${second}Z`,
  };
  return { ...object, metadata, ...(isRecord(status) && { status }) };
}

export const namespace = (name: string, labels = ''): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {${labels}}}}`;
export const pod = (
  name: string,
  more: { labels?: string; meta?: string; spec?: string; container?: string; status?: string } = {},
): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: apps, labels: {${more.labels ?? 'app: web'}}${more.meta ?? ''}}
spec: {containers: [{name: c${more.container ?? ''}}]${more.spec ?? ''}}
status: {${more.status ?? 'podIP: 10.244.0.5, conditions: [{type: Ready, status: "True"}]'}}
`;
export const service = (name: string, spec: string, meta = ''): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}, namespace: apps${meta}}, spec: {${spec}}}`;
export const WEB: string = service(
  'web',
  'selector: {app: web}, clusterIPs: [10.96.0.5], ports: [{port: 80, targetPort: 8080, name: http}]',
);
export const entry = (name: string, spec: string, meta = '', status = ''): string =>
  `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: ${name}, namespace: apps${meta}}, spec: {${spec}}, status: {${status}}}`;
export const gateway = (
  name: string,
  more: { in?: string; meta?: string; routes?: string; address?: string } = {},
): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ${name}, namespace: ${more.in ?? 'apps'}${more.meta ?? ''}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE${more.routes ?? ''}}]
status: {${more.address ?? `addresses: [{type: IPAddress, value: 10.96.9.9}, {type: Hostname, value: ${name}.${more.in ?? 'apps'}.svc.cluster.local}]`}}
`;
export const policy = (name: string, spec: string, more: { in?: string; meta?: string } = {}): string =>
  `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: ${name}, namespace: ${more.in ?? 'apps'}${more.meta ?? ''}}, spec: {${spec}}}`;
export const peers = (name: string, spec: string, ns = 'apps'): string =>
  `{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: ${name}, namespace: ${ns}}, spec: {${spec}}}`;

export function workload(mesh: Mesh, suffix: string): Workload {
  const found = [...mesh.workloads.values()].find((one) => one.uid.endsWith(suffix));
  if (found === undefined) throw new Error(`no workload ${suffix} among ${[...mesh.workloads.keys()].join(', ')}`);
  return found;
}
export function serviceOf(mesh: Mesh, key: string): Service {
  const found = mesh.services.get(key);
  if (found === undefined) throw new Error(`no service ${key}`);
  return found;
}
export function conditions(mesh: Mesh, kind: string, name: string): string[] {
  return [...meshStatuses(mesh)]
    .filter(({ object }) => object.kind === kind && object.metadata.name === name)
    .flatMap((one) =>
      one.conditions.map(({ type, status, reason, message }) => `${type} ${status} ${reason}: ${message}`),
    );
}
export const boundTo = (mesh: Mesh, key: string): unknown => serviceOf(mesh, key).waypoint?.destination;
export const USE: string = ', labels: {istio.io/use-waypoint: waypoint}';
