import { MeshError } from '@ambit/common/errors';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Workload, WorkloadUid } from '@ambit/common/model/workload';

/** A pod as the CNI names it. */
export interface PodInfo {
  /** Kubernetes' uid of the pod, not that of its workload. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The mesh, and a way to hear of its changes. The function returned stops that. */
export interface WatchedMesh {
  readonly view: MeshView;
  onChange(fn: () => void): () => void;
}

const WAIT_MS = 5000;

/** What the mesh knows of a pod of this node. */
export class LocalWorkload {
  readonly #mesh: WatchedMesh;
  readonly #pod: PodInfo;
  readonly #node: string;
  #uid: WorkloadUid | undefined;

  /** @param node only workloads of this node count; all when empty. */
  constructor(mesh: WatchedMesh, pod: PodInfo, node: string) {
    this.#mesh = mesh;
    this.#pod = pod;
    this.#node = node;
  }

  /** The workload now; undefined while the control plane has not told of it. */
  current(): Workload | undefined {
    const known = this.#uid === undefined ? undefined : this.#mesh.view.workload(this.#uid);
    if (known !== undefined && this.#isPod(known)) return known;
    for (const workload of this.#mesh.view.workloads()) {
      if (!this.#isPod(workload)) continue;
      this.#uid = workload.uid;
      return workload;
    }
    return undefined;
  }

  /**
   * The workload, waited for if need be: the pod may be faster than the control plane.
   * @throws MeshError NO_IDENTITY after five seconds.
   */
  async get(waitMs: number = WAIT_MS): Promise<Workload> {
    const now = this.current();
    if (now !== undefined) return now;
    const { promise, resolve, reject } = Promise.withResolvers<Workload>();
    const stop = this.#mesh.onChange(() => {
      const found = this.current();
      if (found !== undefined) resolve(found);
    });
    const timer = setTimeout(() => reject(this.#unknown(waitMs)), waitMs);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      stop();
    }
  }

  #isPod(workload: Workload): boolean {
    return (
      workload.name === this.#pod.name &&
      workload.namespace === this.#pod.namespace &&
      workload.serviceAccount === this.#pod.serviceAccount &&
      (this.#node === '' || workload.node === this.#node)
    );
  }

  #unknown(waitMs: number): MeshError {
    const { namespace, name, serviceAccount } = this.#pod;
    const where = this.#node === '' ? '' : ` on node ${this.#node}`;
    return new MeshError(
      'NO_IDENTITY',
      `failed to fetch information about local workload: the control plane has not told of pod ${namespace}/${name} (service account ${serviceAccount})${where} within ${waitMs} ms`,
    );
  }
}
