import type { Output } from './output.ts';
import type { Context } from './context.ts';

/** One option of a command. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** Name of its value in the help; without one the flag is a switch. */
  readonly value?: string;
  readonly multiple?: boolean;
  /** A switch that may also be spelled `--name=WORD` with one of these words, as kubectl's --dry-run. */
  readonly words?: readonly string[];
  readonly summary: string;
}

/** One verb, or a group of verbs. What the help prints is all here. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** What stands behind the name, such as `KIND [NAME]`. */
  readonly usage?: string;
  readonly examples?: readonly (readonly [what: string, command: string])[];
  readonly flags?: readonly Flag[];
  readonly commands?: readonly Command[];
  /** What follows `--` is kept apart, as the command line of another program. */
  readonly passesRest?: true;
  /** @returns the exit code. */
  run?(invocation: Invocation): Promise<number>;
}

/** A command line after parsing: positional words, everything behind `--`, and the flags. */
export interface Invocation {
  readonly args: readonly string[];
  readonly rest: readonly string[];
  readonly flags: FlagValues;
  readonly out: Output;
  readonly context: Context;
}

/** Typed access to parsed flags. */
export class FlagValues {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The last value given, or undefined. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

/** Exit codes, as istioctl's. */
export const EXIT = { ok: 0, failed: 1, usage: 64, invalid: 65 } as const;

/** A command line that cannot be understood: printed with the usage, exit code 64. */
export class UsageError extends Error {
  /** The command that was meant, as far as it was understood; undefined when the command itself complains. */
  readonly path: readonly Command[] | undefined;

  constructor(message: string, path?: readonly Command[]) {
    super(message);
    this.name = 'UsageError';
    this.path = path;
  }
}
