import { Headers } from '@ambit/http/headers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { downstreamHeaders } from './response-headers.ts';
import { upstreamHeaders } from './request-headers.ts';

const PROTO = ['x-forwarded-proto', 'http'];
const ID = ['x-request-id', 'new'];
const sent = (...flat: string[]): readonly string[] => upstreamHeaders(new Headers(flat), () => 'new').headers.flat();

const REQUESTS: readonly (readonly [name: string, flat: string[], expected: string[]])[] = [
  ['ordinary headers pass in order', ['b', '1', 'a', '2', 'b', '3'], ['b', '1', 'a', '2', 'b', '3', ...PROTO, ...ID]],
  ['host travels apart', ['host', 'h'], [...PROTO, ...ID]],
  ['a request id is kept as it is', ['x-request-id', 'no uuid'], ['x-request-id', 'no uuid', ...PROTO]],
  ['an empty request id is none', ['x-request-id', ''], [...PROTO, ...ID]],
  ['a scheme is kept, whatever it says', ['x-forwarded-proto', 'gopher'], ['x-forwarded-proto', 'gopher', ...ID]],
  ['x-forwarded-for passes unchanged', ['x-forwarded-for', '1.2.3.4'], ['x-forwarded-for', '1.2.3.4', ...PROTO, ...ID]],
  [
    'hop-by-hop headers end here',
    [
      'connection',
      'keep-alive',
      'keep-alive',
      '5',
      'proxy-connection',
      'x',
      'transfer-encoding',
      'chunked',
      'upgrade',
      'h2c',
    ],
    [...PROTO, ...ID],
  ],
  [
    'headers named by Connection end here',
    ['connection', 'close, X-Hop , a', 'x-hop', '1', 'a', '2', 'b', '3'],
    ['b', '3', ...PROTO, ...ID],
  ],
  [
    'Connection takes no end-to-end header away',
    ['connection', 'content-length, authorization', 'content-length', '3', 'authorization', 'a'],
    ['content-length', '3', 'authorization', 'a', ...PROTO, ...ID],
  ],
  ['te says trailers or nothing', ['te', 'gzip;q=1, trailers'], ['te', 'trailers', ...PROTO, ...ID]],
  ['te without trailers ends here', ['te', 'gzip'], [...PROTO, ...ID]],
  [
    'proxy authentication and trailer pass',
    ['proxy-authorization', 'p', 'trailer', 't'],
    ['proxy-authorization', 'p', 'trailer', 't', ...PROTO, ...ID],
  ],
  ['expect passes', ['expect', '100-continue'], ['expect', '100-continue', ...PROTO, ...ID]],
  [
    'controls of Envoy end here',
    [
      'x-envoy-max-retries',
      '9',
      'x-envoy-upstream-rq-timeout-ms',
      '1',
      'x-envoy-original-path',
      '/x',
      'x-envoy-internal',
      'true',
    ],
    [...PROTO, ...ID],
  ],
  [
    'peer metadata and certificates end here',
    ['x-envoy-peer-metadata', 'm', 'x-envoy-peer-metadata-id', 'i', 'x-forwarded-client-cert', 'c'],
    [...PROTO, ...ID],
  ],
  [
    'what Envoy passes, passes',
    ['x-envoy-external-address', 'a', 'x-envoy-attempt-count', '1'],
    ['x-envoy-external-address', 'a', 'x-envoy-attempt-count', '1', ...PROTO, ...ID],
  ],
];

for (const [name, flat, expected] of REQUESTS) test(`request: ${name}`, () => assert.equal(sent(...flat), expected));

test('the request id that counts is told', () => {
  assert.is(upstreamHeaders(new Headers(['x-request-id', 'mine']), () => 'new').requestId, 'mine');
  assert.is(upstreamHeaders(new Headers(), () => 'new').requestId, 'new');
});

const answered = (server: string, ...flat: string[]): readonly string[] =>
  downstreamHeaders(new Headers(flat), { server, upstreamServiceTime: '7', date: 'D' }).flat();

test('response: server is ours, date is added, and the time is measured here', () => {
  assert.equal(answered('istio-envoy', 'server', 'nginx', 'x-envoy-upstream-service-time', '99', 'a', 'b'), [
    'a',
    'b',
    'date',
    'D',
    'x-envoy-upstream-service-time',
    '7',
    'server',
    'istio-envoy',
  ]);
});

test('response: the backend keeps its date, and its server when ours is switched off', () => {
  assert.equal(answered('', 'server', 'nginx', 'date', 'theirs'), [
    'server',
    'nginx',
    'date',
    'theirs',
    'x-envoy-upstream-service-time',
    '7',
  ]);
});

test('response: hop-by-hop headers and peer metadata end here, cookies stay apart', () => {
  assert.equal(
    answered(
      '',
      'connection',
      'close',
      'transfer-encoding',
      'chunked',
      'x-envoy-peer-metadata',
      'm',
      'set-cookie',
      'a',
      'set-cookie',
      'b',
      'date',
      'd',
    ),
    ['set-cookie', 'a', 'set-cookie', 'b', 'date', 'd', 'x-envoy-upstream-service-time', '7'],
  );
});

test.run();
