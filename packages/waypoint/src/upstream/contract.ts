/**
 * What the exchange and the opaque pipeline ask of the upstream side. Choosing is synchronous and pure to the caller;
 * connecting, TLS, HBONE, pooling and DNS stay behind it.
 *
 *     pick → endpoint ──► request (HTTP, one exchange)   or   connect (opaque bytes)
 *          → need     ──► await ready, pick again
 *          → none     ──► local reply with the code's status
 */
import type { HostPort } from '@ambit/common/address/host-port';
import type { ErrorCode } from '@ambit/common/errors';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { ClientTls, ConnectionPool } from '@ambit/common/model/backend';
import type { Workload } from '@ambit/common/model/workload';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import type { ErrorCode as Http2Code, RequestHead, StreamHandler } from '@ambit/http/h2/contract';
import type { Headers } from '@ambit/http/headers';

/** Which endpoint is wanted. */
export interface PickRequest {
  /** `namespace/hostname` of the Backend; undefined for a bound workload's own address, which goes to the original destination. */
  readonly backend: string | undefined;
  /** Service port of the backend. */
  readonly port: number;
  /** Where the client's tunnel was addressed to. */
  readonly originalDestination: HostPort;
  /** Host of the request or SNI of the connection, without port; undefined when there is none. Only DYNAMIC_DNS backends look at it. */
  readonly host: string | undefined;
  /** Endpoints that failed this exchange: avoided while there is another. */
  readonly tried: readonly UpstreamEndpoint[];
}

/** One place to send to, with everything needed to get there. Immutable, but for load counters kept beside it. */
export interface UpstreamEndpoint {
  /** Of the application (for HBONE: behind the tunnel). */
  readonly address: HostPort;
  readonly workload: Workload | undefined;
  /** Who must answer the tunnel; undefined without HBONE. */
  readonly identity: SpiffeId | undefined;
  readonly viaHbone: boolean;
  /** TLS that this program originates, inside the tunnel if there is one. */
  readonly tls: ClientTls | undefined;
  readonly pool: ConnectionPool;
  /** `ip:port`, for UPSTREAM_HOST; unique within its backend port. */
  readonly label: string;
  /** `namespace/hostname` of the backend it was picked for; undefined for a bound workload's own address. */
  readonly backend: string | undefined;
  /** Service port it was picked for. */
  readonly port: number;
}

/** All variants carry all keys, in this order. */
export type PickResult =
  | {
      readonly kind: 'endpoint';
      readonly endpoint: UpstreamEndpoint;
      readonly ready: undefined;
      readonly code: undefined;
      readonly detail: string;
    }
  | {
      /** Nothing is known yet (first DNS lookup): pick again when `ready` settles; it never rejects and is bounded in time. */
      readonly kind: 'need';
      readonly endpoint: undefined;
      readonly ready: Promise<void>;
      readonly code: undefined;
      readonly detail: string;
    }
  | {
      readonly kind: 'none';
      readonly endpoint: undefined;
      readonly ready: undefined;
      /** UNKNOWN_BACKEND (NC), NO_ROUTE (NR: a host that the wildcard does not cover), NO_HEALTHY_UPSTREAM or DNS_FAILED (UH). */
      readonly code: ErrorCode;
      /** What was looked for and not found, for the log. */
      readonly detail: string;
    };

/** A connection for opaque bytes; nothing was sent on it yet. */
export interface UpstreamConnection {
  readonly stream: ByteStream;
  /** The address this program connects from, for UPSTREAM_LOCAL_ADDRESS. */
  readonly local: HostPort;
}

export interface UpstreamRequestOptions {
  /** No body follows the head. */
  readonly endStream: boolean;
  /** Lower-case protocol of an Upgrade to pass (`websocket`). When the backend answers 101 the stream carries raw bytes from then on. */
  readonly upgrade?: string;
  readonly protocol: 'HTTP1' | 'HTTP2';
}

/**
 * One request sent to an endpoint. Bytes written before the connection stands are kept (write answers false until then).
 * Every failure arrives as `handler.onClose(MeshError)`; `error.kind.retry` says that no byte of the request was processed.
 */
export interface UpstreamStream extends ByteStream {
  /** Ends the request with trailers; HTTP/1.1 drops them. */
  endWithTrailers(trailers: Headers): void;
  /** Gives the exchange up. onClose follows. */
  reset(code: Http2Code): void;
  /** Known once the connection stands. */
  readonly local: HostPort | undefined;
}

export interface Upstream {
  pick(request: PickRequest): PickResult;
  /** Rejects with a MeshError. */
  connect(endpoint: UpstreamEndpoint, signal: AbortSignal): Promise<UpstreamConnection>;
  /** Hop-by-hop headers must be gone from the head; framing, Host and Connection are written here. */
  request(
    endpoint: UpstreamEndpoint,
    head: RequestHead,
    options: UpstreamRequestOptions,
    handler: StreamHandler,
  ): UpstreamStream;
  /** Closes idle connections and stops background lookups; exchanges under way finish. */
  drain(): void;
}
