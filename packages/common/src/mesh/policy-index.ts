import { type Policy, policyKey } from '../model/policy.ts';
import type { Workload } from '../model/workload.ts';

const NONE: readonly Policy[] = Object.freeze([]);

/** Policies by key and by the scope that decides to whom they apply. */
export class PolicyIndex {
  readonly #byKey = new Map<string, Policy>();
  readonly #global = new Map<string, Policy>();
  readonly #byNamespace = new Map<string, Map<string, Policy>>();

  get(key: string): Policy | undefined {
    return this.#byKey.get(key);
  }

  all(): Iterable<Policy> {
    return this.#byKey.values();
  }

  upsert(policy: Policy): void {
    const key = policyKey(policy);
    this.remove(key);
    this.#byKey.set(key, policy);
    if (policy.scope === 'GLOBAL') this.#global.set(key, policy);
    if (policy.scope !== 'NAMESPACE') return;
    let namespace = this.#byNamespace.get(policy.namespace);
    if (namespace === undefined) this.#byNamespace.set(policy.namespace, (namespace = new Map()));
    namespace.set(key, policy);
  }

  remove(key: string): Policy | undefined {
    const policy = this.#byKey.get(key);
    if (policy === undefined) return undefined;
    this.#byKey.delete(key);
    this.#global.delete(key);
    const namespace = this.#byNamespace.get(policy.namespace);
    namespace?.delete(key);
    if (namespace?.size === 0) this.#byNamespace.delete(policy.namespace);
    return policy;
  }

  /** Policies of the namespace, global ones, then those the workload names; a name that is not known (yet) is skipped. */
  forWorkload(workload: Workload): readonly Policy[] {
    const namespace = this.#byNamespace.get(workload.namespace);
    if (namespace === undefined && this.#global.size === 0 && workload.authorizationPolicies.length === 0) return NONE;
    const found = new Set([...(namespace?.values() ?? []), ...this.#global.values()]);
    for (const key of workload.authorizationPolicies) {
      const policy = this.#byKey.get(key);
      if (policy !== undefined) found.add(policy);
    }
    return [...found];
  }
}
