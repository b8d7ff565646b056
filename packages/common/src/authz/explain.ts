import { type Clause, type Condition, HTTP_ATTRIBUTES, type Policy, policyKey, type Rule } from '../model/policy.ts';
import { isRecordedOnly } from './candidates.ts';
import { wantedAndActual } from './literal.ts';
import { conditionHolds, type Facts } from './match.ts';
import { firstMatchingRule, neverFires } from './rules.ts';
import type { DecidingRule, Explanation, NearestAllow, Verdict } from './verdict.ts';

const ORDER: readonly Policy['action'][] = ['CUSTOM', 'AUDIT', 'DENY', 'ALLOW'];

/** What was considered up to the denial and, when nothing allowed, which ALLOW rule came nearest. Only a denial pays for it. */
export function explain(policies: readonly Policy[], facts: Facts, decidedBy: DecidingRule | undefined): Explanation {
  const considered: Explanation['considered'][number][] = [];
  let nearest: Candidate | undefined;
  for (const policy of ORDER.flatMap((action) => policies.filter((one) => one.action === action))) {
    const key = policyKey(policy);
    const matched = firstMatchingRule(policy, facts) >= 0;
    const outcome = policy.dryRun ? 'dry run' : matched ? 'matched' : 'no match';
    considered.push({ policy: key, action: policy.action, outcome });
    if (decidedBy?.policy === key && matched && !isRecordedOnly(policy)) return { considered, nearest: undefined };
    if (policy.action === 'ALLOW' && !policy.dryRun) nearest = nearer(nearest, policy, facts);
  }
  return { considered, nearest: nearest?.allow };
}

interface Candidate {
  readonly failing: number;
  readonly allow: NearestAllow;
}

function nearer(best: Candidate | undefined, policy: Policy, facts: Facts): Candidate | undefined {
  let nearest = best;
  for (const [index, rule] of policy.rules.entries()) {
    const failed = failingConditions(policy, rule, facts);
    const first = failed[0];
    if (first === undefined || (nearest !== undefined && failed.length >= nearest.failing)) continue;
    const { attribute, key } = first;
    const allow = { policy: policyKey(policy), rule: index, attribute, key, ...wantedAndActual(first, facts) };
    nearest = { failing: failed.length, allow };
  }
  return nearest;
}

/** Of each clause that fails, the conditions that fail in its best match. */
function failingConditions(policy: Policy, rule: Rule, facts: Facts): Condition[] {
  return rule.clauses.flatMap((clause) => failingInClause(policy, clause, facts));
}

function failingInClause(policy: Policy, clause: Clause, facts: Facts): Condition[] {
  let best: Condition[] | undefined;
  for (const match of clause.matches) {
    if (neverFires(policy, match)) continue;
    const failing = match.conditions.filter((condition) => !holds(condition, facts));
    if (best === undefined || failing.length < best.length) best = failing;
  }
  return best ?? [];
}

const holds = (condition: Condition, facts: Facts): boolean =>
  facts.http === undefined && HTTP_ATTRIBUTES.has(condition.attribute) ? false : conditionHolds(condition, facts);

/** One line for logs: the outcome in Istio ztunnel's words, then the rule and, for a refusal, the nearest ALLOW rule and what it wanted. */
export function describeVerdict(verdict: Verdict): string {
  const { decidedBy } = verdict;
  const by = decidedBy === undefined ? '' : `${decidedBy.policy} rule ${decidedBy.rule}`;
  const nearest = verdict.reason === 'none-allowed' ? describeNearest(verdict.explanation?.nearest) : '';
  return REASONS[verdict.reason] + by + nearest + describeShadow(verdict);
}

const REASONS: Readonly<Record<Verdict['reason'], string>> = {
  'no-allow-policies': 'no allow policies, allow',
  'allow-matched': 'allowed by ',
  'deny-matched': 'explicitly denied by: ',
  'none-allowed': 'allow policies exist, but none allowed',
};

/** Envoy's RESPONSE_CODE_DETAILS of a refusal, which people's dashboards and alerts look for. */
export function envoyDenialDetail(verdict: Verdict): string {
  const { decidedBy } = verdict;
  if (decidedBy === undefined) return 'rbac_access_denied_matched_policy[none]';
  const slash = decidedBy.policy.indexOf('/');
  const namespace = decidedBy.policy.slice(0, slash);
  const name = decidedBy.policy.slice(slash + 1);
  return `rbac_access_denied_matched_policy[ns[${namespace}]-policy[${name}]-rule[${decidedBy.rule}]]`;
}

function describeNearest(nearest: NearestAllow | undefined): string {
  if (nearest === undefined) return '; no ALLOW policy has a rule that could match';
  const key = nearest.key.replaceAll('\0', '.');
  const attribute = key === '' ? nearest.attribute : `${nearest.attribute}[${printable(key)}]`;
  const wanted = nearest.wanted.map(printable).join(', ');
  return `; nearest: ${nearest.policy} rule ${nearest.rule} wants ${attribute} ${wanted}, was ${printable(nearest.actual)}`;
}

function describeShadow({ shadow }: Verdict): string {
  if (shadow.length === 0) return '';
  return `; not enforced: ${shadow.map(({ action, policy, rule }) => `${action} ${policy} rule ${rule}`).join(', ')}`;
}

/** Callers choose paths and headers: nothing they send may break the line or the terminal. */
const printable = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`);
