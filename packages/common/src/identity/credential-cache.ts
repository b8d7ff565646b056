import { MeshError, asMeshError } from '../errors.ts';
import type { ScopedLogger } from '../telemetry/log.ts';
import { credentialsFromChain } from './certificate.ts';
import { CredentialQueue, type Priority } from './credential-queue.ts';
import type { CredentialSource, Credentials } from './credentials.ts';
import { createSigningRequest } from './csr.ts';
import { RenewalSchedule } from './renewal.ts';
import type { SpiffeId } from './spiffe.ts';

/** Time for the cache; tests pass their own. */
export interface CredentialClock {
  now(): number;
  /** @returns the function that cancels. */
  after(ms: number, run: () => void): () => void;
}

export interface CredentialCacheOptions {
  /** Sends a request to the CA: leaf, intermediates, root bundle. */
  readonly sign: (csr: string, identity: SpiffeId, signal: AbortSignal) => Promise<readonly string[]>;
  readonly signal: AbortSignal;
  readonly log: ScopedLogger;
  readonly clock?: CredentialClock;
  readonly random?: () => number;
  /** Requests in flight, 8 when absent. */
  readonly concurrency?: number;
}

/** One certificate as dumps and `certs` show it: they print the chain, never the key. */
export interface CertificateState {
  readonly identity: SpiffeId;
  readonly state: 'Initializing' | 'Available' | 'Unavailable';
  /** Of the last failed attempt; undefined after a success. */
  readonly error: string | undefined;
  readonly credentials: Credentials | undefined;
  /** When the next attempt is due, in milliseconds since the epoch. */
  readonly renewAt: number | undefined;
}

const MAX_IN_FLIGHT = 8;
/** Timers of node are limited to 24.8 days. */
const MAX_TIMER_MS = 86_400_000;

interface Entry {
  readonly identity: SpiffeId;
  readonly schedule: RenewalSchedule;
  readonly abort: AbortController;
  credentials: Credentials | undefined;
  error: MeshError | undefined;
  /** Resolved by the first answer, good or bad. */
  readonly attempt: PromiseWithResolvers<void>;
  attempted: boolean;
  fetching: boolean;
  renewAt: number | undefined;
  cancelTimer: () => void;
}

/**
 * Certificates by identity: fetched once however many ask, renewed from half of their life on, given out until they expire.
 *
 *     (absent) ─credentials/warm─► Initializing ─ok─► Available ─half life─► fetch ─ok─► Available
 *                                       └─fail─► Unavailable ─backoff─► fetch    └─fail─► Available, retry sooner
 *     An expired certificate is Unavailable. forget() ends every state.
 */
export class CredentialCache implements CredentialSource {
  readonly #options: CredentialCacheOptions;
  readonly #clock: CredentialClock;
  readonly #queue: CredentialQueue;
  readonly #entries = new Map<string, Entry>();

