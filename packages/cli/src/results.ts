import type { Flag } from './command.ts';
import { type Format, type Output, parseFormat } from './output.ts';

/** What a command did to one object. */
export interface Result {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly action: string;
}

export const RESULT_OUTPUT: Flag = {
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  summary: 'json, yaml, name or wide: what was done to which object',
};

/** Prints results as they come, or with json, yaml and wide all together at the end. */
export class Results {
  readonly #out: Output;
  readonly #format: Format;
  readonly #sentence: (result: Result) => string;
  readonly #all: Result[] = [];

  constructor(out: Output, format: string | undefined, sentence: (result: Result) => string) {
    this.#out = out;
    this.#format = parseFormat(format);
    this.#sentence = sentence;
  }

  add(result: Result): void {
    this.#all.push(result);
    if (this.#format === 'table') this.#out.line(this.#sentence(result));
    else if (this.#format === 'name') this.#out.line(objectName(result.kind, result.name));
  }

  end(): void {
    const rows = this.#all.map(({ kind, namespace, name, action }) => ({ kind, namespace, name, action }));
    if (this.#format === 'json') this.#out.json(rows);
    else if (this.#format === 'yaml') this.#out.yaml(rows);
    else if (this.#format === 'wide' && rows.length > 0)
      this.#out.table(
        ['NAMESPACE', 'NAME', 'ACTION'],
        rows.map((one) => [one.namespace ?? '-', objectName(one.kind, one.name), one.action]),
        3,
      );
  }
}

/** `serviceentry/httpbin`, a form that every command takes back. */
export const objectName = (kind: string, name: string): string => `${kind.toLowerCase()}/${name}`;
