import { evaluate } from '@ambit/common/authz/evaluate';
import type { AuthzAttributes, Verdict } from '@ambit/common/authz/verdict';
import { MeshError } from '@ambit/common/errors';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Workload } from '@ambit/common/model/workload';

/**
 * Proof that the policies of a workload admit a connection, for as long as they do. Only a Guard makes one, and delivery
 * asks for it. Release it when the connection has ended.
 */
export type Permit = InstanceType<typeof LivePermit>;

export type Admission =
  | { readonly kind: 'permit'; readonly permit: Permit; readonly verdict: Verdict }
  | { readonly kind: 'denied'; readonly verdict: Verdict };

/** Reports each verdict, for the log. */
export type VerdictObserver = (workload: Workload, verdict: Verdict) => void;

/** What the policies of a workload say about one connection, now. */
export const authorize = (view: MeshView, workload: Workload, attributes: AuthzAttributes): Verdict =>
  evaluate(view.policiesFor(workload), attributes);

/** Admits connections to workloads, and cuts those that a changed policy no longer admits. */
export class Guard {
  readonly #view: MeshView;
  readonly #observe: VerdictObserver;
  readonly #live = new Set<LivePermit>();

  constructor(view: MeshView, observe: VerdictObserver = () => undefined) {
    this.#view = view;
    this.#observe = observe;
  }

  /** Connections under watch. */
  get size(): number {
    return this.#live.size;
  }

  /** Registers the connection, then asks the policies: a change in between is not lost. */
  admit(workload: Workload, attributes: AuthzAttributes): Admission {
    const permit = new LivePermit(workload, attributes, () => this.#live.delete(permit));
    this.#live.add(permit);
    const verdict = authorize(this.#view, workload, attributes);
    this.#observe(workload, verdict);
    if (verdict.allowed) return { kind: 'permit', permit, verdict };
    permit.release();
    return { kind: 'denied', verdict };
  }

  /** Call after every change of policies. The workload as it was when the connection opened decides which apply. */
  recheck(): void {
    for (const permit of this.#live) {
      const verdict = authorize(this.#view, permit.workload, permit.attributes);
      if (verdict.allowed) continue;
      this.#observe(permit.workload, verdict);
      permit.revoke(verdict);
    }
  }
}

class LivePermit {
  readonly workload: Workload;
  readonly attributes: AuthzAttributes;
  readonly #forget: () => void;
  #revoked: MeshError | undefined;
  #verdict: Verdict | undefined;
  #onRevoke: ((error: MeshError) => void) | undefined;

  constructor(workload: Workload, attributes: AuthzAttributes, forget: () => void) {
    this.workload = workload;
    this.attributes = attributes;
    this.#forget = forget;
  }

  /** Why the connection is no longer admitted; undefined while it is. */
  get revoked(): MeshError | undefined {
    return this.#revoked;
  }

  /** The verdict that revoked it. */
  get verdict(): Verdict | undefined {
    return this.#verdict;
  }

  /** Calls `cut` when a policy change revokes the permit, at once if one has. */
  whenRevoked(cut: (error: MeshError) => void): void {
    this.#onRevoke = cut;
    if (this.#revoked !== undefined) cut(this.#revoked);
  }

  revoke(verdict: Verdict): void {
    this.#forget();
    if (this.#revoked !== undefined) return;
    this.#revoked = new MeshError('POLICY_DENIED', 'connection closed due to policy change');
    this.#verdict = verdict;
    this.#onRevoke?.(this.#revoked);
  }

  release(): void {
    this.#forget();
    this.#onRevoke = undefined;
  }
}

/** Istio's words for a denial. */
export function describeDenial({ decidedBy, reason }: Verdict): string {
  const why =
    reason === 'deny-matched' && decidedBy !== undefined
      ? `explicitly denied by: ${decidedBy.policy}`
      : 'allow policies exist, but none allowed';
  return `connection closed due to policy rejection: ${why}`;
}
