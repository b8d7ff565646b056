import { MeshError } from '@ambit/common/errors';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { Workload } from '@ambit/common/model/workload';

/** A pod as the CNI names it. */
export interface PodInfo {
  /** Kubernetes' uid of the pod, not that of its workload. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const WAIT_MS = 5000;

/** What the mesh knows of one pod of this node. */
export interface LocalWorkload {
  /** The workload now; undefined while the control plane has not told of it. */
  current(): Workload | undefined;
  /**
   * The workload, waited for if need be: a pod may be faster than the control plane.
   * @throws MeshError NO_IDENTITY after five seconds.
   */
  get(): Promise<Workload>;
}

/**
 * Looks for a workload of the pod's name, namespace and service account: all three must agree.
 * @param node only workloads of this node count; all when empty.
 */
export function localWorkload(
  store: MeshStore,
  pod: Omit<PodInfo, 'uid'>,
  node: string,
  waitMs: number = WAIT_MS,
): LocalWorkload {
  const current = (): Workload | undefined =>
    store
      .workloadsNamed(pod.namespace, pod.name)
      .find((one) => one.serviceAccount === pod.serviceAccount && (node === '' || one.node === node));
  const get = async (): Promise<Workload> => {
    const found = current() ?? (await arrival(store, current, waitMs));
    if (found !== undefined) return found;
    const where = node === '' ? '' : ` on node ${node}`;
    throw new MeshError(
      'NO_IDENTITY',
      `failed to fetch information about local workload: the control plane has not told of pod ${pod.namespace}/${pod.name} (service account ${pod.serviceAccount})${where} within ${waitMs} ms`,
    );
  };
  return { current, get };
}

/** What `find` gives as soon as it gives something; undefined when the time is over. */
function arrival(store: MeshStore, find: () => Workload | undefined, withinMs: number): Promise<Workload | undefined> {
  const { promise, resolve } = Promise.withResolvers<Workload | undefined>();
  const finish = (workload: Workload | undefined): void => {
    unsubscribe();
    clearTimeout(timer);
    resolve(workload);
  };
  const unsubscribe = store.onChange(({ upserted }) => {
    const workload = upserted.length === 0 ? undefined : find();
    if (workload !== undefined) finish(workload);
  });
  const timer = setTimeout(() => finish(undefined), withinMs);
  return promise;
}
