import { Backoff } from '../lifecycle/backoff.ts';

/** Parts of a certificate's life at which its renewal is tried whatever the backoff says. */
const STAGES = [0.5, 0.75, 0.9] as const;
/** Renewals are spread over this part of a life before each stage: many pods start in the same minute. */
const SPREAD = 0.05;

const RETRY_INITIAL_MS = 1_000;
const RETRY_MAX_MS = 150_000;

/** When to ask for the next certificate of one identity. */
export class RenewalSchedule {
  readonly #random: () => number;
  readonly #backoff: Backoff;

  constructor(random: () => number) {
    this.#random = random;
    this.#backoff = new Backoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS, jitter: 0.2, random });
  }

  /** After a success: half of its life; soon, when it is not valid (yet or any more): a clock is wrong somewhere. */
  afterSuccess(certificate: Validity, now: number): number {
    if (now < certificate.notBefore || now >= certificate.notAfter) return now + this.#backoff.next();
    this.#backoff.reset();
    return this.#stage(certificate, 0);
  }

  /** After a failure: 1 s doubling to 150 s, but not past the next stage of the certificate still held, nor past its end. */
  afterFailure(certificate: Validity | undefined, now: number): number {
    const retry = now + this.#backoff.next();
    if (certificate === undefined) return retry;
    const ahead = [1, 2].map((stage) => this.#stage(certificate, stage)).concat(certificate.notAfter);
    return Math.min(retry, ...ahead.filter((time) => time > now));
  }

  #stage(certificate: Validity, index: number): number {
    const part = (STAGES[index] ?? 1) - SPREAD * this.#random();
    return certificate.notBefore + (certificate.notAfter - certificate.notBefore) * part;
  }
}

export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}
