import type { Policy } from '@ambit/common/model/policy';
import { policyKey } from '@ambit/common/model/policy';
import { type AuthorizationPolicyForm, type L4Rules, l4Rules, l7Rules } from '../ingest/authorization-policy.ts';
import { type Labels, selects } from '../ingest/labels.ts';
import type { Inputs } from './inputs.ts';
import { derivePeerAuthentication } from './peer-authentication.ts';
import type { Audience } from './audience.ts';
import type { TargetResult } from './policy-targets.ts';

export interface L4Policies {
  readonly policies: readonly Policy[];
  /** What the node agent makes of each policy without targets. */
  readonly outcomes: ReadonlyMap<AuthorizationPolicyForm, L4Outcome>;
  /** Sorted selector policies, then those of PeerAuthentication. */
  readonly policiesFor: (namespace: string, labels: Labels) => readonly string[];
}

export interface L4Outcome {
  readonly sent: boolean;
  readonly rules: L4Rules;
}

/** AuthorizationPolicies without targets and PeerAuthentications, for the node agents. */
export function deriveL4Policies(inputs: Inputs): L4Policies {
  const peer = derivePeerAuthentication(inputs);
  const outcomes = new Map<AuthorizationPolicyForm, L4Outcome>();
  const policies: Policy[] = [];
  const selecting: AuthorizationPolicyForm[] = [];
  for (const form of inputs.policies) {
    if (form.targetRefs.length > 0) continue;
    const rules = l4Rules(form);
    const sent = (form.action === 'ALLOW' || form.action === 'DENY') && !form.dryRun;
    outcomes.set(form, { sent, rules });
    if (!sent) continue;
    const scope = scopeOf(form, inputs);
    policies.push(policyOf(form, scope, rules.rules));
    if (scope === 'WORKLOAD_SELECTOR') selecting.push(form);
  }
  const root = inputs.mesh.rootNamespace;
  return {
    policies: [...policies, ...peer.policies],
    outcomes,
    policiesFor: (namespace, labels) => [
      ...selecting
        .filter((form) => (form.namespace === namespace || form.namespace === root) && selects(form.selector, labels))
        .map(policyKey)
        .sort(),
      ...peer.policiesFor(namespace, labels),
    ],
  };
}

function scopeOf(form: AuthorizationPolicyForm, inputs: Inputs): Policy['scope'] {
  if (Object.keys(form.selector).length > 0) return 'WORKLOAD_SELECTOR';
  return form.namespace === inputs.mesh.rootNamespace ? 'GLOBAL' : 'NAMESPACE';
}

const policyOf = (form: AuthorizationPolicyForm, scope: Policy['scope'], rules: Policy['rules']): Policy => ({
  name: form.name,
  namespace: form.namespace,
  scope,
  action: form.action,
  dryRun: form.dryRun,
  rules,
  listeners: [],
});

/** AuthorizationPolicies with targets, for each waypoint that they reach. */
export function deriveL7Policies(
  targets: ReadonlyMap<AuthorizationPolicyForm, readonly TargetResult[]>,
): Audience<Policy>[] {
  const policies: Audience<Policy>[] = [];
  for (const [form, results] of targets) {
    const rules = l7Rules(form);
    for (const [waypoint, listeners] of reachOf(results))
      policies.push({
        waypoint,
        name: policyKey(form),
        value: { ...policyOf(form, 'TARGETED', rules), listeners: listeners === 'all' ? [] : [...listeners].sort() },
      });
  }
  return policies;
}

/** For each waypoint the services meant; one target that means the whole waypoint outdoes all others. */
function reachOf(results: readonly TargetResult[]): ReadonlyMap<string, ReadonlySet<string> | 'all'> {
  const reach = new Map<string, Set<string> | 'all'>();
  for (const { attachments } of results)
    for (const { waypoint, listener } of attachments) {
      const before = reach.get(waypoint);
      if (listener === undefined) reach.set(waypoint, 'all');
      else if (before === undefined) reach.set(waypoint, new Set([listener]));
      else if (before !== 'all') before.add(listener);
    }
  return reach;
}
