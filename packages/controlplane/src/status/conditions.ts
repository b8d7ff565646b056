import { choice, integer, list, object, type Schema, text } from '../files/schema/schema.ts';

/** A condition before it has a time. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

/** A condition as it stands in a status. */
export interface TimedCondition extends Condition {
  readonly lastTransitionTime: string;
}

/**
 * The conditions of an object after ours changed. Conditions of other writers stay as they are; ours that no longer apply
 * go; the time changes only with the status of the condition.
 *
 * @param owned the types that this writer decides.
 */
export function mergeConditions(
  before: readonly TimedCondition[],
  wanted: readonly Condition[],
  owned: ReadonlySet<string>,
  now: string,
): TimedCondition[] {
  const foreign = before.filter((one) => !owned.has(one.type));
  const ours = wanted.map((one) => {
    const known = before.find((other) => other.type === one.type);
    return { ...one, lastTransitionTime: known?.status === one.status ? known.lastTransitionTime : now };
  });
  return [...foreign, ...ours];
}

/** Conditions as an object's status holds them. */
export const conditionsSchema: Schema<readonly TimedCondition[]> = list(
  object<TimedCondition>(
    {
      type: text,
      status: choice('True', 'False', 'Unknown'),
      reason: text,
      message: text,
      lastTransitionTime: text,
      observedGeneration: integer(0, Number.MAX_SAFE_INTEGER),
    },
    { required: ['type', 'status'] },
  ),
);
