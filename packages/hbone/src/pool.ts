import { formatHostPort } from '@ambit/common/address/host-port';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { SessionOptions } from '@ambit/http/h2/contract';
import { type ClientEvents, connectHbone, type HboneClient } from './client.ts';
import type { ConnectHead, PoolOptions, Tunnel, TunnelTarget } from './index.ts';

/** Istio's ztunnel, client side. */
const MAX_HEADER_LIST = 16 * 1024;
/** How often a CONNECT that the peer surely did not process is sent again. */
const MAX_ATTEMPTS = 3;

/** A connection in the pool, or on its way out of it. */
interface Pooled {
  readonly client: HboneClient;
  /** Releases the connection when no tunnel was opened for a while. */
  readonly idle: NodeJS.Timeout;
  /** Tunnels opened so far; never more than allowed, so a full connection is not used again. */
  opened: number;
}

/** Connections that share an identity, accepted peers, address and source. */
interface Group {
  readonly key: string;
  readonly available: Pooled[];
  /** The dial that everybody without a connection waits for. */
  dialing: Dialing | undefined;
}

interface Dialing {
  readonly done: Promise<void>;
  readonly abort: AbortController;
  waiters: number;
}

/**
 * Tunnels over shared connections. Connections are shared only by the same identity, going to the same address with the same accepted
 * peers, from the same source.
 *
 *   dial ─► available ─ opened = max, GOAWAY, idle, drain() ─► finishing ─ last tunnel ─► closed
 */
export class HbonePool {
  readonly #options: PoolOptions;
  readonly #groups = new Map<string, Group>();
  /** Every open connection, available or finishing. */
  readonly #clients = new Set<HboneClient>();
  #closed: MeshError | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Connections open now, including those that only finish their tunnels. */
  get connections(): number {
    return this.#clients.size;
  }

