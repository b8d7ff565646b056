import { MeshError } from '@ambit/common/errors';
import { awaitLocalWorkload, findLocalWorkload } from '@ambit/common/mesh/local-workload';
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

/** @param node only workloads of this node count; all when empty. */
export function localWorkload(store: MeshStore, pod: PodInfo, node: string): LocalWorkload {
  const current = (): Workload | undefined => findLocalWorkload(store, pod, node);
  const get = async (): Promise<Workload> => {
    const found = current() ?? (await awaitLocalWorkload(store, pod, node, AbortSignal.timeout(WAIT_MS)));
    if (found !== undefined) return found;
    const where = node === '' ? '' : ` on node ${node}`;
    throw new MeshError(
      'NO_IDENTITY',
      `failed to fetch information about local workload: the control plane has not told of pod ${pod.namespace}/${pod.name} (service account ${pod.serviceAccount})${where} within ${WAIT_MS} ms`,
    );
  };
  return { current, get };
}
