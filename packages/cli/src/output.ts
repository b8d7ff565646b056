import type { SourceProblem } from '@ambit/standalone/api/client';
import { stringify } from 'yaml';
import { UsageError } from './command.ts';
import { Progress, type Terminal } from './progress.ts';
import { alignColumns } from './table.ts';

export type { Terminal } from './progress.ts';

type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold';

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** Everything a command prints: results to stdout, remarks and progress to stderr, colour only on a terminal. */
export class Output {
  readonly #stdout: Terminal;
  readonly #stderr: Terminal;
  readonly #colour: boolean;
  readonly #progress: Progress;

  constructor(options: { stdout: Terminal; stderr: Terminal; colour: boolean; now?: () => number }) {
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.#colour = options.colour;
    this.#progress = new Progress({
      terminal: options.stderr,
      colour: options.colour,
      now: options.now ?? (() => performance.now()),
    });
  }

  line(text: string): void {
    this.raw(`${text}\n`);
  }

  raw(text: string | Uint8Array): void {
    this.#progress.erase();
    this.#stdout.write(text);
  }

  /** A remark that is no result: does not disturb pipes. */
  note(text: string): void {
    this.noteRaw(`${text}\n`);
  }

  noteRaw(text: string | Uint8Array): void {
    this.#progress.erase();
    this.#stderr.write(text);
  }

  error(text: string): void {
    this.note(`${paint('red', 'error:', this.#colour && this.#stderr.isTTY === true)} ${text}`);
  }

  /** What is being waited for: one line that is rewritten on a terminal, a line for each new text elsewhere. */
  progress(text: string): void {
    this.#progress.show(text);
  }

  /** Takes the progress line off the terminal. */
  endProgress(): void {
    this.#progress.erase();
  }

  table(header: readonly string[], rows: readonly (readonly string[])[], gap = 5): void {
    for (const line of alignColumns([header, ...rows], gap)) this.line(line);
  }

  /** Colours text for standard output. */
  paint(colour: Colour, text: string): string {
    return paint(colour, text, this.#colour && this.#stdout.isTTY === true);
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value, undefined, 2));
  }

  /** YAML as kubectl prints it: what a YAML 1.1 reader could take for something else than text is quoted. */
  yaml(value: unknown): void {
    this.raw(stringify(value, { lineWidth: 0, version: '1.1', indentSeq: false, aliasDuplicateObjects: false }));
  }
}

const paint = (colour: Colour, text: string, wanted: boolean): string =>
  wanted ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;

/** `file:line:column: field: what is wrong`, a form that editors jump to. */
export const problemText = (one: SourceProblem): string =>
  `${one.file}:${one.line}:${one.column}: ${one.field === '' ? '' : `${one.field}: `}${one.message}`;

export type Format = 'table' | 'wide' | 'json' | 'yaml' | 'name';

const FORMATS: readonly Format[] = ['table', 'wide', 'json', 'yaml', 'name'];

/** Reads `-o`; throws UsageError for anything else than `allowed`. */
export function parseFormat(text: string | undefined, allowed: readonly Format[] = FORMATS): Format {
  if (text === undefined) return 'table';
  const format = allowed.find((one) => one === text && one !== 'table');
  if (format === undefined)
    throw new UsageError(
      `unknown output format "${text}"; expected ${allowed.filter((one) => one !== 'table').join('|')}`,
    );
  return format;
}
