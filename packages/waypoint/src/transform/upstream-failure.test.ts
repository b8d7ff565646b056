import { type ErrorCode, ERRORS, MeshError } from '@ambit/common/errors';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { failureAfterResponse, failureBeforeResponse } from './upstream-failure.ts';

const RESET = 'upstream connect error or disconnect/reset before headers. reset reason: ';
const before = (inner: string): string => `upstream_reset_before_response_started{${inner}}`;
const REFUSED = 'delayed_connect_error:_Connection_refused';

type Row = readonly [status: number, text: string, flag: string, detail: string];

const refused = (inner: string): Row => [
  503,
  `${RESET}remote connection failure`,
  'UF',
  before(`remote_connection_failure|${inner}`),
];
const localReset: Row = [503, `${RESET}local reset`, 'LR', before('local_reset')];
const terminated: Row = [503, `${RESET}connection termination`, 'UC', before('connection_termination')];
const remoteReset: Row = [503, `${RESET}remote reset`, 'UR', before('remote_reset')];
const protocolError: Row = [502, `${RESET}protocol error`, 'UPE', before('protocol_error')];
const unhealthy: Row = [503, 'no healthy upstream', 'UH', 'no_healthy_upstream'];

/** Status, body, flag and detail of Envoy 1.39 for each way an upstream fails; every code there is. */
const TABLE: Readonly<Record<ErrorCode, Row>> = {
  CONNECT_REFUSED: refused(REFUSED),
  CONNECT_TIMEOUT: [503, `${RESET}connection timeout`, 'UF', before('connection_timeout')],
  HBONE_TIMEOUT: [503, `${RESET}connection timeout`, 'UF', before('connection_timeout|hbone_timeout:_secret_detail')],
  TLS_FAILED: refused('TLS_error:_secret_detail'),
  TLS_NAME_MISMATCH: refused('TLS_error:_secret_detail'),
  NO_IDENTITY: refused('no_identity:_secret_detail'),
  CERT_REVOKED: refused('cert_revoked:_secret_detail'),
  TUNNEL_DENIED: refused('tunnel_denied:_secret_detail'),
  TUNNEL_REFUSED: refused('tunnel_refused:_secret_detail'),
  UPSTREAM_CLOSED: terminated,
  STALE_CONNECTION: terminated,
  UPSTREAM_RESET: remoteReset,
  STREAM_REFUSED: remoteReset,
  UPSTREAM_PROTOCOL: protocolError,
  HTTP2_FAILED: protocolError,
  HTTP_INVALID: [400, 'Bad Request', 'DPE', 'http2.violation.of.messaging.rule'],
  OVERFLOW: [503, `${RESET}overflow`, 'UO', before('overflow')],
  TIMEOUT: [504, 'upstream request timeout', 'UT', 'response_timeout'],
  NO_HEALTHY_UPSTREAM: unhealthy,
  DNS_FAILED: unhealthy,
  UNKNOWN_BACKEND: [503, '', 'NC', 'cluster_not_found'],
  NO_ROUTE: [404, '', 'NR', 'route_not_found'],
  DOWNSTREAM_CLOSED: localReset,
  POLICY_DENIED: localReset,
  LIMIT: localReset,
  DRAINING: localReset,
  CONFIG: localReset,
  INTERNAL: localReset,
};

for (const code of Object.keys(ERRORS) as ErrorCode[]) {
  const [status, text, flag, detail] = TABLE[code];
  test(`${code} is ${status} ${flag}`, () => {
    const reply = failureBeforeResponse(new MeshError(code, 'secret detail'), false);
    assert.equal([reply.status, reply.text, reply.flag, reply.detail], [status, text, flag, detail]);
    assert.is(reply.overloaded, code === 'OVERFLOW');
    assert.not.match(reply.text, /secret/);
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

test('a response cut off is UR when it was reset, else UPE', () => {
  assert.equal(failureAfterResponse(new MeshError('UPSTREAM_RESET', '')), {
    flag: 'UR',
    detail: 'upstream_reset_after_response_started{remote_reset}',
  });
  assert.is(failureAfterResponse(new MeshError('UPSTREAM_CLOSED', '')).flag, 'UPE');
});

test.run();
