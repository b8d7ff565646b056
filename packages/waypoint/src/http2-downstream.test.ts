import { MeshError } from '@ambit/common/errors';
import type { Http2Session, Http2Stream, RequestHead, ResponseHead, StreamHandler } from '@ambit/http/h2/contract';
import { clientSession } from '@ambit/http/h2/session';
import { Headers } from '@ambit/http/headers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { settle, TestBed } from './waypoint.fixture.ts';

/** What the client got on one stream. */
class Answer implements StreamHandler {
  head: ResponseHead | undefined;
  body = '';
  trailers: Headers | undefined;
  ended = false;
  closed = false;

  onHead(head: ResponseHead, end: boolean): void {
    this.head = head;
    if (end) this.ended = true;
  }

  onData(chunk: Uint8Array): void {
    this.body += Buffer.from(chunk).toString('latin1');
  }

  onTrailers(trailers: Headers): void {
    this.trailers = trailers;
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {}

  onClose(): void {
    this.closed = true;
  }
}

const HEAD: RequestHead = {
  method: 'GET',
  scheme: 'http',
  authority: 'httpbin.org',
  path: '/get',
  protocol: undefined,
  headers: new Headers(['user-agent', 'h2']),
};

function open(bed: TestBed, protocol: 'HTTP' | 'AUTO' | 'GRPC' = 'AUTO'): Http2Session {
  const client = bed.open(protocol);
  return clientSession(client.stream, { pingIntervalMs: 0 }, { onClose: () => undefined });
}

async function send(session: Http2Session, head: Partial<RequestHead>, end: boolean): Promise<[Answer, Http2Stream]> {
  const answer = new Answer();
  const stream = session.request({ ...HEAD, ...head }, end, answer);
  assert.ok(stream);
  await settle();
  return [answer, stream];
}

test('requests of one connection run beside each other', async () => {
  const bed = new TestBed();
  const session = open(bed);
  const [first] = await send(session, { path: '/1' }, true);
  const [second] = await send(session, { path: '/2' }, true);
  assert.equal(
    bed.upstream.requests.map(({ head, options }) => `${head.path} ${options.protocol}`),
    ['/1 HTTP2', '/2 HTTP2'],
  );
  bed.upstream.requests[1]?.answer(200, ['content-length', '1'], 'b');
  bed.upstream.requests[0]?.answer(404);
  await settle();
  assert.is(second.head?.status, 200);
  assert.is(second.body, 'b');
  assert.is(second.head?.headers.get('server'), 'istio-envoy');
  assert.is(first.head?.status, 404);
  assert.ok(first.ended);
  assert.match(bed.lines[0] ?? '', /"GET \/2 HTTP\/2" 200 - via_upstream - "-" 0 1 /);
});

test('an HTTP port speaks HTTP/1.1 to its backend whatever the client speaks, an HTTP/2 one HTTP/2', async () => {
  const bed = new TestBed();
  await send(open(bed, 'HTTP'), {}, true);
  assert.is(bed.upstream.last.options.protocol, 'HTTP1');
  await send(open(bed, 'GRPC'), {}, true);
  assert.is(bed.upstream.last.options.protocol, 'HTTP2');
});

test('gRPC passes with its trailers and is counted by its status', async () => {
  const bed = new TestBed();
  const grpc = {
    method: 'POST',
    path: '/s/m',
    headers: new Headers(['content-type', 'application/grpc', 'te', 'trailers']),
  };
  const [answer, stream] = await send(open(bed), grpc, false);
  stream.write(Buffer.from('ping'));
  stream.end();
  await settle();
  const { last } = bed.upstream;
  assert.is(last.body, 'ping');
  assert.ok(last.ended);
  assert.is(last.head.headers.get('te'), 'trailers');
  last.head200({ status: 200, headers: new Headers(['content-type', 'application/grpc']) }, false);
  last.handler.onData(Buffer.from('pong'));
  last.handler.onTrailers?.(new Headers(['grpc-status', '5', 'grpc-message', 'no']));
  last.handler.onEnd();
  await settle();
  assert.is(answer.body, 'pong');
  assert.is(answer.trailers?.get('grpc-status'), '5');
  assert.match(bed.registry.render(), /request_protocol="grpc",response_code="200",grpc_response_status="5"/);
});

test('a gRPC call that the backend calls UNAVAILABLE is tried again, with its body', async () => {
  const bed = new TestBed();
  const grpc = { method: 'POST', headers: new Headers(['content-type', 'application/grpc']) };
  const [answer, stream] = await send(open(bed), grpc, false);
  stream.write(Buffer.from('ping'));
  stream.end();
  await settle();
  bed.upstream.last.answer(200, ['content-type', 'application/grpc', 'grpc-status', '14']);
  await new Promise((resolve) => setTimeout(resolve, 2));
  await settle();
  assert.is(bed.upstream.requests.length, 2);
  assert.is(bed.upstream.last.body, 'ping');
  bed.upstream.last.answer(200, ['content-type', 'application/grpc', 'grpc-status', '0']);
  await settle();
  assert.is(answer.head?.headers.get('grpc-status'), '0');
});

test('a stream that its client resets is DR, and only it ends', async () => {
  const bed = new TestBed();
  const session = open(bed);
  const [, stream] = await send(session, {}, true);
  const [other] = await send(session, {}, true);
  stream.reset('CANCEL');
  await settle();
  assert.is(bed.upstream.requests[0]?.resetWith, 'CANCEL');
  assert.match(bed.lines[0] ?? '', /"GET \/get HTTP\/2" 0 DR http2\.remote_reset /);
  bed.upstream.last.answer(200);
  await settle();
  assert.is(other.head?.status, 200);
});

test('a connection that its client closes ends every stream with DC', async () => {
  const bed = new TestBed();
  const client = bed.open('AUTO');
  const session = clientSession(client.stream, { pingIntervalMs: 0 }, { onClose: () => undefined });
  await send(session, {}, true);
  client.stream.destroy();
  await settle();
  assert.is(bed.upstream.last.resetWith, 'CANCEL');
  assert.match(bed.lines[0] ?? '', /"GET \/get HTTP\/2" 0 DC downstream_remote_disconnect /);
  assert.is(bed.pipeline.connections, 0);
});

test('a response that its backend breaks off is reset', async () => {
  const bed = new TestBed();
  const [answer] = await send(open(bed), {}, true);
  bed.upstream.last.head200({ status: 200, headers: new Headers() }, false);
  bed.upstream.last.handler.onData(Buffer.from('half'));
  bed.upstream.last.handler.onClose(new MeshError('UPSTREAM_RESET', 'reset'));
  await settle();
  assert.ok(answer.closed);
  assert.not.ok(answer.ended);
  assert.match(bed.lines[0] ?? '', /200 UR upstream_reset_after_response_started\{remote_reset\} /);
});

test('a path that is none resets the stream: no reply, one line', async () => {
  const bed = new TestBed();
  const session = open(bed);
  for (const head of [{ path: '/a b' }, { path: '/\xe9' }, { authority: '' }, { authority: 'a b' }]) {
    const [answer] = await send(session, head, true);
    assert.is(answer.head, undefined);
    assert.ok(answer.closed);
    assert.is(bed.upstream.requests.length, 0);
  }
});

test('a local reply before the whole request has come asks for no more of it', async () => {
  const bed = new TestBed();
  bed.upstream.next = () => ({
    kind: 'none',
    endpoint: undefined,
    ready: undefined,
    code: 'UNKNOWN_BACKEND',
    detail: 'x',
  });
  const [answer, stream] = await send(open(bed), { method: 'POST' }, false);
  assert.is(answer.head?.status, 503);
  assert.ok(answer.ended);
  assert.is(stream.resetCode, 'NO_ERROR');
  assert.match(bed.lines[0] ?? '', /503 NC cluster_not_found /);
});

test('a draining waypoint says GOAWAY and lets streams finish', async () => {
  const bed = new TestBed();
  const session = open(bed);
  const [answer] = await send(session, {}, true);
  void bed.pipeline.drain(0);
  await settle();
  assert.not(session.accepting);
  bed.upstream.last.answer(200);
  await settle();
  assert.is(answer.head?.status, 200);
});

test('gRPC messages are counted, those of a stream while it lasts', async () => {
  const bed = new TestBed();
  const [, stream] = await send(
    open(bed),
    { method: 'POST', headers: new Headers(['content-type', 'application/grpc']) },
    false,
  );
  const message = Buffer.from([0, 0, 0, 0, 2, 0x61, 0x62]);
  stream.write(message);
  stream.write(message.subarray(0, 3));
  await settle();
  bed.upstream.last.head200({ status: 200, headers: new Headers(['content-type', 'application/grpc']) }, false);
  for (let i = 0; i < 3; i++) bed.upstream.last.handler.onData(message);
  bed.pipeline.tick();
  const counted = (direction: string, messages: number): void => {
    const series = new RegExp(
      `istio_${direction}_messages_total\\{reporter="waypoint",[^}]*request_protocol="grpc",response_flags="-",connection_security_policy="none"\\} ${messages}\n`,
    );
    assert.match(bed.registry.render(), series);
  };
  counted('request', 1);
  counted('response', 3);
  stream.write(message.subarray(3));
  stream.end();
  await settle();
  bed.upstream.last.handler.onTrailers?.(new Headers(['grpc-status', '0']));
  bed.upstream.last.handler.onEnd();
  await settle();
  counted('request', 2);
  counted('response', 3);
});

test.run();
