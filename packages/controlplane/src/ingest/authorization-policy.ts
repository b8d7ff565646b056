import type { Policy, Rule } from '@ambit/common/model/policy';
import type { KubeObject } from '../collections/object.ts';
import {
  type AuthorizationPolicySpec,
  authorizationPolicySpec,
  type TargetRef,
} from '../files/schema/authorization-policy.ts';
import { read } from '../files/schema/schema.ts';
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

/** Reads a policy under the mesh's trust domains; undefined when it does not fit its schema. */
export function ingestAuthorizationPolicy(
  object: KubeObject,
  trustDomains: TrustDomains,
): AuthorizationPolicyForm | undefined {
  const spec = read(authorizationPolicySpec, object.spec ?? {});
  if (spec === undefined) return undefined;
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

const targetsOf = ({ targetRef, targetRefs = [] }: AuthorizationPolicySpec): readonly TargetRef[] =>
  targetRef === undefined ? targetRefs : [targetRef, ...targetRefs];

/**
 * The rules as a waypoint decides them: everything. A condition that no proxy of ours can decide closes the policy:
 * its rule never allows, and denies without it.
 */
export function l7Rules(form: AuthorizationPolicyForm): Rule[] {
  return form.rules.flatMap((clauses) => {
    const undecidable = clauses.some((clause) => clause.matches.flat().some((one) => one.condition === undefined));
    if (undecidable && form.action === 'ALLOW') return [];
    return [ruleOf(clauses, (one) => one.condition !== undefined)];
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
    if (beyond.length > 0 && form.action === 'ALLOW') continue;
    rules.push(ruleOf(clauses, (one) => one.l4));
  }
  const enforceable = rules.some((rule) =>
    rule.clauses.every((clause) => clause.matches.some((match) => match.conditions.length > 0)),
  );
  return { rules: rules.map(withoutGlobs), unsupported: [...unsupported].sort(), enforceable };
}

const ruleOf = (clauses: readonly NamedClause[], keep: (one: NamedCondition) => boolean): Rule => ({
  clauses: clauses.map(({ origin, matches }) => ({
    origin,
    matches: matches.map((conditions) => ({
      conditions: conditions.filter(keep).flatMap((one) => one.condition ?? []),
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
