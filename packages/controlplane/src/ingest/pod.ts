import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import type { KubeObject } from '../collections/object.ts';
import { type Container, type PodSpec, podSpec } from '../files/schema/pod.ts';
import { list, object, read, type Schema, text } from '../files/schema/schema.ts';
import { type CanonicalNames, canonicalNames, tunnelOf } from './canonical.ts';
import type { Labels } from './labels.ts';
import { memoized } from './memoized.ts';

/** A pod that has an address and is not over. */
export interface PodForm extends CanonicalNames {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Labels;
  readonly addresses: readonly IpAddress[];
  readonly healthy: boolean;
  readonly protocol: 'HBONE' | 'TCP';
  readonly nativeTunnel: boolean;
  readonly hostNetwork: boolean;
  readonly serviceAccount: string;
  readonly node: string;
  readonly workloadName: string;
  /** TCP container ports by name. */
  readonly ports: ReadonlyMap<string, number>;
}

interface PodStatus {
  readonly phase?: string;
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip?: string }[];
  readonly conditions?: readonly { readonly type?: string; readonly status?: string }[];
}

const podStatus: Schema<PodStatus> = object<PodStatus>({
  phase: text,
  podIP: text,
  podIPs: list(object<{ ip?: string }>({ ip: text })),
  conditions: list(object<{ type?: string; status?: string }>({ type: text, status: text })),
});

/** Undefined for a pod that is no workload: without address, over, or with an address that is none. */
export const ingestPod: (object: KubeObject) => PodForm | undefined = memoized((pod) => {
  const spec = read(podSpec, pod.spec);
  const status = read(podStatus, pod.status ?? {});
  if (spec === undefined || status === undefined) return undefined;
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return undefined;
  const addresses = addressesOf(status);
  if (addresses === undefined || addresses.length === 0) return undefined;
  const { uid = '', name, namespace = 'default', labels = {}, deletionTimestamp } = pod.metadata;
  const workloadName = workloadNameOf(pod);
  return {
    object: pod,
    namespace,
    name,
    uid,
    labels,
    addresses,
    healthy: deletionTimestamp === undefined && isReady(status),
    ...tunnelOf(pod.metadata),
    ...placeOf(spec),
    workloadName,
    ...canonicalNames(labels, workloadName),
    ports: namedPorts(spec),
  };
});

const isReady = ({ conditions = [] }: PodStatus): boolean =>
  conditions.some((one) => one.type === 'Ready' && one.status === 'True');

const placeOf = (spec: PodSpec): Pick<PodForm, 'hostNetwork' | 'serviceAccount' | 'node'> => ({
  hostNetwork: spec.hostNetwork ?? false,
  serviceAccount: spec.serviceAccountName ?? spec.serviceAccount ?? 'default',
  node: spec.nodeName ?? '',
});

function addressesOf({ podIP, podIPs }: PodStatus): IpAddress[] | undefined {
  const texts = podIPs !== undefined && podIPs.length > 0 ? podIPs.map((one) => one.ip ?? '') : [podIP ?? ''];
  const addresses = texts.filter((one) => one !== '').map(parseIp);
  return addresses.includes(undefined) ? undefined : addresses.filter((one) => one !== undefined);
}

/** Named TCP ports of containers, then of init containers that keep running. */
function namedPorts(spec: PodSpec): ReadonlyMap<string, number> {
  const sidecars = (spec.initContainers ?? []).filter((one) => one.restartPolicy === 'Always');
  const ports = new Map<string, number>();
  for (const container of [...spec.containers, ...sidecars] satisfies Container[])
    for (const { name, protocol = 'TCP', containerPort } of container.ports ?? [])
      if (name !== undefined && protocol === 'TCP' && !ports.has(name)) ports.set(name, containerPort);
  return ports;
}

/** The controller that people know: a label, else the Deployment behind a ReplicaSet or the CronJob behind a Job. */
function workloadNameOf({ metadata }: KubeObject): string {
  const label = metadata.labels?.['service.istio.io/workload-name'];
  if (label !== undefined) return label;
  const owner = metadata.ownerReferences?.find((one) => one.controller === true);
  if (owner === undefined || metadata.generateName === undefined) return metadata.name;
  if (owner.kind === 'ReplicaSet') {
    for (const key of ['pod-template-hash', 'rollouts-pod-template-hash']) {
      const hash = metadata.labels?.[key];
      if (hash !== undefined && owner.name.endsWith(`-${hash}`)) return owner.name.slice(0, -hash.length - 1);
    }
  }
  if (owner.kind === 'Job') return owner.name.replace(/-\d{8,10}$/, '');
  return owner.name;
}
