export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Growth per failure, 2 when absent. */
  readonly factor?: number;
  /** Part of the delay that is random, both ways: 0.2 gives ±20 %. None when absent. */
  readonly jitter?: number;
  readonly random?: () => number;
}

/** How long to wait before the next attempt: grows with each failure, never above `maxMs`. */
export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #jitter: number;
  readonly #random: () => number;
  #nextMs: number;

  constructor(options: BackoffOptions) {
    this.#initialMs = options.initialMs;
    this.#maxMs = options.maxMs;
    this.#factor = options.factor ?? 2;
    this.#jitter = options.jitter ?? 0;
    this.#random = options.random ?? Math.random;
    this.#nextMs = options.initialMs;
  }

  /** The delay for the failure that just happened, in milliseconds. */
  next(): number {
    const base = this.#nextMs;
    this.#nextMs = Math.min(this.#maxMs, base * this.#factor);
    const spread = base * this.#jitter * (this.#random() * 2 - 1);
    return Math.min(this.#maxMs, Math.max(0, base + spread));
  }

  /** Starts over: the last attempt succeeded. */
  reset(): void {
    this.#nextMs = this.#initialMs;
  }
}
