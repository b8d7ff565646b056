import { MeshError } from '../errors.ts';
import { durationMs } from './duration.ts';

/** Reads one value from its text. `accepts` completes the sentence "accepted: …". */
export interface EnvParser<T> {
  readonly accepts: string;
  /** Undefined: the text is not accepted. */
  readonly read: (text: string) => T | undefined;
}

/** One knob. `default` counts when the variable is not set. */
export interface EnvRow<T> {
  readonly env: string;
  readonly parse: EnvParser<T>;
  readonly default: T;
  readonly doc: string;
}

export type EnvTable = Readonly<Record<string, EnvRow<unknown>>>;

/** The object a table describes. */
export type EnvConfig<Table extends EnvTable> = {
  readonly [Key in keyof Table]: Table[Key] extends EnvRow<infer T> ? T : never;
};

/** Makes a row with the type of its parser, widened by that of the default. */
export const row = <T, D>(env: string, parse: EnvParser<T>, defaultValue: D, doc: string): EnvRow<T | D> => ({
  env,
  parse,
  default: defaultValue,
  doc,
});

export const text: EnvParser<string> = { accepts: 'any text', read: (value) => value };

/** Exactly `true` or `false`. */
export const boolean: EnvParser<boolean> = {
  accepts: 'true or false',
  read: (value) => (value === 'true' ? true : value === 'false' ? false : undefined),
};

export const integer = (min: number, max: number): EnvParser<number> => ({
  accepts: `a whole number from ${min} to ${max}`,
  read: (value) => {
    const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max ? number : undefined;
  },
});

export const port: EnvParser<number> = { ...integer(0, 65_535), accepts: 'a port from 0 to 65535' };

export const choice = <T extends string>(...values: readonly T[]): EnvParser<T> => ({
  accepts: values.join(', '),
  read: (value) => values.find((one) => one === value),
});

/** One blank may follow each part. */
const BLANK_AFTER_PART = /(?<=[a-zµ]) (?=\d|$)/g;

/** `30s`, `5m`, `1h30m`, `100ms`; gives milliseconds. */
export const duration: EnvParser<number> = {
  accepts: 'a duration such as 30s, 5m or 1h30m',
  read: (value) => (value === '0' ? 0 : durationMs(value.replaceAll(BLANK_AFTER_PART, ''))),
};

/**
 * Reads a program's whole configuration at once, frozen.
 * @throws MeshError CONFIG listing every variable that is not understood, with the value seen and what is accepted.
 */
export function parseEnv<const Table extends EnvTable>(
  table: Table,
  env: Readonly<Record<string, string | undefined>>,
): EnvConfig<Table>;
export function parseEnv(
  table: EnvTable,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, { env: variable, parse, default: fallback }] of Object.entries(table)) {
    const seen = env[variable];
    const value = seen === undefined ? fallback : parse.read(seen);
    if (seen !== undefined && value === undefined)
      problems.push(`${variable}=${JSON.stringify(seen)} (accepted: ${parse.accepts})`);
    values[name] = value;
  }
  if (problems.length > 0)
    throw new MeshError('CONFIG', `environment variables are not understood: ${problems.join('; ')}`);
  return Object.freeze(values);
}

/** The knobs as rows of a Markdown table: variable, default, meaning, accepted values. */
export function describeEnv(table: EnvTable): string {
  const rows = Object.values(table).map(
    (one) =>
      `| ${one.env} | ${one.default === undefined ? '–' : `\`${JSON.stringify(one.default)}\``} | ${one.doc} | ${one.parse.accepts} |`,
  );
  return ['| Variable | Default | Meaning | Accepted |', '|---|---|---|---|', ...rows].join('\n');
}
