/** Where a value stands in its document: keys and indexes from the root. */
export type Path = readonly (string | number)[];

/** One thing that is wrong, or not as the writer may think, at one place of a document. */
export interface Problem {
  readonly path: Path;
  /** `key` points at the name of the field, `value` at what it holds. */
  readonly at: 'key' | 'value';
  readonly message: string;
}

/**
 * Collects what a check finds. `strict` is for what people write: it refuses unknown fields and applies the rules across
 * fields. Without it only the shape counts, as for objects that an API server has accepted.
 */
export interface Report {
  readonly strict: boolean;
  readonly errors: Problem[];
  readonly warnings: Problem[];
}

export const newReport = (strict: boolean): Report => ({ strict, errors: [], warnings: [] });

export function refuse(report: Report, path: Path, message: string, at: Problem['at'] = 'value'): false {
  report.errors.push({ path, at, message });
  return false;
}

export function warn(report: Report, path: Path, message: string, at: Problem['at'] = 'value'): void {
  report.warnings.push({ path, at, message });
}

/** A check of untyped data; data that passes it is a `T`. */
export interface Schema<T> {
  /** What a person should have written: `an integer`, `a list`. */
  readonly expects: string;
  check(value: unknown, path: Path, report: Report): boolean;
  /** What lies below: the fields of an object, the entries of a list or map. Tests walk it, so that no field is forgotten. */
  readonly inner?: Inner;
  /** Of a field that changes nothing here: what happens instead. */
  readonly instead?: string;
  /** Never set: carries the type only. */
  readonly type?: T;
}

export interface Inner {
  readonly fields?: ReadonlyMap<string, Schema<unknown>>;
  readonly entries?: Schema<unknown>;
}

/**
 * A field that may be written, and is checked, but changes nothing here: whoever writes it is told what happens instead.
 * @param unless values that mean just what happens anyway: nothing is said of them.
 */
export function notRun<T>(schema: Schema<T>, instead: string, unless?: (value: unknown) => boolean): Schema<T> {
  return {
    expects: schema.expects,
    instead,
    check: (value, path, report) => {
      const below = { strict: report.strict, errors: report.errors, warnings: [] };
      const fits = schema.check(value, path, below);
      if (fits && unless?.(value) !== true) warnNotRun(path, instead, report);
      return fits;
    },
  };
}

/** Says that the field or value at `path` changes nothing here. */
export function warnNotRun(path: Path, instead: string, report: Report): void {
  const field = path.findLast((step) => typeof step === 'string') ?? '';
  warn(report, path, `${field} is accepted but has no effect here: ${instead}`, 'key');
}

/** The value as its schema types it, or undefined when it does not fit; unknown fields are left alone. */
export function read<T>(schema: Schema<T>, value: unknown): T | undefined {
  return schema.check(value, [], newReport(false)) ? (value as T) : undefined;
}

const scalar = <T>(expects: string, fits: (value: unknown) => boolean): Schema<T> => ({
  expects,
  check: (value, path, report) => fits(value) || refuse(report, path, `expected ${expects}, found ${found(value)}`),
});

export const text: Schema<string> = scalar('text', (value) => typeof value === 'string');
export const boolean: Schema<boolean> = scalar('true or false', (value) => typeof value === 'boolean');
export const number: Schema<number> = scalar('a number', (value) => typeof value === 'number');
/** Whatever stands there: used below a field that is accepted but not run. */
export const anything: Schema<unknown> = { expects: 'anything', check: () => true };

