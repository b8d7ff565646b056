import { type LogFields, jsonLine, plainLine } from './log-format.ts';
import { lineWriter } from './log-output.ts';
import { type Directives, type LogLevel, formatDirectives, parseDirectives, rankFor, rankOf } from './log-level.ts';

export type { LogFields } from './log-format.ts';
export type { LogLevel } from './log-level.ts';

const STANDARD_OUTPUT = 1;

export interface LoggerOptions {
  /** Directives as RUST_LOG spells them: `info` or `access=debug,info`. */
  readonly level: string;
  readonly format: 'plain' | 'json';
  /** Receives each line without its newline; standard output when absent. */
  readonly write?: (line: string) => void;
  /** Milliseconds since the epoch, with a fraction for microseconds. */
  readonly now?: () => number;
}

/** The log of one part of a program. */
export interface ScopedLogger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  trace(message: string, fields?: LogFields): void;
  /** Whether a line of this level would be written; ask before building costly fields. */
  enabled(level: LogLevel): boolean;
}

/** One structured line per event; levels by scope, changeable while the program runs. */
export interface Logger {
  scope(name: string): ScopedLogger;
  /** The directives in force, most specific first. */
  level(): string;
  /** Replaces all directives. @throws MeshError CONFIG naming the clause that is not understood; then nothing changes. */
  setLevel(directives: string): void;
  /** Writes a line as it is, whatever the level: an access log has its own format. */
  raw(line: string): void;
}

/**
 * Makes the logger of a program.
 *
 * The lines are made here: the order of their keys is part of the format that people's parsers read, and pino's JSON puts
 * the message last. Agent and waypoint also write them without pino, whose file writer costs a process 4.5 MB of memory and
 * `log-output.ts` 0.3 MB; the standalone mesh, which has no such bound, passes pino's writer as `write`.
 */
export function createLogger(options: LoggerOptions): Logger {
  const write = options.write ?? lineWriter(STANDARD_OUTPUT);
  const now = options.now ?? wallClock();
  const render = options.format === 'json' ? jsonLine : plainLine;
  let directives: Directives = parseDirectives(options.level);
  const scopes = new Map<string, Scoped>();
  const scope = (name: string): Scoped => {
    const known = scopes.get(name);
    if (known !== undefined) return known;
    const made = new Scoped(rankFor(directives, name), (level, message, fields) =>
      write(render({ time: timestamp(now()), level, scope: name, message, fields })),
    );
    scopes.set(name, made);
    return made;
  };
  return {
    scope,
    raw: write,
    level: () => formatDirectives(directives),
    setLevel: (text) => {
      directives = parseDirectives(text);
      for (const [name, one] of scopes) one.setRank(rankFor(directives, name));
    },
  };
}

type Emit = (level: LogLevel, message: string, fields: LogFields | undefined) => void;

class Scoped implements ScopedLogger {
  #rank: number;
  readonly #emit: Emit;

  constructor(rank: number, emit: Emit) {
    this.#rank = rank;
    this.#emit = emit;
  }

  setRank(rank: number): void {
    this.#rank = rank;
  }

  enabled(level: LogLevel): boolean {
    return rankOf(level) <= this.#rank;
  }

  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }

  trace(message: string, fields?: LogFields): void {
    this.#log('trace', message, fields);
  }

  #log(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (rankOf(level) <= this.#rank) this.#emit(level, message, fields);
  }
}

/** RFC 3339, UTC, microseconds: `2026-01-02T03:04:05.678901Z`. */
function timestamp(ms: number): string {
  const micros = Math.round(ms * 1000);
  const whole = new Date(Math.floor(micros / 1000)).toISOString();
  return `${whole.slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`;
}

/** The wall clock with the resolution of the monotonic one; follows when the wall clock is set. */
function wallClock(): () => number {
  let offset = Date.now() - performance.now();
  return () => {
    const precise = offset + performance.now();
    const coarse = Date.now();
    if (Math.abs(precise - coarse) <= 2) return precise;
    offset = coarse - performance.now();
    return coarse;
  };
}
