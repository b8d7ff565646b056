import { Resolver } from 'node:dns/promises';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import type { ScopedLogger } from '@ambit/common/telemetry/log';

/** Addresses of a host name and how long they may be used. */
export interface DnsAnswer {
  readonly addresses: readonly IpAddress[];
  readonly ttlSeconds: number;
}

/** Asks DNS once; rejects when the name has no addresses or nobody answers. */
export type DnsLookup = (host: string) => Promise<DnsAnswer>;

export interface ResolverOptions {
  readonly lookup: DnsLookup;
  /** Milliseconds, monotonic or not: only differences count. */
  readonly now: () => number;
  readonly log: Pick<ScopedLogger, 'warn' | 'info'>;
}

/** What is known of a host name right now. */
export interface Resolution {
  /** Empty when nothing is known. */
  readonly addresses: readonly IpAddress[];
  /** Set while the first answer (or one long overdue) is awaited: ask again then. */
  readonly ready: Promise<void> | undefined;
  /** Why there are no addresses. */
  readonly failure: string | undefined;
}

interface Entry {
  addresses: readonly IpAddress[];
  /** Answer must be refreshed from here on. */
  expires: number;
  /** No new attempt before, after a failure. */
  retryAt: number;
  failures: number;
  failure: string | undefined;
  pending: Promise<void> | undefined;
}

const MIN_TTL_S = 1;
const MAX_TTL_S = 3600;
/** An answer that ran out longer ago than this is not used before a refresh was tried: nobody asked for it meanwhile. */
const STALE_GRACE_MS = 30_000;
const RETRY_MIN_MS = 1000;
/** Envoy's interval after a failure. */
const RETRY_MAX_MS = 60_000;
const LOOKUP_DEADLINE_MS = 10_000;
const MAX_HOSTS = 4096;
const NONE: readonly IpAddress[] = Object.freeze([]);

/**
 * Host names to addresses, synchronously: answers live for their TTL and are renewed in the background on use.
 *
 *     unknown ──lookup──► fresh ──TTL──► expired: still given while it is renewed; kept when that fails
 *        └──fails──► failed: retried after 1 s, 2 s … 60 s
 */
export class HostResolver {
  readonly #options: ResolverOptions;
  readonly #entries = new Map<string, Entry>();
  /** Grows whenever an answer changes. */
  version = 0;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  resolve(name: string): Resolution {
    const host = name.toLowerCase();
    const entry = this.#entries.get(host) ?? this.#add(host);
    const now = this.#options.now();
    if (entry.addresses.length > 0 && now < entry.expires) return known(entry);
    if (entry.pending === undefined && now >= entry.retryAt) this.#refresh(host, entry);
    const usable = entry.addresses.length > 0 && (entry.failures > 0 || now < entry.expires + STALE_GRACE_MS);
    if (usable) return known(entry);
    if (entry.pending !== undefined) return { addresses: NONE, ready: entry.pending, failure: undefined };
    return { addresses: NONE, ready: undefined, failure: entry.failure ?? 'no answer yet' };
  }

  #add(host: string): Entry {
    const oldest = this.#entries.keys().next();
    if (this.#entries.size >= MAX_HOSTS && oldest.done !== true) this.#entries.delete(oldest.value);
    const entry: Entry = {
      addresses: NONE,
      expires: -Infinity,
      retryAt: -Infinity,
      failures: 0,
      failure: undefined,
      pending: undefined,
    };
    this.#entries.set(host, entry);
    return entry;
  }

  #refresh(host: string, entry: Entry): void {
    const lookup = withDeadline(this.#options.lookup(host), host);
    entry.pending = lookup.then(
      (answer) => this.#succeeded(host, entry, answer),
      (error: unknown) => this.#failed(host, entry, error),
    );
  }

  #succeeded(host: string, entry: Entry, answer: DnsAnswer): void {
    entry.pending = undefined;
    if (answer.addresses.length === 0) return this.#failed(host, entry, new Error('the name has no addresses'));
    const addresses = [...answer.addresses];
    if (sorted(addresses) !== sorted(entry.addresses)) this.version++;
    if (entry.failures > 0) this.#options.log.info('host name resolves again', { host });
    entry.addresses = addresses;
    entry.failures = 0;
    entry.failure = undefined;
    const ttl = Math.min(MAX_TTL_S, Math.max(MIN_TTL_S, answer.ttlSeconds));
    entry.expires = this.#options.now() + ttl * 1000;
    // Names in use are renewed, so they move away from the end that is forgotten first.
    if (this.#entries.delete(host)) this.#entries.set(host, entry);
    entry.retryAt = entry.expires;
  }

  #failed(host: string, entry: Entry, error: unknown): void {
    entry.pending = undefined;
    entry.failure = error instanceof Error ? error.message : String(error);
    const wait = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(entry.failures, 16));
    entry.failures++;
    entry.retryAt = this.#options.now() + wait;
    if (entry.failures > 1) return;
    const kept = entry.addresses.length > 0 ? entry.addresses.join(',') : undefined;
    this.#options.log.warn('host name does not resolve', { host, error: entry.failure, kept });
  }
}

/** Name servers rotate their answers. */
const sorted = (list: readonly IpAddress[]): string => list.toSorted().join();

const known = (entry: Entry): Resolution => ({ addresses: entry.addresses, ready: undefined, failure: undefined });

async function withDeadline(lookup: Promise<DnsAnswer>, host: string): Promise<DnsAnswer> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = (): void => reject(new Error(`no DNS answer for ${host} within ${LOOKUP_DEADLINE_MS / 1000} s`));
  const timer = setTimeout(late, LOOKUP_DEADLINE_MS).unref();
  try {
    return await Promise.race([lookup, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks the name servers (`ip:port`; default: those of resolv.conf) for A and AAAA; one family is enough. The TTL is the shortest seen. */
export function systemLookup(servers?: readonly string[]): DnsLookup {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return async (host) => {
    const [four, six] = await Promise.allSettled([
      resolver.resolve4(host, { ttl: true }),
      resolver.resolve6(host, { ttl: true }),
    ]);
    const records = [
      ...(four.status === 'fulfilled' ? four.value : []),
      ...(six.status === 'fulfilled' ? six.value : []),
    ];
    if (records.length === 0) throw new MeshError('DNS_FAILED', dnsFailure(host, four, six));
    const addresses = records.map(({ address }) => parseIp(address)).filter((ip) => ip !== undefined);
    return { addresses, ttlSeconds: Math.min(...records.map(({ ttl }) => ttl)) };
  };
}

type Settled = PromiseSettledResult<unknown>;

function dnsFailure(host: string, four: Settled, six: Settled): string {
  const reason = (result: Settled): string => (result.status === 'rejected' ? codeOf(result.reason) : 'empty');
  return `${host} has no address: A ${reason(four)}, AAAA ${reason(six)}`;
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);
