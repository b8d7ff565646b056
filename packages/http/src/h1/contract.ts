import type { Headers } from '../headers.ts';

/** A parsed HTTP/1.1 request head (RFC 9112). `target` is in origin form, or as written for OPTIONS * and CONNECT. */
export interface Http1RequestHead {
  readonly method: string;
  readonly target: string;
  readonly minorVersion: 0 | 1;
  readonly headers: Headers;
  readonly body: BodyLength;
  readonly keepAlive: boolean;
  /** Lower-case protocol of a valid Upgrade, or undefined. */
  readonly upgrade: string | undefined;
  readonly expectContinue: boolean;
}

export interface Http1ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minorVersion: 0 | 1;
  readonly headers: Headers;
  readonly body: BodyLength;
  readonly keepAlive: boolean;
}

/** How a message body ends (RFC 9112 §6.3). */
export type BodyLength =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' };

/** Why a message was refused: what to answer, and the detail Envoy logs for the same fault. */
export interface Http1Fault {
  readonly status: 400 | 426 | 431 | 501 | 502;
  readonly detail: string;
  readonly message: string;
}