  constructor(options: CredentialCacheOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#queue = new CredentialQueue(options.concurrency ?? MAX_IN_FLIGHT);
    options.signal.addEventListener('abort', () => this.#end(), { once: true });
  }

  /** The certificate held, while it is valid; else waits for the attempt under way. @throws MeshError NO_IDENTITY at once when the last attempt failed. */
  async credentials(identity: SpiffeId): Promise<Credentials> {
    const entry = this.#entries.get(identity.uri) ?? this.#create(identity, 'realtime');
    if (this.#usable(entry)) return entry.credentials;
    if (!entry.attempted) {
      this.#request(entry, 'realtime');
      await entry.attempt.promise;
      if (this.#usable(entry)) return entry.credentials;
    }
    throw entry.error ?? new MeshError('NO_IDENTITY', `the certificate of ${identity.uri} has expired`);
  }

  /** Fetches ahead of use; does nothing for an identity that is known. */
  warm(identity: SpiffeId): void {
    if (!this.#entries.has(identity.uri)) this.#create(identity, 'warmup');
  }

  /** Ends the renewal of an identity that nobody on this node needs; who waits for it is told. */
  forget(identity: SpiffeId): void {
    const entry = this.#entries.get(identity.uri);
    if (entry === undefined) return;
    this.#entries.delete(identity.uri);
    this.#stop(entry, new MeshError('NO_IDENTITY', `${identity.uri}: the identity is no longer needed`));
  }

  /** Everything held, by identity. */
  state(): CertificateState[] {
    return [...this.#entries.values()]
      .map(
        (entry) =>
          ({
            identity: entry.identity,
            state: this.#usable(entry) ? 'Available' : entry.attempted ? 'Unavailable' : 'Initializing',
            error: entry.error?.message,
            credentials: entry.credentials,
            renewAt: entry.renewAt,
          }) satisfies CertificateState,
      )
      .sort((a, b) => (a.identity.uri < b.identity.uri ? -1 : 1));
  }

  #create(identity: SpiffeId, priority: Priority): Entry {
    const entry: Entry = {
      identity,
      schedule: new RenewalSchedule(this.#options.random ?? Math.random),
      abort: new AbortController(),
      credentials: undefined,
      error: undefined,
      attempt: Promise.withResolvers(),
      attempted: false,
      fetching: false,
      renewAt: undefined,
      cancelTimer: () => undefined,
    };
    this.#entries.set(identity.uri, entry);
    this.#request(entry, priority);
    return entry;
  }

  #usable(entry: Entry): entry is Entry & { credentials: Credentials } {
    return entry.credentials !== undefined && this.#clock.now() < entry.credentials.notAfter;
  }

  #request(entry: Entry, priority: Priority): void {
    if (entry.fetching || this.#options.signal.aborted) return;
    this.#queue.add(entry.identity.uri, priority, entry.renewAt ?? this.#clock.now(), () => this.#fetch(entry));
  }

  /** One attempt; never rejects. */
  async #fetch(entry: Entry): Promise<void> {
    const { sign, log } = this.#options;
    const { identity, schedule, abort } = entry;
    entry.fetching = true;
    try {
      const request = createSigningRequest(identity);
      const answer = await sign(request.csr, identity, abort.signal);
      if (abort.signal.aborted) return;
      entry.credentials = credentialsFromChain(identity, request.privateKey, answer);
      entry.error = undefined;
      this.#renewAt(entry, schedule.afterSuccess(entry.credentials, this.#clock.now()));
      log.info('certificate issued', { identity: identity.uri, expires: iso(entry.credentials.notAfter) });
    } catch (error) {
      if (abort.signal.aborted) return;
      entry.error = asMeshError(error, 'NO_IDENTITY');
      const held = this.#usable(entry) ? entry.credentials : undefined;
      this.#renewAt(entry, schedule.afterFailure(held, this.#clock.now()));
      log.warn('no new certificate', {
        identity: identity.uri,
        error: entry.error.message,
        retry: iso(entry.renewAt ?? 0),
        expires: held && iso(held.notAfter),
      });
    } finally {
      entry.fetching = false;
      entry.attempted = true;
      entry.attempt.resolve();
    }
  }

  #renewAt(entry: Entry, at: number): void {
    entry.renewAt = at;
    entry.cancelTimer();
    const wait = at - this.#clock.now();
    entry.cancelTimer = this.#clock.after(Math.min(MAX_TIMER_MS, Math.max(0, wait)), () => {
      if (this.#clock.now() < at) this.#renewAt(entry, at);
      else this.#request(entry, 'background');
    });
  }

  #stop(entry: Entry, error: MeshError): void {
    this.#queue.cancel(entry.identity.uri);
    entry.abort.abort(error);
    entry.cancelTimer();
    entry.credentials = undefined;
    entry.error = error;
    entry.attempted = true;
    entry.attempt.resolve();
  }

  #end(): void {
    for (const entry of this.#entries.values()) {
      this.#stop(entry, new MeshError('NO_IDENTITY', `${entry.identity.uri}: this program is shutting down`));
    }
    this.#entries.clear();
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();

const SYSTEM_CLOCK: CredentialClock = {
  now: Date.now,
  after: (ms, run) => {
    const timer = setTimeout(run, ms).unref();
    return () => clearTimeout(timer);
  },
};
