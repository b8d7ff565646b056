import { asMeshError } from '@ambit/common/errors';
import type { UpstreamConnection, UpstreamEndpoint } from './contract.ts';
import { Http1Connection, type Http1Owner } from './http1-connection.ts';
import { mayConnect, type PoolUsage } from './limits.ts';
import type { Outgoing } from './outgoing.ts';
import { WaitingRequests } from './waiting-requests.ts';

/** What a pool of connections to one endpoint needs. */
export interface PoolContext {
  readonly endpoint: UpstreamEndpoint;
  /** Shared by all endpoints of the backend port. */
  readonly usage: PoolUsage;
  readonly destination: string;
  readonly open: () => Promise<UpstreamConnection>;
  readonly now: () => number;
}

/** Connections for requests of one protocol to one endpoint. */
export interface RequestPool {
  /** Sends it now or when a connection is free. */
  submit(request: Outgoing): void;
  /** Forgets a request that waits. */
  abandon(request: Outgoing): void;
  /** Nothing idle: the next request waits for a connection. */
  readonly busy: boolean;
  /** Closes what idled too long; true when nothing is left. */
  sweep(): boolean;
  /** Closes idle connections now and the others after their exchange. */
  drain(): void;
}

/** Envoy's default for both sides. */
const IDLE_TIMEOUT_MS = 3_600_000;

/** A connection that has been idle since then, or longer, is closed. */
export const idleSinceLimit = ({ endpoint, now }: PoolContext): number =>
  now() - (endpoint.pool.idleTimeoutMs === 0 ? IDLE_TIMEOUT_MS : endpoint.pool.idleTimeoutMs);

/** HTTP/1.1: one connection per request under way; idle ones are used again, the latest first, as it is the least likely to be stale. */
export class Http1Pool implements RequestPool, Http1Owner {
  readonly destination: string;
  readonly closedHint: string;
  readonly #context: PoolContext;
  readonly #idle: Http1Connection[] = [];
  readonly #waiting: WaitingRequests;
  #connecting = 0;
  #open = 0;
  #draining = false;

  constructor(context: PoolContext) {
    this.#context = context;
    this.#waiting = new WaitingRequests(context.usage);
    this.destination = context.destination;
    const { tls } = context.endpoint;
    this.closedHint =
      tls?.mode === 'SIMPLE' ? '; if it asks for a client certificate, tls mode MUTUAL presents one' : '';
  }

  get busy(): boolean {
    return this.#idle.length === 0;
  }

  submit(request: Outgoing): void {
    const connection = this.#idle.pop();
    if (connection !== undefined) return connection.start(request);
    this.#waiting.add(request);
    this.#connectIfNeeded();
  }

  abandon(request: Outgoing): void {
    this.#waiting.remove(request);
  }

  sweep(): boolean {
    const oldest = idleSinceLimit(this.#context);
    for (const connection of this.#idle.filter((one) => one.idleSince <= oldest)) connection.reset();
    return this.#open + this.#connecting === 0 && this.#waiting.length === 0;
  }

  drain(): void {
    this.#draining = true;
    for (const connection of this.#idle.slice()) connection.reset();
  }

  onIdle(connection: Http1Connection): void {
    const most = this.#context.endpoint.pool.maxRequestsPerConnection;
    if (most > 0 && connection.served >= most) {
      connection.reset();
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) return connection.start(next);
    if (this.#draining) {
      connection.reset();
      return;
    }
    connection.idleSince = this.#context.now();
    this.#idle.push(connection);
  }

  onGone(connection: Http1Connection): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#open--;
    this.#context.usage.connections--;
    this.#connectIfNeeded();
  }

  /** One attempt per waiting request, within maxConnections; an endpoint without any connection may always have one. */
  #connectIfNeeded(): void {
    const { usage, endpoint } = this.#context;
    while (this.#connecting < this.#waiting.length) {
      if (!mayConnect(usage, endpoint.pool) && this.#open + this.#connecting > 0) return;
      void this.#connect();
    }
  }

  async #connect(): Promise<void> {
    const { usage, open } = this.#context;
    this.#connecting++;
    usage.connections++;
    try {
      const transport = await open();
      this.#connecting--;
      this.#open++;
      this.onIdle(new Http1Connection(transport, this));
    } catch (error) {
      this.#connecting--;
      usage.connections--;
      this.#waiting.shift()?.fail(asMeshError(error));
      this.#connectIfNeeded();
    }
  }
}
