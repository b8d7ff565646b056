import { MeshError } from '@ambit/common/errors';
import { type Context, POD } from './context.ts';
import { needKind } from './kind-names.ts';
import { ObjectView } from './object-view.ts';

/** A pod that a person named. */
export interface PodTarget {
  readonly namespace: string;
  readonly name: string;
}

const AGENT: PodTarget = { namespace: 'istio-system', name: 'ztunnel' };
const GATEWAY_LABEL = 'gateway.networking.k8s.io/gateway-name';

/**
 * Finds the pod meant by `[type/]name[.namespace]`: a pod, the first running pod of a deployment, `ds/ztunnel` or `ztunnel`
 * for the node agent, or the name of a waypoint. Rejects with what was looked for when there is none.
 */
export async function findPod(context: Context, word: string): Promise<PodTarget> {
  const { type, name, namespace } = splitTarget(word, context.namespace);
  if (name === AGENT.name && (type === undefined || /^(ds|daemonsets?)$/.test(type))) return AGENT;
  const pods = (await context.api.list(POD, namespace)).map((pod) => new ObjectView(pod));
  const matches = type === undefined ? anyMatch(pods, name) : typedMatch(pods, type, name);
  const found =
    matches.find((pod) => pod.podStatus() === 'Running') ?? matches[0] ?? (await waypointAnywhere(context, type, name));
  if (found === undefined) {
    const other = await resembling(context, name);
    throw new MeshError(
      'CONFIG',
      `no pod for "${word}" in namespace "${namespace}"; ${other ?? '"ambit get pods -A" lists all'}`,
    );
  }
  return { namespace: found.namespace, name: found.name };
}

/** A deployment of that name, here or in another namespace, is what was meant most often. */
async function resembling(context: Context, name: string): Promise<string | undefined> {
  const pods = (await context.api.list(POD, undefined)).map((pod) => new ObjectView(pod));
  const pod = pods.find((one) => ownerDeployment(one) === name) ?? pods.find((one) => one.name === name);
  if (pod === undefined) return undefined;
  const type = pod.name === name ? '' : 'deploy/';
  return `did you mean "${type}${name} -n ${pod.namespace}"?`;
}

/** `waypoint` without a namespace may mean the only one there is. */
async function waypointAnywhere(
  context: Context,
  type: string | undefined,
  name: string,
): Promise<ObjectView | undefined> {
  if (type !== undefined) return undefined;
  const pods = (await context.api.list(POD, undefined))
    .map((pod) => new ObjectView(pod))
    .filter((pod) => pod.label(GATEWAY_LABEL) === name);
  const namespaces = new Set(pods.map((pod) => pod.namespace));
  if (namespaces.size > 1) {
    throw new MeshError(
      'CONFIG',
      `several namespaces have a waypoint "${name}": ${[...namespaces].join(', ')}; choose one with -n`,
    );
  }
  return pods[0];
}

const anyMatch = (pods: readonly ObjectView[], name: string): ObjectView[] =>
  pods.filter((pod) => pod.name === name || pod.label(GATEWAY_LABEL) === name);

function typedMatch(pods: readonly ObjectView[], type: string, name: string): ObjectView[] {
  switch (needKind(type).kind) {
    case 'Pod':
      return pods.filter((pod) => pod.name === name);
    case 'Deployment':
      return pods.filter((pod) => ownerDeployment(pod) === name);
    case 'Gateway':
      return pods.filter((pod) => pod.label(GATEWAY_LABEL) === name);
    default:
      return [];
  }
}

/** The deployment's name: the owning replica set's without the template hash. */
function ownerDeployment(pod: ObjectView): string | undefined {
  const hash = pod.label('pod-template-hash');
  const owner = pod
    .list('metadata.ownerReferences')
    .find((one) => one.text('kind') === 'ReplicaSet')
    ?.text('name');
  if (owner === undefined || hash === undefined) return owner;
  return owner.endsWith(`-${hash}`) ? owner.slice(0, -hash.length - 1) : owner;
}

function splitTarget(word: string, namespace: string): { type: string | undefined; name: string; namespace: string } {
  const slash = word.indexOf('/');
  const type = slash < 0 ? undefined : word.slice(0, slash);
  const [name = '', ...rest] = word.slice(slash + 1).split('.');
  return { type, name, namespace: rest.length > 0 ? rest.join('.') : namespace };
}
