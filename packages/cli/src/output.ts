import { stringify } from 'yaml';
import { UsageError } from './command.ts';
import { alignColumns } from './table.ts';

type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold';

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** A stream to write to; `isTTY` decides about colour and about progress that rewrites its line. */
export interface Terminal {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** Everything a command prints: results to stdout, remarks and progress to stderr, colour only on a terminal. */
export class Output {
  readonly #stdout: Terminal;
  readonly #stderr: Terminal;
  readonly #colour: boolean;

  constructor(options: { stdout: Terminal; stderr: Terminal; colour: boolean }) {
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.#colour = options.colour;
  }

  line(text: string): void {
    this.#stdout.write(`${text}\n`);
  }

  raw(text: string): void {
    this.#stdout.write(text);
  }

  /** A remark that is no result: does not disturb pipes. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  noteRaw(text: string): void {
    this.#stderr.write(text);
  }

  error(text: string): void {
    this.#stderr.write(`${this.paint('red', 'error:')} ${text}\n`);
  }

  table(header: readonly string[], rows: readonly (readonly string[])[], gap = 5): void {
    for (const line of alignColumns([header, ...rows], gap)) this.line(line);
  }

  paint(colour: Colour, text: string): string {
    return this.#colour && this.#stdout.isTTY === true ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value, undefined, 2));
  }

  yaml(value: unknown): void {
    this.raw(stringify(value, { lineWidth: 0 }));
  }
}

export type Format = 'table' | 'wide' | 'json' | 'yaml' | 'name';

const FORMATS: readonly Format[] = ['table', 'wide', 'json', 'yaml', 'name'];

/** Reads `-o`; throws UsageError for anything else than `allowed`. */
export function parseFormat(text: string | undefined, allowed: readonly Format[] = FORMATS): Format {
  if (text === undefined) return 'table';
  const format = allowed.find((one) => one === text);
  if (format === undefined)
    throw new UsageError(
      `unknown output format "${text}"; expected ${allowed.filter((one) => one !== 'table').join('|')}`,
    );
  return format;
}
