import { type Command, type Flag, FlagValues, UsageError } from './command.ts';
import { didYouMean } from './suggest.ts';

/** Flags that every command takes. */
export const GLOBAL_FLAGS: readonly Flag[] = [
  { name: 'namespace', short: 'n', value: 'NAME', summary: 'namespace to work in (default: default)' },
  {
    name: 'state',
    value: 'DIR',
    summary: 'state folder of the mesh (default: AMBIT_STATE, else /var/lib/ambit or ~/.local/state/ambit)',
  },
  { name: 'help', short: 'h', summary: 'help for the command' },
];

export interface ParsedLine {
  /** From the root down to the command that was named. */
  readonly path: readonly Command[];
  readonly args: readonly string[];
  readonly rest: readonly string[];
  readonly flags: FlagValues;
}

/** Finds the command and sorts words into flags, arguments and what follows `--`. Throws UsageError. */
export function parseLine(root: Command, words: readonly string[]): ParsedLine {
  const split = words.indexOf('--');
  const own = split < 0 ? [...words] : words.slice(0, split);
  const rest = split < 0 ? [] : words.slice(split + 1);
  const path = [root];
  const args: string[] = [];
  const values = new Map<string, string[]>();
  for (let word = own.shift(); word !== undefined; word = own.shift()) {
    const command = path.at(-1) ?? root;
    if (word.startsWith('-') && word !== '-') named(path, () => takeFlag(word, own, flagsOf(path), values));
    else if (command.commands !== undefined) path.push(named(path, () => subcommand(command, word)));
    else args.push(word);
  }
  const flags = new FlagValues(values);
  if (path.at(-1)?.passesRest === true) return { path, args, rest, flags };
  return { path, args: [...args, ...rest], rest: [], flags };
}

/** A complaint about the words of a command says which command it is about. */
function named<T>(path: readonly Command[], read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(error.message, [...path]) : error;
  }
}

const flagsOf = (path: readonly Command[]): Flag[] => [
  ...GLOBAL_FLAGS,
  ...path.flatMap((command) => command.flags ?? []),
];

function subcommand(command: Command, word: string): Command {
  const found = command.commands?.find((one) => one.name === word);
  if (found !== undefined) return found;
  const names = command.commands?.map((one) => one.name) ?? [];
  throw new UsageError(`unknown command "${word}"${didYouMean(word, names)}`);
}

/** Understands --name, --name=value, --name value, -n value, -nvalue and several switches in one (-Aw). */
function takeFlag(word: string, words: string[], known: readonly Flag[], values: Map<string, string[]>): void {
  if (!word.startsWith('--') && word.length > 2) return takeShortFlags(word, words, known, values);
  const equals = word.indexOf('=');
  const name = equals < 0 ? word : word.slice(0, equals);
  const flag = known.find((one) => `--${one.name}` === name || (one.short !== undefined && `-${one.short}` === name));
  if (flag === undefined) throw new UsageError(`unknown flag: ${name}${flagLike(name, known)}`);
  const given = equals < 0 ? undefined : word.slice(equals + 1);
  store(flag, flag.value === undefined ? switchValue(flag, given) : (given ?? words.shift()), values);
}

const flagLike = (name: string, known: readonly Flag[]): string =>
  didYouMean(
    name,
    known.map((one) => `--${one.name}`),
  );

function takeShortFlags(word: string, words: string[], known: readonly Flag[], values: Map<string, string[]>): void {
  const flag = known.find((one) => one.short === word[1]);
  if (flag === undefined) throw new UsageError(`unknown flag: -${word[1]}`);
  if (flag.value !== undefined) return store(flag, word.slice(2).replace(/^=/, ''), values);
  store(flag, 'true', values);
  takeFlag(`-${word.slice(2)}`, words, known, values);
}

function switchValue(flag: Flag, given: string | undefined): string | undefined {
  if (given === undefined || given === 'true') return 'true';
  if (given === 'false') return undefined;
  if (flag.words?.includes(given) === true) return given;
  throw new UsageError(`--${flag.name} is true or false, not "${given}"`);
}

function store(flag: Flag, value: string | undefined, values: Map<string, string[]>): void {
  if (value === undefined) {
    if (flag.value !== undefined) throw new UsageError(`--${flag.name} needs a value (${flag.value})`);
    values.delete(flag.name);
    return;
  }
  values.set(flag.name, flag.multiple === true ? [...(values.get(flag.name) ?? []), value] : [value]);
}
