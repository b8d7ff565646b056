import type { UpstreamEndpoint } from './upstream/contract.ts';

/** Istio's default: two retries, 25 ms and up to 250 ms apart. */
const MAX_RETRIES = 2;
const BACKOFF_BASE_MS = 25;
const BACKOFF_MAX_MS = 250;
/** Rounds of waiting for a first DNS answer. */
const MAX_WAITS = 3;

/** CANCELLED and UNAVAILABLE in response headers: the default retry policy takes them up. */
export const isRetriableGrpc = (status: string | undefined): boolean => status === '1' || status === '14';

/** How often one request was tried, and where. */
export class Attempts {
  readonly #tried: UpstreamEndpoint[] = [];
  #retries = 0;
  #waits = 0;

  /** Endpoints that failed. */
  get tried(): readonly UpstreamEndpoint[] {
    return this.#tried;
  }

  /** More than one attempt was made. */
  get retried(): boolean {
    return this.#retries > 0;
  }

  get exhausted(): boolean {
    return this.#retries >= MAX_RETRIES;
  }

  /** Counts a wait for what a pick needs; false: it has waited often enough. */
  wait(): boolean {
    return ++this.#waits <= MAX_WAITS;
  }

  /** Counts a retry; how many milliseconds to wait before it. `random` is from 0 to 1. */
  retry(failed: UpstreamEndpoint | undefined, random: number): number {
    if (failed !== undefined) this.#tried.push(failed);
    const longest = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** this.#retries);
    this.#retries++;
    return Math.floor(random * longest);
  }
}
