import type { PoolUsage } from './limits.ts';
import type { Outgoing } from './outgoing.ts';

/** Requests that wait for a connection, oldest first; each counts as pending while it waits. */
export class WaitingRequests {
  readonly #usage: PoolUsage;
  readonly #requests: Outgoing[] = [];

  constructor(usage: PoolUsage) {
    this.#usage = usage;
  }

  get length(): number {
    return this.#requests.length;
  }

  get first(): Outgoing | undefined {
    return this.#requests[0];
  }

  add(request: Outgoing): void {
    this.#requests.push(request);
    this.#usage.pending++;
  }

  /** Forgets a request, if it waits here. */
  remove(request: Outgoing): void {
    const at = this.#requests.indexOf(request);
    if (at < 0) return;
    this.#requests.splice(at, 1);
    this.#usage.pending--;
  }

  shift(): Outgoing | undefined {
    const next = this.#requests.shift();
    if (next !== undefined) this.#usage.pending--;
    return next;
  }

  /** Takes all of them. */
  clear(): Outgoing[] {
    const all = this.#requests.splice(0);
    this.#usage.pending -= all.length;
    return all;
  }
}
