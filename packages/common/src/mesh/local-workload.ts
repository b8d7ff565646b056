import type { Workload } from '../model/workload.ts';
import type { MeshStore } from './store.ts';

/** A pod as its node knows it, before the control plane has said anything about it. */
export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The workload of a pod on this node; all three parts must agree. An empty node name accepts every node. */
export function findLocalWorkload(store: MeshStore, pod: PodIdentity, node: string): Workload | undefined {
  return store
    .workloadsNamed(pod.namespace, pod.name)
    .find((one) => one.serviceAccount === pod.serviceAccount && (node === '' || one.node === node));
}

/** The same, waiting until the control plane has sent it; undefined when the signal aborts first. */
export function awaitLocalWorkload(
  store: MeshStore,
  pod: PodIdentity,
  node: string,
  signal: AbortSignal,
): Promise<Workload | undefined> {
  const present = findLocalWorkload(store, pod, node);
  if (present !== undefined || signal.aborted) return Promise.resolve(present);
  return new Promise((resolve) => {
    const finish = (workload: Workload | undefined): void => {
      unsubscribe();
      signal.removeEventListener('abort', giveUp);
      resolve(workload);
    };
    const giveUp = (): void => finish(undefined);
    const unsubscribe = store.onChange(({ upserted }) => {
      if (upserted.some((one) => one.name === pod.name)) {
        const workload = findLocalWorkload(store, pod, node);
        if (workload !== undefined) finish(workload);
      }
    });
    signal.addEventListener('abort', giveUp, { once: true });
  });
}
