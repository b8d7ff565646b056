import { ConnectionFault } from './frame.ts';

/** How much of one cheap thing a peer may send: `burst` at once, then `perSecond`. */
export interface Allowance {
  readonly what: string;
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * Limits of what costs a peer nothing and us work. Generous: an honest peer never gets near.
 * `resets` counts streams given up before they were answered, by either side's RST_STREAM (rapid reset, CVE-2023-44487 and CVE-2025-8671);
 * a tunnel that was open before its reset does not count.
 */
export const ALLOWANCES: Readonly<Record<'resets' | 'control' | 'empty', Allowance>> = {
  resets: { what: 'streams reset before an answer', burst: 1000, perSecond: 200 },
  control: { what: 'PING, SETTINGS and PRIORITY frames', burst: 1000, perSecond: 100 },
  empty: { what: 'empty frames', burst: 1000, perSecond: 100 },
};

/** A token bucket that ends the connection when it is empty. */
export class FloodGuard {
  readonly #allowance: Allowance;
  readonly #now: () => number;
  #tokens: number;
  #at: number;

  constructor(allowance: Allowance, now: () => number = Date.now) {
    this.#allowance = allowance;
    this.#now = now;
    this.#tokens = allowance.burst;
    this.#at = now();
  }

  /** @throws ConnectionFault ENHANCE_YOUR_CALM */
  spend(): void {
    if (this.#tokens < 1) this.#refill();
    if (this.#tokens < 1) {
      const { what, burst, perSecond } = this.#allowance;
      throw new ConnectionFault('ENHANCE_YOUR_CALM', `too many ${what}: more than ${burst}, then ${perSecond}/s`);
    }
    this.#tokens--;
  }

  #refill(): void {
    const now = this.#now();
    const gained = (Math.max(0, now - this.#at) / 1000) * this.#allowance.perSecond;
    this.#tokens = Math.min(this.#allowance.burst, this.#tokens + gained);
    this.#at = now;
  }
}
