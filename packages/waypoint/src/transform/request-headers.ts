import { Headers } from '@ambit/http/headers';

/** What a request needs of its headers besides the headers themselves. */
export interface UpstreamHeaders {
  readonly headers: Headers;
  readonly requestId: string;
}

/**
 * Headers that end here. Hop-by-hop ones (RFC 9110 §7.6.1); `host`, which travels as :authority; client-sent `x-envoy-*`
 * controls, peer metadata and certificates, which are never believed and so not passed on either.
 */
const DROPPED: ReadonlySet<string> = new Set(
  (
    'host connection keep-alive proxy-connection upgrade transfer-encoding x-forwarded-client-cert ' +
    'x-envoy-internal x-envoy-retry-on x-envoy-retry-grpc-on x-envoy-max-retries x-envoy-retriable-status-codes ' +
    'x-envoy-upstream-rq-timeout-ms x-envoy-upstream-rq-per-try-timeout-ms x-envoy-expected-rq-timeout-ms ' +
    'x-envoy-hedge-on-per-try-timeout x-envoy-upstream-alt-stat-name x-envoy-ip-tags x-envoy-force-trace ' +
    'x-envoy-original-path x-envoy-peer-metadata x-envoy-peer-metadata-id'
  ).split(' '),
);

/**
 * The headers of a request as they go upstream: hop-by-hop and untrusted ones removed, `x-request-id` and
 * `x-forwarded-proto` present. A client's own values of these two are kept, as Envoy does behind a tunnel.
 */
export function upstreamHeaders(received: Headers, newRequestId: () => string): UpstreamHeaders {
  const from = received.flat();
  const named = namedByConnection(from);
  const headers = new Headers();
  for (let i = 0; i < from.length; i += 2) {
    const name = from[i] ?? '';
    if (DROPPED.has(name) || (named !== undefined && named.has(name))) continue;
    pass(headers, name, from[i + 1] ?? '');
  }
  if (!headers.has('x-forwarded-proto')) headers.append('x-forwarded-proto', 'http');
  let requestId = headers.get('x-request-id');
  if (requestId === undefined) {
    requestId = newRequestId();
    headers.append('x-request-id', requestId);
  }
  return { headers, requestId };
}

/** `te` says no more than `trailers`; of a repeated or empty request id the first that says something counts. */
function pass(headers: Headers, name: string, value: string): void {
  if (name === 'te') {
    if (value.toLowerCase().includes('trailers')) headers.append('te', 'trailers');
  } else if (name === 'x-request-id') {
    if (value !== '' && !headers.has(name)) headers.append(name, value);
  } else headers.append(name, value);
}

/** End-to-end headers that no Connection header may take away: it would be a way around policy and framing. */
const PROTECTED = new Set(['content-length', 'content-type', 'authorization', 'x-forwarded-for', 'x-request-id', 'te']);

/** Further names that Connection headers declare hop-by-hop; undefined in the ordinary case that there are none. */
function namedByConnection(flat: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let i = 0; i < flat.length; i += 2) {
    if (flat[i] !== 'connection') continue;
    const value = (flat[i + 1] ?? '').toLowerCase();
    if (value === 'keep-alive' || value === 'close') continue;
    for (const part of value.split(',')) {
      const name = part.trim();
      if (name !== '' && !PROTECTED.has(name)) (named ??= new Set()).add(name);
    }
  }
  return named;
}
