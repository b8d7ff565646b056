import { type ErrorCode, ERRORS, MeshError } from '@ambit/common/errors';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { failureAfterResponse, failureBeforeResponse } from './upstream-failure.ts';

const RESET = 'upstream connect error or disconnect/reset before headers. reset reason: ';
const before = (inner: string): string => `upstream_reset_before_response_started{${inner}}`;
const REFUSED = 'delayed_connect_error:_Connection_refused';

/** Status, body, flag and detail of Envoy 1.39 for each way an upstream fails. */
const TABLE: readonly (readonly [code: ErrorCode, status: number, text: string, flag: string, detail: string])[] = [
  ['CONNECT_REFUSED', 503, `${RESET}remote connection failure`, 'UF', before(`remote_connection_failure|${REFUSED}`)],
  ['CONNECT_TIMEOUT', 503, `${RESET}connection timeout`, 'UF', before('connection_timeout')],
  ['UPSTREAM_CLOSED', 503, `${RESET}connection termination`, 'UC', before('connection_termination')],
  ['STALE_CONNECTION', 503, `${RESET}connection termination`, 'UC', before('connection_termination')],
  ['UPSTREAM_RESET', 503, `${RESET}remote reset`, 'UR', before('remote_reset')],
  ['UPSTREAM_PROTOCOL', 502, `${RESET}protocol error`, 'UPE', before('protocol_error')],
  ['HTTP2_FAILED', 502, `${RESET}protocol error`, 'UPE', before('protocol_error')],
  ['OVERFLOW', 503, `${RESET}overflow`, 'UO', before('overflow')],
  ['TIMEOUT', 504, 'upstream request timeout', 'UT', 'response_timeout'],
  ['NO_HEALTHY_UPSTREAM', 503, 'no healthy upstream', 'UH', 'no_healthy_upstream'],
  ['DNS_FAILED', 503, 'no healthy upstream', 'UH', 'no_healthy_upstream'],
  ['UNKNOWN_BACKEND', 503, '', 'NC', 'cluster_not_found'],
  ['INTERNAL', 503, `${RESET}local reset`, 'LR', before('local_reset')],
];

for (const [code, status, text, flag, detail] of TABLE) {
  test(`${code} is ${status} ${flag}`, () => {
    const reply = failureBeforeResponse(new MeshError(code, 'secret detail'), false);
    assert.equal([reply.status, reply.text, reply.flag, reply.detail], [status, text, flag, detail]);
    assert.is(reply.overloaded, code === 'OVERFLOW');
  });
}

test('after a retry the client is told so', () => {
  const reply = failureBeforeResponse(new MeshError('UPSTREAM_CLOSED', ''), true);
  assert.match(reply.text, /before headers\. retried and the latest reset reason: connection termination$/);
});

test('why a connection could not be made secure goes to the log as one word, never to the client', () => {
  for (const code of ['TLS_FAILED', 'TLS_NAME_MISMATCH', 'NO_IDENTITY', 'CERT_REVOKED', 'TUNNEL_REFUSED'] as const) {
    const reply = failureBeforeResponse(new MeshError(code, 'expected a.example, "got"\nb.example'), false);
    assert.match(reply.transportFailure, /^[!#-~]+$/);
    assert.match(reply.transportFailure, /expected_a\.example/);
    assert.not.match(reply.text, /example/);
    assert.is(reply.flag, 'UF');
  }
});

test('every failure has a reply that is one', () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const reply = failureBeforeResponse(new MeshError(code, 'x'), false);
    assert.ok(reply.status >= 400 && reply.status < 600, code);
    assert.match(reply.flag, /^[A-Z]+$/, code);
  }
});

test('a response cut off is UR when it was reset, else UPE', () => {
  assert.equal(failureAfterResponse(new MeshError('UPSTREAM_RESET', '')), {
    flag: 'UR',
    detail: 'upstream_reset_after_response_started{remote_reset}',
  });
  assert.is(failureAfterResponse(new MeshError('UPSTREAM_CLOSED', '')).flag, 'UPE');
});

test.run();
