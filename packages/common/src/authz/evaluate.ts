import { type Policy, policyKey } from '../model/policy.ts';
import { candidatesFor } from './candidates.ts';
import { explain } from './explain.ts';
import { Facts } from './match.ts';
import { firstMatchingRule } from './rules.ts';
import type { AuthzAttributes, DecidingRule, Verdict } from './verdict.ts';

type Shadow = Verdict['shadow'];

const NO_SHADOW: Shadow = Object.freeze([]);

/** No ALLOW policy applies: the answer of most connections, made once. */
const UNCONTESTED: Verdict = Object.freeze({
  allowed: true,
  reason: 'no-allow-policies',
  decidedBy: undefined,
  shadow: NO_SHADOW,
  explanation: undefined,
});

/**
 * Decides over the policies that apply to a workload or listener; the caller has selected them.
 *
 *     record   AUDIT and dry-run policies: matches are recorded, nothing more
 *     CUSTOM   a match denies: what an external authorizer would be asked is refused while there is none to ask
 *     DENY     a match denies
 *     ALLOW    none enforced: allowed. Else one must match
 *
 * Pass the same frozen array for the same set of policies: it is indexed once per array and caller identity.
 */
export function evaluate(policies: readonly Policy[], attributes: AuthzAttributes): Verdict {
  if (policies.length === 0) return UNCONTESTED;
  const facts = new Facts(attributes);
  const candidates = candidatesFor(policies, facts);
  const shadow = candidates.record.length === 0 ? NO_SHADOW : record(candidates.record, facts);
  const denial = decide(candidates.deny, facts);
  if (denial !== undefined) return verdict('deny-matched', denial, shadow, explain(policies, facts, denial));
  if (!candidates.allowExists) {
    return shadow.length === 0 ? UNCONTESTED : verdict('no-allow-policies', undefined, shadow, undefined);
  }
  const permission = decide(candidates.allow, facts);
  if (permission !== undefined) return verdict('allow-matched', permission, shadow, undefined);
  return verdict('none-allowed', undefined, shadow, explain(policies, facts, undefined));
}

function verdict(
  reason: Verdict['reason'],
  decidedBy: Verdict['decidedBy'],
  shadow: Shadow,
  explanation: Verdict['explanation'],
): Verdict {
  const allowed = reason === 'no-allow-policies' || reason === 'allow-matched';
  return { allowed, reason, decidedBy, shadow, explanation };
}

/** The first policy that matches, and its rule. */
function decide(policies: readonly Policy[], facts: Facts): DecidingRule | undefined {
  for (const policy of policies) {
    const rule = firstMatchingRule(policy, facts);
    if (rule >= 0) return { policy: policyKey(policy), rule };
  }
  return undefined;
}

function record(policies: readonly Policy[], facts: Facts): Shadow {
  const matched: (DecidingRule & { readonly action: 'ALLOW' | 'DENY' | 'AUDIT' })[] = [];
  for (const policy of policies) {
    if (policy.action === 'CUSTOM') continue;
    const rule = firstMatchingRule(policy, facts);
    if (rule >= 0) matched.push({ policy: policyKey(policy), rule, action: policy.action });
  }
  return matched.length === 0 ? NO_SHADOW : matched;
}
