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
  const nearest = new Nearest(facts);
  for (const action of ORDER) {
    for (const policy of policies) {
      if (policy.action !== action) continue;
      const key = policyKey(policy);
      // ALLOW is reached only when no enforced one has matched.
      const matched = action !== 'ALLOW' && firstMatchingRule(policy, facts) >= 0;
      considered.push({ policy: key, action, outcome: outcomeOf(policy, matched) });
      if (matched && decidedBy?.policy === key && !isRecordedOnly(policy)) return { considered, nearest: undefined };
      nearest.consider(policy);
    }
  }
  return { considered, nearest: nearest.allow() };
}

function outcomeOf(policy: Policy, matched: boolean): Explanation['considered'][number]['outcome'] {
  if (policy.dryRun) return 'dry run';
  return matched ? 'matched' : 'no match';
}

/** The ALLOW rule with the fewest failing conditions so far. No object per rule: there may be a thousand of them. */
class Nearest {
  readonly #facts: Facts;
  #policy: Policy | undefined = undefined;
  #rule = -1;
  #failing = Infinity;
  #first: Condition | undefined = undefined;

  constructor(facts: Facts) {
    this.#facts = facts;
  }

  consider(policy: Policy): void {
    if (policy.action !== 'ALLOW' || policy.dryRun) return;
    for (const [index, rule] of policy.rules.entries()) this.#considerRule(policy, rule, index);
  }

  allow(): NearestAllow | undefined {
    const first = this.#first;
    if (this.#policy === undefined || first === undefined) return undefined;
    const { attribute, key } = first;
    return {
      policy: policyKey(this.#policy),
      rule: this.#rule,
      attribute,
      key,
      ...wantedAndActual(first, this.#facts),
    };
  }

  #considerRule(policy: Policy, rule: Rule, index: number): void {
    let failing = 0;
    let first: Condition | undefined;
    for (const clause of rule.clauses) {
      const missed = this.#missed(policy, clause);
      if (missed === undefined) continue;
      first ??= missed.first;
      failing += missed.failing;
      if (failing >= this.#failing) return;
    }
    // All conditions that decide hold, but one of an alternative is for HTTP: the whole rule is out on an opaque connection.
    if (first === undefined && this.#facts.http === undefined) first = httpCondition(rule);
    if (first === undefined) return;
    this.#policy = policy;
    this.#rule = index;
    this.#failing = Math.max(1, failing);
    this.#first = first;
  }

  /** What fails in the best match of a clause; undefined when it holds or has no match that could. */
  #missed(policy: Policy, clause: Clause): { readonly failing: number; readonly first: Condition } | undefined {
    let best = Infinity;
    let bestFirst: Condition | undefined;
    for (const match of clause.matches) {
      if (neverFires(policy, match)) continue;
      let failing = 0;
      let first: Condition | undefined;
      for (const condition of match.conditions) {
        if (holds(condition, this.#facts)) continue;
        failing++;
        first ??= condition;
      }
      if (first === undefined) return undefined;
      if (failing >= best) continue;
      best = failing;
      bestFirst = first;
    }
    return bestFirst === undefined ? undefined : { failing: best, first: bestFirst };
  }
}

const httpCondition = (rule: Rule): Condition | undefined =>
  rule.clauses
    .flatMap((clause) => clause.matches)
    .flatMap((match) => match.conditions)
    .find((condition) => HTTP_ATTRIBUTES.has(condition.attribute));

const holds = (condition: Condition, facts: Facts): boolean =>
  !(facts.http === undefined && HTTP_ATTRIBUTES.has(condition.attribute)) && conditionHolds(condition, facts);

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
