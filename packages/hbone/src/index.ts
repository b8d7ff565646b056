/**
 * HBONE: TCP tunnels as CONNECT streams of HTTP/2 over mutual TLS 1.3. Knows nothing of workloads or policy.
 * The public contract of this package.
 */
import type { Socket } from 'node:net';
import type { HostPort } from '@ambit/common/address/host-port';
import type { IpAddress } from '@ambit/common/address/ip';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import type { Headers } from '@ambit/http/headers';

/** Head of a CONNECT request. */
export interface ConnectHead {
  /** `ip:port`, `[ip]:port` or `host:port`. */
  readonly authority: string;
  readonly headers: Headers;
}

/** An open tunnel: bytes both ways, half-close passes through, destroy() resets it. */
export interface Tunnel extends ByteStream {
  /** Identity of the far end, from its certificate. */
  readonly peer: SpiffeId;
  /** Headers of the 200 (client) or of the CONNECT (server). */
  readonly headers: Headers;
  /** Local and remote address of the TCP connection below. */
  readonly local: HostPort;
  readonly remote: HostPort;
}

/** Which connection a tunnel may share. */
export interface TunnelTarget {
  readonly address: HostPort;
  /** Any of these must be a URI SAN of the peer; never empty. */
  readonly accept: readonly SpiffeId[];
  /** The address the connection starts from: pods never share connections. */
  readonly source: IpAddress;
}

/** Opens the TCP connection below a tunnel: in the pod's netns, with its mark and source. Rejects with a MeshError. */
export type Dial = (address: HostPort, source: IpAddress, signal: AbortSignal) => Promise<Socket>;

export interface PoolOptions {
  /** POOL_MAX_STREAMS_PER_CONNECTION. */
  readonly maxStreams: number;
  /** POOL_UNUSED_RELEASE_TIMEOUT. */
  readonly idleMs: number;
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly frameSize: number;
  readonly dial: Dial;
}

/** A tunnel was asked for; answer with accept or reject exactly once. */
export interface TunnelRequest {
  readonly method: string;
  readonly head: ConnectHead;
  readonly peer: SpiffeId;
  readonly local: HostPort;
  readonly remote: HostPort;
  /** Sends 200 with these headers. */
  accept(headers: Headers): Tunnel;
  /** Sends the status with END_STREAM and no body. */
  reject(status: number): void;
}

export interface ServerOptions {
  readonly credentials: Credentials;
  /** Trust domains whose identities may connect. */
  readonly trustDomains: readonly string[];
  readonly maxConcurrentStreams: number;
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly frameSize: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** Answer to requests that are no plain CONNECT: 400 (ztunnel) when absent; Istio's waypoint says 404. */
  readonly otherMethodStatus?: number;
  onTunnel(request: TunnelRequest): void;
  /** A request that is no plain CONNECT was answered so: for the log. */
  onOther?(request: Pick<TunnelRequest, 'method' | 'head' | 'peer' | 'remote'>): void;
}

/** One accepted HBONE connection. */
export interface HboneConnection {
  readonly peer: SpiffeId;
  readonly remote: HostPort;
  readonly activeTunnels: number;
  /** GOAWAY; tunnels finish. */
  drain(): void;
  destroy(error?: Error): void;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
}

export { acceptHbone } from './server.ts';
export { HbonePool } from './pool.ts';
export { connectHeaders, type ConnectContext } from './connect.ts';
export { openInner, type InnerTarget } from './double.ts';
export { formatBaggage, parseBaggage, type Baggage } from './baggage.ts';
export { formatForwarded, parseForwardedHost } from './forwarded.ts';
export { newTraceparent, parseTraceId } from './traceparent.ts';
export type { Credentials };
