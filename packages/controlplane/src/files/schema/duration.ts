import { type Schema, textOf } from './schema.ts';

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of `10s`, `1.5h`, `1m30s`; undefined when it is no duration. */
export function parseDuration(value: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount = '0', unit = 's'] of value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
    total += Number(amount) * (UNITS[unit] ?? 0);
  return total;
}

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
