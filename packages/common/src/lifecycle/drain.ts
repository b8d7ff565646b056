/**
 * The two steps in which connections end.
 *
 *   running ──start(graceful)──► draining ──all holds released, or deadline──► aborted
 *          └──start(immediate)─────────────────────────────────────────────────►
 *
 * Draining: accept nothing new, tell peers to go elsewhere, let what runs finish. Aborted: cut what is left.
 */
export class Drain {
  readonly #draining = new AbortController();
  readonly #aborted = new AbortController();
  readonly #idle = Promise.withResolvers<void>();
  #holds = 0;

  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  get aborted(): AbortSignal {
    return this.#aborted.signal;
  }

  /** How many connections keep a graceful drain waiting. */
  get active(): number {
    return this.#holds;
  }

  /** Says that a connection is alive; call what is returned when it has ended. */
  hold(): () => void {
    this.#holds += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds -= 1;
      this.#settle();
    };
  }

  /** Begins to drain; resolves when nothing is held any more or the deadline has cut the rest. Immediate after graceful cuts at once. */
  async start(mode: 'graceful' | 'immediate', deadlineMs = 0): Promise<void> {
    this.#draining.abort(new Error('draining'));
    if (mode === 'graceful') {
      this.#settle();
      const timer = setTimeout(() => this.#idle.resolve(), deadlineMs);
      await this.#idle.promise;
      clearTimeout(timer);
    }
    this.#idle.resolve();
    this.#aborted.abort(new Error('connection closed due to connection drain'));
  }

  #settle(): void {
    if (this.#holds === 0 && this.#draining.signal.aborted) this.#idle.resolve();
  }
}