export function integer(min = 0, max = 0xffff_ffff): Schema<number> {
  const expects = `an integer from ${min} to ${max}`;
  return scalar(expects, (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max);
}

export const port: Schema<number> = integer(1, 65_535);

/** Text that must also pass `fits`. */
export const textOf = (expects: string, fits: (value: string) => boolean): Schema<string> =>
  scalar(expects, (value) => typeof value === 'string' && fits(value));

export function choice<const T extends string>(...words: readonly T[]): Schema<T> {
  const known: readonly string[] = words;
  return scalar(`one of ${words.join(', ')}`, (value) => typeof value === 'string' && known.includes(value));
}

/** Either schema; the message names both. */
export const either = <A, B>(a: Schema<A>, b: Schema<B>): Schema<A | B> =>
  scalar(`${a.expects} or ${b.expects}`, (value) => [a, b].some((one) => one.check(value, [], newReport(false))));

export function list<T>(item: Schema<T>, limits: { min?: number; max?: number } = {}): Schema<readonly T[]> {
  const { min = 0, max = 4096 } = limits;
  return {
    expects: 'a list',
    inner: { entries: item },
    check: (value, path, report) => {
      if (!Array.isArray(value)) return refuse(report, path, `expected a list, found ${found(value)}`);
      if (value.length < min || value.length > max)
        return refuse(report, path, `expected ${min} to ${max} entries, found ${value.length}`);
      let fits = true;
      value.forEach((entry, i) => (fits = item.check(entry, [...path, i], report) && fits));
      return fits;
    },
  };
}

/** An object whose keys are the writer's own, such as labels. */
export function map<T>(
  item: Schema<T>,
  key?: (name: string) => string | undefined,
): Schema<Readonly<Record<string, T>>> {
  return {
    expects: 'an object',
    inner: { entries: item },
    check: (value, path, report) => {
      if (!isRecord(value)) return refuse(report, path, `expected an object, found ${found(value)}`);
      let fits = true;
      for (const [name, entry] of Object.entries(value)) {
        const bad = key?.(name);
        if (bad !== undefined) fits = refuse(report, [...path, name], bad, 'key');
        fits = item.check(entry, [...path, name], report) && fits;
      }
      return fits;
    },
  };
}

type Fields<T> = { readonly [K in keyof T]-?: Schema<Exclude<T[K], undefined>> };

export interface ObjectOptions<T> {
  readonly required?: readonly (keyof T & string)[];
  /** Fields that Kubernetes or Istio know and Ambit does not act on, with what happens instead: accepted with a warning. */
  readonly notRun?: Readonly<Record<string, string>>;
  /** Fields that others read, or that only servers write: accepted as they are. */
  readonly accepted?: readonly string[];
  /** Checks across fields of what people write; called only when every field fits its own schema. */
  readonly rules?: (value: T, path: Path, report: Report) => void;
}

/** An object with these fields and, where the report is strict, no others. */
export function object<T>(fields: Fields<T>, options: ObjectOptions<T> = {}): Schema<T> {
  const known = new Map<string, Schema<unknown>>(Object.entries(fields));
  const silent = Object.entries(options.notRun ?? {}).map(
    ([name, instead]) => [name, notRun(anything, instead)] as const,
  );
  const further = new Map([...silent, ...(options.accepted ?? []).map((name) => [name, anything] as const)]);
  return {
    expects: 'an object',
    inner: { fields: new Map([...known, ...further]) },
    check: (value, path, report) => {
      if (!isRecord(value)) return refuse(report, path, `expected an object, found ${found(value)}`);
      let fits = true;
      for (const [name, entry] of Object.entries(value)) {
        const field = known.get(name) ?? further.get(name);
        if (field === undefined) fits = unknownField(name, path, report) && fits;
        else if (isThere(entry)) fits = field.check(entry, [...path, name], report) && fits;
      }
      fits = required(value, path, report) && fits;
      return fits && obeysRules(value as T, path, report);
    },
  };

  function obeysRules(value: T, path: Path, report: Report): boolean {
    const errors = report.errors.length;
    if (report.strict) options.rules?.(value, path, report);
    return report.errors.length === errors;
  }

  function required(value: Record<string, unknown>, path: Path, report: Report): boolean {
    const missing = (options.required ?? []).filter((name) => !isThere(value[name]));
    for (const name of missing)
      refuse(report, path, `${name} is missing: expected ${known.get(name)?.expects ?? 'a value'}`);
    return missing.length === 0;
  }

  function unknownField(name: string, path: Path, report: Report): boolean {
    const at = [...path, name];
    if (!report.strict) return true;
    const close = nearest(name, [...known.keys()]);
    const hint =
      close === undefined ? `expected one of ${[...known.keys()].sort().join(', ')}` : `did you mean ${close}?`;
    return refuse(report, at, `unknown field ${name}; ${hint}`, 'key');
  }
}

const isThere = (value: unknown): boolean => value !== null && value !== undefined;

/** True for text that says something: an empty field means the same as none. */
export const isSet = (value: string | undefined): value is string => value !== undefined && value !== '';

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** How messages name what was found instead. */
export function found(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string')
    return `the text ${JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)}`;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}

/** The known name that differs by case or by at most two letters. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  return known.find((one) => one.toLowerCase() === lower || distance(one.toLowerCase(), lower) <= 2);
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
