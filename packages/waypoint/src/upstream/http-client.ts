import type { MeshError } from '@ambit/common/errors';
import type { RequestHead, StreamHandler } from '@ambit/http/h2/contract';
import type { EndpointLoad } from './balance.ts';
import type { UpstreamEndpoint, UpstreamRequestOptions, UpstreamStream } from './contract.ts';
import { Http1Pool, type PoolContext, type RequestPool } from './http1-pool.ts';
import { Http2Pool } from './http2-pool.ts';
import { overflow, type PoolUsage } from './limits.ts';
import { Outgoing } from './outgoing.ts';
import { describe, openTransport, type TransportOptions } from './transport.ts';

/** Where a request is sent, resolved by the caller. */
export interface Route {
  readonly endpoint: UpstreamEndpoint;
  readonly load: EndpointLoad;
  readonly usage: PoolUsage;
  /** What connections may be shared over: requests with equal keys go to the same place in the same way. */
  readonly key: string;
  readonly host: string | undefined;
}

const SWEEP_MS = 5000;
/** Above this, empty pools are swept at once. */
const MAX_POOLS = 4096;

/** HTTP requests to endpoints, over pools of connections. */
export class HttpClient {
  readonly #transport: TransportOptions;
  readonly #now: () => number;
  readonly #pools = new Map<string, RequestPool>();
  readonly #closing = new AbortController();
  #sweeper: NodeJS.Timeout | undefined = undefined;
  #draining = false;

  constructor(transport: TransportOptions, now: () => number) {
    this.#transport = transport;
    this.#now = now;
  }

  /** Never throws and never calls the handler from inside; every failure comes as its onClose. */
  request(route: Route, head: RequestHead, options: UpstreamRequestOptions, handler: StreamHandler): UpstreamStream {
    const pool = this.#pool(route, options.protocol);
    const { usage, load, endpoint } = route;
    const refusal: MeshError | undefined = overflow(usage, endpoint.pool, pool.busy);
    usage.requests++;
    load.active++;
    const request = new Outgoing(head, options, handler, {
      onAbandoned: (one) => pool.abandon(one),
      onFinished: () => {
        usage.requests--;
        load.active--;
      },
    });
    if (refusal !== undefined) request.fail(refusal);
    else pool.submit(request);
    return request;
  }

  /** Idle connections close now, others after their exchange. */
  drain(): void {
    this.#draining = true;
    clearInterval(this.#sweeper);
    for (const pool of this.#pools.values()) pool.drain();
  }

  #pool(route: Route, protocol: 'HTTP1' | 'HTTP2'): RequestPool {
    const key = `${protocol} ${route.key}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      // With TLS the host is part of the key, and clients choose hosts.
      if (this.#pools.size >= MAX_POOLS) this.#sweep();
      pool = this.#newPool(route, protocol);
      this.#pools.set(key, pool);
      if (this.#draining) pool.drain();
      else this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    }
    return pool;
  }

  #newPool({ endpoint, usage, host }: Route, protocol: 'HTTP1' | 'HTTP2'): RequestPool {
    const alpn = protocol === 'HTTP2' ? 'h2' : 'http/1.1';
    const context: PoolContext = {
      endpoint,
      usage,
      destination: describe(endpoint),
      open: () => openTransport(this.#transport, endpoint, { host, protocol: alpn, signal: this.#closing.signal }),
      now: this.#now,
    };
    return protocol === 'HTTP2' ? new Http2Pool(context) : new Http1Pool(context);
  }

  #sweep(): void {
    for (const [key, pool] of this.#pools) if (pool.sweep()) this.#pools.delete(key);
    if (this.#pools.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}
