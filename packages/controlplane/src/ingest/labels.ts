import type { LabelSelector } from '../files/schema/gateway.ts';

export type Labels = Readonly<Record<string, string>>;

/** True when the selector names at least one label and all of them are there. */
export function selects(matchLabels: Labels | undefined, labels: Labels | undefined): boolean {
  const wanted = Object.entries(matchLabels ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels?.[key] === value);
}

/** Kubernetes' label selector; an empty one selects everything. */
export function matchesSelector(selector: LabelSelector, labels: Labels | undefined): boolean {
  const equal = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels?.[key] === value);
  return equal && (selector.matchExpressions ?? []).every((one) => matchesExpression(one, labels?.[one.key]));
}

function matchesExpression(
  { operator, values = [] }: NonNullable<LabelSelector['matchExpressions']>[number],
  value: string | undefined,
): boolean {
  if (operator === 'Exists') return value !== undefined;
  if (operator === 'DoesNotExist') return value === undefined;
  const among = value !== undefined && values.includes(value);
  return operator === 'In' ? among : !among;
}
