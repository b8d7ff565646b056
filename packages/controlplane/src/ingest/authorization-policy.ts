import type { Condition, Policy, Rule } from '@ambit/common/model/policy';
import type { KubeObject } from '../collections/object.ts';
import {
  type AuthorizationPolicySpec,
  authorizationPolicySpec,
  type TargetRef,
} from '../files/schema/authorization-policy.ts';
import { isRecord, read } from '../files/schema/schema.ts';
import { clausesOf, type NamedClause, type NamedCondition, type RuleContext } from './authorization-rule.ts';
import type { TrustDomains } from './authorization-values.ts';
import type { Labels } from './labels.ts';

export interface AuthorizationPolicyForm {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  readonly action: Policy['action'];
  readonly dryRun: boolean;
  /** Empty: applies to the namespace, or to the mesh in the root namespace. */
  readonly selector: Labels;
  readonly targetRefs: readonly TargetRef[];
  readonly rules: readonly (readonly NamedClause[])[];
}

/** Reads a policy under the mesh's trust domains; one that cannot be read closes what it is for. Undefined: it has no effect. */
export function ingestAuthorizationPolicy(
  object: KubeObject,
  trustDomains: TrustDomains,
): AuthorizationPolicyForm | undefined {
  const spec = read(authorizationPolicySpec, object.spec ?? {});
  if (spec === undefined) return closedForm(object);
  const namespace = object.metadata.namespace ?? 'default';
  const context: RuleContext = { namespace, trustDomains };
  return {
    object,
    namespace,
    name: object.metadata.name,
    action: spec.action ?? 'ALLOW',
    dryRun: object.metadata.annotations?.['istio.io/dry-run'] === 'true',
    selector: spec.selector?.matchLabels ?? {},
    targetRefs: targetsOf(spec),
    rules: (spec.rules ?? []).map((rule) => clausesOf(rule, context)),
  };
}

/** A policy that does not fit its schema must not open what it was to close: it denies all that it may be meant for. */
function closedForm(object: KubeObject): AuthorizationPolicyForm | undefined {
  const { metadata, spec = {} } = object;
  const { action, selector, targetRef, targetRefs } = isRecord(spec) ? spec : {};
  if (action === 'AUDIT') return undefined;
  const scope = read(authorizationPolicySpec, { selector, targetRef, targetRefs }) ?? {};
  return {
    object,
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    action: action === 'DENY' || action === 'CUSTOM' ? 'DENY' : 'ALLOW',
    dryRun: false,
    selector: scope.selector?.matchLabels ?? {},
    targetRefs: targetsOf(scope),
    rules: action === 'DENY' || action === 'CUSTOM' ? [[]] : [],
  };
}

const targetsOf = ({ targetRef, targetRefs = [] }: AuthorizationPolicySpec): readonly TargetRef[] =>
  targetRef === undefined ? targetRefs : [targetRef, ...targetRefs];

/**
 * The rules as a waypoint decides them: everything. A condition that no proxy of ours can decide closes the policy:
 * its rule never allows, and denies without it.
 */
export function l7Rules(form: AuthorizationPolicyForm): Rule[] {
  return form.rules.flatMap((clauses) => {
    if (form.action !== 'ALLOW') return [ruleOf(clauses, (one) => one.wide)];
    return canHold(clauses) ? [ruleOf(clauses, (one) => one.narrow)] : [];
  });
}

export interface L4Rules {
  readonly rules: readonly Rule[];
  /** Names of fields and keys that the node agent cannot decide, sorted. */
  readonly unsupported: readonly string[];
  /** Some rule can still match. */
  readonly enforceable: boolean;
}

/**
 * The rules as the node agent decides them. An ALLOW rule with anything it cannot decide is dropped whole; a DENY rule
 * keeps what it can decide, and one that has a clause with nothing left never fires, as in Istio.
 */
export function l4Rules(form: AuthorizationPolicyForm): L4Rules {
  const unsupported = new Set<string>();
  const rules: Rule[] = [];
  for (const clauses of form.rules) {
    const beyond = clauses.flatMap((clause) => clause.matches.flat()).filter((one) => !one.l4);
    for (const one of beyond) for (const name of one.fields) unsupported.add(name);
    if (form.action !== 'ALLOW') rules.push(ruleOf(clauses.filter(hasDoubt), (one) => (one.l4 ? one.wide : undefined)));
    else if (beyond.length === 0 && canHold(clauses)) rules.push(ruleOf(clauses, (one) => one.narrow));
  }
  const enforceable = rules.some((rule) =>
    rule.clauses.every((clause) => clause.matches.some((match) => match.conditions.length > 0)),
  );
  return { rules: rules.map(withoutGlobs), unsupported: [...unsupported].sort(), enforceable };
}

/** False when some condition of an ALLOW rule never holds: then the rule never allows, rather than without it. */
const canHold = (clauses: readonly NamedClause[]): boolean =>
  clauses.every((clause) => clause.matches.every((match) => match.every((one) => one.narrow !== undefined)));

/**
 * False for a clause that holds whatever comes, as one of its matches has nothing but unreadable values where the node
 * agent looks. The agent takes an empty match for one that never holds, so the whole clause goes.
 */
const hasDoubt = ({ matches }: NamedClause): boolean =>
  !matches.some((match) => match.some((one) => one.l4) && match.every((one) => !one.l4 || one.wide === undefined));

const ruleOf = (clauses: readonly NamedClause[], reading: (one: NamedCondition) => Condition | undefined): Rule => ({
  clauses: clauses.map(({ origin, matches }) => ({
    origin,
    matches: matches.map((conditions) => ({
      conditions: conditions.flatMap((one) => reading(one) ?? []),
    })),
  })),
});

/** The L4 wire knows no wildcard inside a value: Istio sends it as plain text there, which matches no namespace. */
const withoutGlobs = (rule: Rule): Rule => ({
  clauses: rule.clauses.map((clause) => ({
    ...clause,
    matches: clause.matches.map((match) => ({
      conditions: match.conditions.map((condition) => ({
        ...condition,
        values: condition.values.map(plain),
        notValues: condition.notValues.map(plain),
      })),
    })),
  })),
});

type Value = Rule['clauses'][number]['matches'][number]['conditions'][number]['values'][number];

const plain = (value: Value): Value => (value.kind === 'glob' ? { ...value, kind: 'exact' } : value);
