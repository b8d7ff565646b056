import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { localReply } from './local-reply.ts';

const FACTS = { text: '', isGrpc: false, isHead: false, server: 'istio-envoy', date: 'D', overloaded: false };

test('a reply is text/plain with its length; without text it has neither', () => {
  const denied = localReply({ ...FACTS, status: 403, text: 'RBAC: access denied' });
  assert.equal(denied.headers.flat(), [
    'content-length',
    '19',
    'content-type',
    'text/plain',
    'date',
    'D',
    'server',
    'istio-envoy',
  ]);
  assert.is(Buffer.from(denied.body).toString(), 'RBAC: access denied');
  assert.equal(localReply({ ...FACTS, status: 404 }).headers.flat(), ['date', 'D', 'server', 'istio-envoy']);
});

test('HEAD gets the headers of the body and no body', () => {
  const reply = localReply({ ...FACTS, status: 503, text: 'no healthy upstream', isHead: true });
  assert.is(reply.headers.get('content-length'), '19');
  assert.is(reply.body.length, 0);
});

test('an overflow says so', () => {
  assert.is(localReply({ ...FACTS, status: 503, overloaded: true }).headers.get('x-envoy-overloaded'), 'true');
});

const GRPC: readonly (readonly [status: number, grpc: string])[] = [
  [400, '13'],
  [401, '16'],
  [403, '7'],
  [404, '12'],
  [429, '14'],
  [500, '2'],
  [502, '14'],
  [503, '14'],
  [504, '14'],
];

for (const [status, grpc] of GRPC) {
  test(`gRPC callers get ${grpc} for ${status}`, () => {
    const reply = localReply({ ...FACTS, status, text: 'why', isGrpc: true });
    assert.is(reply.status, 200);
    assert.is(reply.body.length, 0);
    assert.equal(reply.headers.flat(), [
      'content-type',
      'application/grpc',
      'grpc-status',
      grpc,
      'grpc-message',
      'why',
      'date',
      'D',
      'server',
      'istio-envoy',
    ]);
  });
}

test('a gRPC message is left out when empty and encoded when not plain', () => {
  assert.is(localReply({ ...FACTS, status: 404, isGrpc: true }).headers.get('grpc-message'), undefined);
  assert.is(
    localReply({ ...FACTS, status: 404, text: '5% é', isGrpc: true }).headers.get('grpc-message'),
    '5%25 %C3%A9',
  );
});

test.run();
