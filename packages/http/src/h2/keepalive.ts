export interface KeepaliveOptions {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  ping(): void;
  /** Nothing came from the peer for the whole timeout after a PING. */
  dead(): void;
}

/** Sends a PING every interval and notices a peer that has gone silent. Any byte of the peer counts as life: its answer may be queued behind data. */
export class Keepalive {
  readonly #options: KeepaliveOptions;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;
  /** Set by the session whenever bytes arrive. */
  heard = false;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    if (options.intervalMs > 0) this.#arm(options.intervalMs);
  }

  /** The answer to our PING came. */
  answered(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#arm(this.#options.intervalMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = false;
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#due(), ms).unref();
  }

  #due(): void {
    if (this.#waiting && !this.heard) {
      this.#options.dead();
      return;
    }
    if (!this.#waiting) this.#options.ping();
    this.#waiting = true;
    this.heard = false;
    this.#arm(this.#options.timeoutMs);
  }
}
