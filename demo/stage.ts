import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** What one command printed and how it ended. */
export interface Ran {
  readonly output: string;
  readonly code: number;
}

export interface Expectation {
  /** Exit code of the command, 0 unless said. */
  readonly code?: number;
  /** Each must be found in the output. */
  readonly output?: readonly RegExp[];
  /** None may be found in it. */
  readonly absent?: readonly RegExp[];
  /** A line that appears in this program's log because of the command. */
  readonly log?: { readonly of: string; readonly namespace?: string; readonly line: RegExp };
  /** Try again until everything fits, for so long: the mesh takes a moment to carry a change to its proxies. */
  readonly withinMs?: number;
  /** Print only the last lines of the output. */
  readonly tail?: number;
}

const CLI = join(import.meta.dirname, '../packages/cli/src/main.ts');
const RETRY_MS = 250;
const MAX_LINES = 40;

/** Types commands as a person would, shows what they print and the log lines they caused, and keeps count of what did not come as told. */
export class Stage {
  readonly #env: NodeJS.ProcessEnv;
  readonly #colour: boolean;
  readonly #seen = new Map<string, number>();
  readonly failures: string[] = [];

  constructor(stateDir: string) {
    this.#env = { ...process.env, AMBIT_STATE: stateDir, NO_COLOR: '1' };
    this.#colour = process.stdout.isTTY && !process.env['NO_COLOR'];
  }

  title(number: number, text: string): void {
    console.log(`\n${this.#paint(1, `${number}. ${text}`)}`);
  }

  say(text: string): void {
    console.log(this.#paint(2, `   ${text}`));
  }

  /** Runs one command line that begins with `ambit`, prints it and its output, and checks what was expected. */
  async type(line: string, expected: Expectation = {}): Promise<Ran> {
    console.log(`   ${this.#paint(36, `$ ${line}`)}`);
    const deadline = Date.now() + (expected.withinMs ?? 0);
    for (;;) {
      const ran = await this.run(splitWords(line).slice(1));
      const log = expected.log === undefined ? undefined : await this.#logLine(expected.log);
      const problems = [
        ...outputProblems(ran, expected),
        ...(expected.log !== undefined && log === undefined
          ? [`no log line ${expected.log.line} of ${expected.log.of}`]
          : []),
      ];
      if (problems.length > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        continue;
      }
      this.#print(ran, expected.tail);
      if (log !== undefined) console.log(this.#paint(33, `   log of ${expected.log?.of}: `) + log);
      for (const problem of problems) this.fail(`${line}: ${problem}`);
      return ran;
    }
  }

  fail(problem: string): void {
    this.failures.push(problem);
    console.log(this.#paint(31, `   NOT AS TOLD: ${problem}`));
  }

  /** Runs the command line program with these words, printing nothing. */
  run(words: readonly string[]): Promise<Ran> {
    return this.start(words).ended;
  }

  /** The same in the background; `speaking` resolves with its first output. */
  start(words: readonly string[]): { readonly speaking: Promise<void>; readonly ended: Promise<Ran> } {
    const child = spawn(process.execPath, [CLI, ...words], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const spoke = Promise.withResolvers<void>();
    const collect = (chunk: Buffer): void => {
      output += chunk.toString();
      spoke.resolve();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const ended = new Promise<Ran>((resolve) => child.once('close', (code) => resolve({ output, code: code ?? 1 })));
    return { speaking: Promise.race([spoke.promise, ended.then(() => undefined)]), ended };
  }

  /** The newest line of a program's log that fits and was not shown before; waits a moment for it. */
  async #logLine(wanted: { of: string; namespace?: string; line: RegExp }): Promise<string | undefined> {
    const where = `${wanted.namespace ?? 'default'}/${wanted.of}`;
    for (let attempt = 0; attempt < 8; attempt++) {
      const { output } = await this.run(['logs', wanted.of, '-n', wanted.namespace ?? 'default']);
      const lines = output.split('\n');
      const from = this.#seen.get(where) ?? 0;
      const found = lines.findLastIndex((line, i) => i >= from && wanted.line.test(line));
      if (found >= 0) {
        this.#seen.set(where, found + 1);
        return lines[found];
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    return undefined;
  }

  #print(ran: Ran, tail: number | undefined): void {
    const lines = ran.output.trimEnd().split('\n');
    const shown = tail === undefined ? lines.slice(0, MAX_LINES) : lines.slice(-tail);
    if (ran.output.trim() !== '') for (const line of shown) console.log(`   ${line}`);
    if (tail === undefined && lines.length > MAX_LINES) this.say(`… ${lines.length - MAX_LINES} more lines`);
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

function outputProblems(ran: Ran, expected: Expectation): string[] {
  const problems: string[] = [];
  if (ran.code !== (expected.code ?? 0)) problems.push(`ended with ${ran.code}, expected ${expected.code ?? 0}`);
  for (const wanted of expected.output ?? [])
    if (!wanted.test(ran.output)) problems.push(`printed nothing like ${wanted}`);
  for (const absent of expected.absent ?? []) if (absent.test(ran.output)) problems.push(`printed ${absent}`);
  return problems;
}

/** Words of a command line; quotes keep blanks together. */
function splitWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}
