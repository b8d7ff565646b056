import { type Clause, HTTP_ATTRIBUTES, type Match, type Policy, type Rule } from '../model/policy.ts';
import { conditionHolds, type Facts } from './match.ts';

/** Index of the first rule that matches; -1 when none does. A policy without rules never matches. */
export function firstMatchingRule(policy: Policy, facts: Facts): number {
  const { rules } = policy;
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i];
    if (rule !== undefined && ruleHolds(policy, rule, facts)) return i;
  }
  return -1;
}

/**
 * On an opaque connection an ALLOW rule that names an HTTP field never matches, and every other action ignores the field:
 * in doubt the narrower allow and the wider deny.
 */
function ruleHolds(policy: Policy, rule: Rule, facts: Facts): boolean {
  if (facts.http === undefined && policy.action === 'ALLOW' && needsHttp(rule)) return false;
  for (const clause of rule.clauses) if (!clauseHolds(policy, clause, facts)) return false;
  return true;
}

function clauseHolds(policy: Policy, clause: Clause, facts: Facts): boolean {
  if (clause.matches.length === 0) return true;
  for (const match of clause.matches) if (matchHolds(policy, match, facts)) return true;
  return false;
}

function matchHolds(policy: Policy, match: Match, facts: Facts): boolean {
  if (neverFires(policy, match)) return false;
  const opaque = facts.http === undefined;
  for (const condition of match.conditions) {
    if (opaque && HTTP_ATTRIBUTES.has(condition.attribute)) continue;
    if (!conditionHolds(condition, facts)) return false;
  }
  return true;
}

/** Istio's ztunnel skips a match whose lists are all empty; at a waypoint it matches everything. */
export const neverFires = (policy: Policy, match: Match): boolean =>
  policy.scope !== 'TARGETED' &&
  !match.conditions.some((condition) => condition.values.length > 0 || condition.notValues.length > 0);

/** Does any part of the rule look at HTTP? */
export const needsHttp = (rule: Rule): boolean =>
  rule.clauses.some((clause) =>
    clause.matches.some((match) => match.conditions.some((condition) => HTTP_ATTRIBUTES.has(condition.attribute))),
  );

/** Could the rules match some connection from this source identity? Looks at nothing else; false is final. */
export function mayMatch(policy: Policy, facts: Facts): boolean {
  const sourceFits = (match: Match): boolean =>
    match.conditions.every(
      (condition) => !IDENTITY_ATTRIBUTES.has(condition.attribute) || conditionHolds(condition, facts),
    );
  return policy.rules.some((rule) =>
    rule.clauses.every((clause) => clause.matches.length === 0 || clause.matches.some(sourceFits)),
  );
}

const IDENTITY_ATTRIBUTES: ReadonlySet<string> = new Set([
  'source.principal',
  'source.namespace',
  'source.serviceAccount',
  'source.trustDomain',
]);
