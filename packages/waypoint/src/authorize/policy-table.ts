import type { Policy } from '@ambit/common/model/policy';

const NONE: readonly Policy[] = Object.freeze([]);

/** Policies by the service they apply to; each answer is one frozen array that stays the same until the next change. */
export class PolicyTable {
  #everywhere: readonly Policy[] = NONE;
  #byListener: ReadonlyMap<string, readonly Policy[]> = new Map();

  /** Replaces all policies. */
  replace(policies: Iterable<Policy>): void {
    const sorted = [...policies].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
    const everywhere = sorted.filter((policy) => policy.listeners.length === 0);
    const keys = new Set(sorted.flatMap((policy) => policy.listeners));
    this.#everywhere = Object.freeze(everywhere);
    this.#byListener = new Map(
      [...keys].map((key) => [key, Object.freeze(sorted.filter((policy) => applies(policy, key)))]),
    );
  }

  /** What applies to requests for the service `namespace/hostname`; undefined: a workload's own address. */
  for(listener: string | undefined): readonly Policy[] {
    return (listener === undefined ? undefined : this.#byListener.get(listener)) ?? this.#everywhere;
  }
}

const applies = (policy: Policy, key: string): boolean =>
  policy.listeners.length === 0 || policy.listeners.includes(key);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
