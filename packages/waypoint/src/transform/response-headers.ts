import { Headers } from '@ambit/http/headers';

/** Headers of a backend's response that end here: hop-by-hop ones, and what only proxies tell each other. */
const DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'x-envoy-upstream-service-time',
  'x-envoy-decorator-operation',
  'x-envoy-peer-metadata',
  'x-envoy-peer-metadata-id',
]);

export interface ResponseFacts {
  /** Value of `server`; '' passes the backend's. */
  readonly server: string;
  /** Milliseconds from the request to the response head. */
  readonly upstreamServiceTime: string;
  /** Used when the backend sent no `date`. */
  readonly date: string;
}

/** The headers of a response as they go to the client. */
export function downstreamHeaders(received: Headers, facts: ResponseFacts): Headers {
  const from = received.flat();
  const flat: string[] = [];
  let hasDate = false;
  for (let i = 0; i < from.length; i += 2) {
    const name = from[i] ?? '';
    if (DROPPED.has(name) || (name === 'server' && facts.server !== '')) continue;
    if (name === 'date') hasDate = true;
    flat.push(name, from[i + 1] ?? '');
  }
  if (!hasDate) flat.push('date', facts.date);
  flat.push('x-envoy-upstream-service-time', facts.upstreamServiceTime);
  if (facts.server !== '') flat.push('server', facts.server);
  return new Headers(flat);
}
