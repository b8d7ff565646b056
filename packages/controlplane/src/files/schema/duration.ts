import { durationMs } from '@ambit/common/config/duration';
import { type Schema, textOf } from './schema.ts';

/** Milliseconds of `10s`, `1.5h`, `1m30s`; undefined when it is no duration. Kubernetes has no days. */
export const parseDuration = (value: string): number | undefined =>
  value.includes('d') ? undefined : durationMs(value);

/** A duration of at least one millisecond. */
export const duration: Schema<string> = textOf(
  'a duration such as 10s, at least 1ms',
  (value) => (parseDuration(value) ?? 0) >= 1,
);

/** A duration, or 0s for none. */
export const durationOrNone: Schema<string> = textOf(
  'a duration such as 10s, or 0s',
  (value) => parseDuration(value) !== undefined,
);