  /** Opens a tunnel. @throws MeshError: what failed, TUNNEL_DENIED (401) or TUNNEL_REFUSED with the status when the answer is not 200. */
  async open(credentials: Credentials, target: TunnelTarget, head: ConnectHead, signal: AbortSignal): Promise<Tunnel> {
    for (let attempt = 1; ;) {
      if (this.#closed !== undefined) throw this.#closed;
      // Looked up in each round: a group that became empty meanwhile is forgotten, and its next dial would be nobody's.
      const group = this.#group(credentials, target);
      const pooled = group.available.find((one) => this.#usable(one));
      if (pooled === undefined) {
        await this.#wait(group, { credentials, target }, signal);
        continue;
      }
      const reused = pooled.opened > 0;
      const opening = pooled.client.open(head, signal);
      if (opening === undefined) {
        this.#retire(group, pooled);
        continue;
      }
      this.#count(group, pooled);
      try {
        return await opening;
      } catch (error) {
        if (++attempt > MAX_ATTEMPTS || signal.aborted || !unprocessed(error, reused)) throw error;
      }
    }
  }

  /** Opens no more tunnels; connections close when their tunnels have ended. */
  drain(): void {
    this.#closed ??= new MeshError('DRAINING', 'the tunnel pool is shutting down');
    for (const group of this.#groups.values()) {
      group.dialing?.abort.abort(this.#closed);
      while (group.available[0] !== undefined) this.#retire(group, group.available[0]);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.drain();
    for (const client of this.#clients) client.destroy(this.#closed);
    return Promise.resolve();
  }

  #group(credentials: Credentials, target: TunnelTarget): Group {
    const { address, accept, source } = target;
    const peers = accept.map((id) => id.uri).join(' ');
    const key = `${credentials.identity.uri}|${peers}|${formatHostPort(address.ip, address.port)}|${source}`;
    let group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, (group = { key, available: [], dialing: undefined }));
    return group;
  }

  #usable(pooled: Pooled): boolean {
    return pooled.client.accepting && pooled.client.active < this.#limit(pooled.client);
  }

  #limit(client: HboneClient): number {
    return Math.min(this.#options.maxStreams, client.peerMaxStreams);
  }

  /** A tunnel more: with the last one allowed the connection leaves the pool. */
  #count(group: Group, pooled: Pooled): void {
    pooled.opened++;
    pooled.idle.refresh();
    if (pooled.client.active >= this.#limit(pooled.client)) this.#retire(group, pooled);
  }

  /** Waits until somebody's dial has ended; the first starts it, and when the last gives up it is aborted. */
  async #wait(
    group: Group,
    peer: { readonly credentials: Credentials; readonly target: TunnelTarget },
    signal: AbortSignal,
  ): Promise<void> {
    const dialing = (group.dialing ??= this.#startDial(group, peer));
    dialing.waiters++;
    const gaveUp = Promise.withResolvers<never>();
    const onAbort = (): void => gaveUp.reject(asMeshError(signal.reason, 'DOWNSTREAM_CLOSED'));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await Promise.race([dialing.done, gaveUp.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (--dialing.waiters === 0) {
        // Whoever comes next must not join a dial that is being given up.
        this.#dialEnded(group, dialing);
        dialing.abort.abort(new MeshError('DOWNSTREAM_CLOSED', 'nobody waits any more'));
      }
    }
  }

  #startDial(group: Group, peer: { readonly credentials: Credentials; readonly target: TunnelTarget }): Dialing {
    const abort = new AbortController();
    const done = this.#dial(group, peer, abort.signal).finally(() => this.#dialEnded(group, dialing));
    done.catch(() => undefined); // whoever waits is told by the promise itself; nobody may wait any more
    const dialing = { done, abort, waiters: 0 };
    return dialing;
  }

  #dialEnded(group: Group, dialing: Dialing): void {
    if (group.dialing === dialing) group.dialing = undefined;
    this.#forgetEmpty(group);
  }

  async #dial(
    group: Group,
    { credentials, target }: { readonly credentials: Credentials; readonly target: TunnelTarget },
    signal: AbortSignal,
  ): Promise<void> {
    const raw = await this.#options.dial(target.address, target.source, signal).catch((error: unknown) => {
      throw dialError(error);
    });
    let pooled: Pooled | undefined;
    let client: HboneClient | undefined;
    const events: ClientEvents = {
      onRefusing: () => pooled !== undefined && this.#leave(group, pooled),
      onClose: () => client !== undefined && this.#clients.delete(client),
    };
    client = await connectHbone(raw, { credentials, accept: target.accept, signal }, this.#settings(), events);
    this.#clients.add(client);
    if (this.#closed !== undefined) {
      client.destroy(this.#closed);
      throw this.#closed;
    }
    const created: Pooled = {
      client,
      opened: 0,
      idle: setTimeout(() => this.#retire(group, created), this.#options.idleMs).unref(),
    };
    pooled = created;
    group.available.push(created);
  }

  #settings(): Partial<SessionOptions> {
    const { streamWindow, connectionWindow, frameSize } = this.#options;
    return {
      initialWindow: streamWindow,
      connectionWindow,
      maxFrameSize: frameSize,
      maxHeaderListSize: MAX_HEADER_LIST,
      sendBuffer: Math.min(streamWindow, 1024 * 1024),
    };
  }

  /** Takes the connection out of the pool; open tunnels go on, then it closes. */
  #retire(group: Group, pooled: Pooled): void {
    this.#leave(group, pooled);
    pooled.client.drain();
  }

  #leave(group: Group, pooled: Pooled): void {
    clearTimeout(pooled.idle);
    const place = group.available.indexOf(pooled);
    if (place < 0) return;
    group.available.splice(place, 1);
    this.#forgetEmpty(group);
  }

  #forgetEmpty(group: Group): void {
    if (group.available.length > 0 || group.dialing !== undefined) return;
    if (this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }
}

/** Nothing of the application was sent yet; the CONNECT itself may be repeated when the peer refused it unseen, or the connection was stale. */
function unprocessed(error: unknown, reused: boolean): boolean {
  if (!(error instanceof MeshError)) return false;
  return error.code === 'DRAINING' || (reused && error.code === 'UPSTREAM_CLOSED');
}

function dialError(error: unknown): MeshError {
  const known = asMeshError(error, 'CONNECT_REFUSED');
  if (known.code !== 'CONNECT_TIMEOUT') return known;
  const message = `connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: ${known.message}`;
  return new MeshError('HBONE_TIMEOUT', message, { cause: known });
}
