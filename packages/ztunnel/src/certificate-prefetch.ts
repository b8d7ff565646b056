import { type SpiffeId, spiffeId } from '@ambit/common/identity/spiffe';
import type { MeshChange } from '@ambit/common/mesh/store';
import type { Workload } from '@ambit/common/model/workload';

/** Keeps certificates for exactly the identities that have a workload on this node. */
export interface PrefetchTarget {
  warm(identity: SpiffeId): void;
  forget(identity: SpiffeId): void;
}

/** Follows the mesh: the first local workload of an identity fetches its certificate, the removal of the last drops it. */
export class CertificatePrefetch {
  readonly #target: PrefetchTarget;
  readonly #node: string;
  /** Identity by uid of each local workload. */
  readonly #identities = new Map<string, SpiffeId>();

  constructor(target: PrefetchTarget, node: string) {
    this.#target = target;
    this.#node = node;
  }

  apply({ upserted, removed }: Pick<MeshChange, 'upserted' | 'removed'>): void {
    for (const workload of upserted) {
      if (!this.#isOurs(workload)) continue;
      const identity = spiffeId(workload.trustDomain, workload.namespace, workload.serviceAccount);
      this.#identities.set(workload.uid, identity);
      this.#target.warm(identity);
    }
    for (const workload of removed) {
      const identity = this.#identities.get(workload.uid);
      if (identity === undefined) continue;
      this.#identities.delete(workload.uid);
      if (!this.#stillUsed(identity)) this.#target.forget(identity);
    }
  }

  #isOurs(workload: Workload): boolean {
    return workload.node === this.#node && (workload.protocol === 'HBONE' || workload.nativeTunnel);
  }

  #stillUsed(identity: SpiffeId): boolean {
    for (const other of this.#identities.values()) if (other.uri === identity.uri) return true;
    return false;
  }
}
