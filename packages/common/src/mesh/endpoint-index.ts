import type { Service } from '../model/service.ts';
import { serviceKey } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import type { Endpoint } from './view.ts';

const NONE: readonly Endpoint[] = Object.freeze([]);

interface Members {
  readonly byUid: Map<string, Endpoint>;
  /** The members that health policy lets in, and the service it was made for; made again when either changes. */
  eligible: readonly Endpoint[] | undefined;
  eligibleFor: Service | undefined;
}

/**
 * Which workloads are members of which service. Members of a service that is not known yet are staged here and serve as
 * soon as it arrives. Unhealthy members are kept aside, so that a service that turns to ALLOW_ALL has them at once.
 */
export class EndpointIndex {
  readonly #members = new Map<string, Members>();

  insert(workload: Workload): void {
    for (const [key, ports] of workload.services) {
      let members = this.#members.get(key);
      if (members === undefined) {
        this.#members.set(key, (members = { byUid: new Map(), eligible: undefined, eligibleFor: undefined }));
      }
      members.byUid.set(workload.uid, Object.freeze({ workload, ports }));
      members.eligible = undefined;
    }
  }

  remove(workload: Workload): void {
    for (const key of workload.services.keys()) {
      const members = this.#members.get(key);
      if (members === undefined) continue;
      members.byUid.delete(workload.uid);
      members.eligible = undefined;
      if (members.byUid.size === 0) this.#members.delete(key);
    }
  }

  /** Forgets the members of a service that is gone, staged ones too. */
  removeService(key: string): void {
    this.#members.delete(key);
  }

  of(service: Service): readonly Endpoint[] {
    const members = this.#members.get(serviceKey(service.namespace, service.hostname));
    if (members === undefined) return NONE;
    if (members.eligible === undefined || members.eligibleFor !== service) {
      const all = [...members.byUid.values()];
      members.eligible =
        service.loadBalancing.healthPolicy === 'ALLOW_ALL' ? all : all.filter(({ workload }) => workload.healthy);
      members.eligibleFor = service;
    }
    return members.eligible;
  }

  /** Members of services that `known` does not know, by service key. */
  *staged(known: (key: string) => boolean): Iterable<readonly [key: string, endpoints: readonly Endpoint[]]> {
    for (const [key, members] of this.#members) if (!known(key)) yield [key, [...members.byUid.values()]];
  }
}
