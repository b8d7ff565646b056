import type { IpAddress } from '../address/ip.ts';
import type { Workload, WorkloadUid } from '../model/workload.ts';

/** Workloads by uid, address and name. Two workloads may claim one address: the better claim wins, the other waits. */
export class WorkloadIndex {
  readonly #byUid = new Map<string, Workload>();
  /** `network/ip` → claims, oldest first. */
  readonly #byAddress = new Map<string, Workload[]>();
  /** `namespace/name` → workloads, whatever their kind and node. */
  readonly #byName = new Map<string, Workload[]>();

  get(uid: WorkloadUid): Workload | undefined {
    return this.#byUid.get(uid);
  }

  all(): Iterable<Workload> {
    return this.#byUid.values();
  }

  named(namespace: string, name: string): readonly Workload[] {
    return this.#byName.get(`${namespace}/${name}`) ?? [];
  }

  byAddress(network: string, ip: IpAddress): Workload | undefined {
    const claims = this.#byAddress.get(`${network}/${ip}`);
    if (claims === undefined || claims.length === 1) return claims?.[0];
    // An address is given to a new pod before the old one's removal arrives: among equals the newest is right.
    return claims.reduce((best, one) => (claim(one) >= claim(best) ? one : best));
  }

  insert(workload: Workload): void {
    this.#byUid.set(workload.uid, workload);
    push(this.#byName, `${workload.namespace}/${workload.name}`, workload);
    for (const key of addressKeys(workload)) push(this.#byAddress, key, workload);
  }

  /** Removes by the name of its resource, which is the uid. */
  remove(uid: string): Workload | undefined {
    const workload = this.#byUid.get(uid);
    if (workload === undefined) return undefined;
    this.#byUid.delete(uid);
    drop(this.#byName, `${workload.namespace}/${workload.name}`, workload);
    for (const key of addressKeys(workload)) drop(this.#byAddress, key, workload);
    return workload;
  }
}

/** A pod beats other kinds, HBONE beats TCP. */
const claim = (workload: Workload): number =>
  (workload.uid.includes('//Pod/') ? 2 : 0) + (workload.protocol === 'HBONE' ? 1 : 0);

const addressKeys = (workload: Workload): string[] =>
  workload.hostNetwork ? [] : workload.addresses.map((ip) => `${workload.network}/${ip}`);

function push(index: Map<string, Workload[]>, key: string, workload: Workload): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [workload]);
  else list.push(workload);
}

function drop(index: Map<string, Workload[]>, key: string, workload: Workload): void {
  const rest = index.get(key)?.filter((one) => one !== workload) ?? [];
  if (rest.length === 0) index.delete(key);
  else index.set(key, rest);
}
