import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../collections/object.ts';
import type { ObjectWriter } from '../collections/object-writer.ts';
import { read } from '../files/schema/schema.ts';
import { type Condition, conditionsSchema, mergeConditions, type TimedCondition } from './conditions.ts';

/** What one object's status should say, in the part that this control plane decides. */
export interface WantedStatus {
  readonly object: KubeObject;
  readonly conditions: readonly Condition[];
  /** Types of conditions that are ours: those not wanted are removed. */
  readonly owned: ReadonlySet<string>;
  /** Further keys of the status, whole. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** Writes statuses that differ from what the objects say now; conditions of other writers are kept as they are. */
export class StatusWriter {
  readonly #writer: ObjectWriter;
  readonly #now: () => number;

  constructor(writer: ObjectWriter, now: () => number) {
    this.#writer = writer;
    this.#now = now;
  }

  /** @returns false when the object says so already. */
  async write(wanted: WantedStatus): Promise<boolean> {
    const { object } = wanted;
    const before = conditionsOf(object);
    const now = `${new Date(this.#now()).toISOString().slice(0, 19)}Z`;
    const conditions = mergeConditions(before, wanted.conditions, wanted.owned, now);
    const patch: Record<string, unknown> = {};
    if (!isDeepStrictEqual(conditions, before)) patch['conditions'] = conditions.length === 0 ? null : conditions;
    for (const [key, value] of Object.entries(wanted.fields ?? {}))
      if (!isDeepStrictEqual(value, object.status?.[key])) patch[key] = value;
    if (Object.keys(patch).length === 0) return false;
    await this.#writer.patchStatus(object.kind, object.metadata.namespace, object.metadata.name, patch);
    return true;
  }

  /** Times for conditions inside other fields, such as a Gateway's listeners: kept while the status stays. */
  timed(before: readonly TimedCondition[], wanted: readonly Condition[]): TimedCondition[] {
    const now = `${new Date(this.#now()).toISOString().slice(0, 19)}Z`;
    return mergeConditions(before, wanted, new Set([...before, ...wanted].map((one) => one.type)), now);
  }
}

export const conditionsOf = (object: KubeObject): readonly TimedCondition[] =>
  read(conditionsSchema, object.status?.['conditions'] ?? []) ?? [];
