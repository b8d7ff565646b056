import type { LogFields, ScopedLogger } from '@ambit/common/telemetry/log';

/** Lines that one interval may have. */
const MAX_LINES = 20;
const INTERVAL_MS = 10_000;

/**
 * One line per refusal on the tunnel port, as long as they are few. A flood is counted instead: what was not written
 * is told in one line when the interval is over.
 */
export class Refusals {
  readonly #log: Pick<ScopedLogger, 'warn'>;
  readonly #now: () => number;
  #since = -Infinity;
  #lines = 0;
  readonly #suppressed = new Map<string, number>();

  /** @param now milliseconds of a clock that never jumps. */
  constructor(log: Pick<ScopedLogger, 'warn'>, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** @param message constant, such as `tunnel refused`: suppressed lines are counted by it. */
  refused(message: string, fields: LogFields): void {
    this.tick();
    if (this.#lines >= MAX_LINES) {
      this.#suppressed.set(message, (this.#suppressed.get(message) ?? 0) + 1);
      return;
    }
    this.#lines++;
    this.#log.warn(message, fields);
  }

  /** Closes an interval that is over. Called every second or so, too, for a flood may be followed by silence. */
  tick(): void {
    const now = this.#now();
    if (now - this.#since < INTERVAL_MS) return;
    this.#since = now;
    this.#lines = 0;
    for (const [what, count] of this.#suppressed) {
      this.#log.warn('further refusals were not logged', { what, count, seconds: INTERVAL_MS / 1000 });
    }
    this.#suppressed.clear();
  }
}
