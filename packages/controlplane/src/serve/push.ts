import type { CommittedNames } from './resources.ts';

export interface PushOptions {
  /** Pushes when nothing was committed for this long. */
  readonly quietMs: number;
  /** Pushes at the latest this long after the first commit. */
  readonly maxMs: number;
}

/** Time for the debounce; tests pass their own. */
export interface PushClock {
  now(): number;
  /** @returns the function that cancels. */
  after(ms: number, run: () => void): () => void;
}

/** Istio's PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX. */
export const DEFAULT_PUSH: PushOptions = { quietMs: 100, maxMs: 10_000 };

/** Gathers commits that come close together into one push. */
export class PushDebounce {
  readonly #options: PushOptions;
  readonly #clock: PushClock;
  readonly #push: (names: CommittedNames) => void;
  #names = new Map<string, Set<string>>();
  #since = 0;
  #cancel: (() => void) | undefined;

  constructor(options: PushOptions, push: (names: CommittedNames) => void, clock: PushClock = SYSTEM_CLOCK) {
    this.#options = options;
    this.#push = push;
    this.#clock = clock;
  }

  add(names: CommittedNames): void {
    const now = this.#clock.now();
    if (this.#names.size === 0) this.#since = now;
    for (const [typeUrl, added] of names) {
      const known = this.#names.get(typeUrl);
      if (known === undefined) this.#names.set(typeUrl, new Set(added));
      else for (const name of added) known.add(name);
    }
    const left = Math.max(0, this.#since + this.#options.maxMs - now);
    this.#cancel?.();
    this.#cancel = this.#clock.after(Math.min(this.#options.quietMs, left), () => this.#flush());
  }

  /** Drops what waits. */
  stop(): void {
    this.#cancel?.();
    this.#names.clear();
  }

  #flush(): void {
    const names = this.#names;
    this.#names = new Map();
    this.#cancel = undefined;
    this.#push(names);
  }
}

const SYSTEM_CLOCK: PushClock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  },
};
