// deadline: 30s
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTcpServer, type Server } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Headers } from '@ambit/http/headers';
import type { UpstreamEndpoint } from './contract.ts';
import {
  backendOf,
  type BackendFields,
  endpointAt,
  listening,
  OneServiceMesh,
  pick,
  send,
  until,
  type World,
  worldOf,
} from './upstream.fixture.ts';

const servers: (Server | Http2Server)[] = [];
const sessions: ServerHttp2Session[] = [];
const worlds: World[] = [];

test.after.each(() => {
  for (const { upstream } of worlds.splice(0)) upstream.drain();
  for (const session of sessions.splice(0)) session.destroy();
  for (const server of servers.splice(0)) server.close();
});

interface Near extends World {
  readonly endpoint: UpstreamEndpoint;
}

async function near(server: Server | Http2Server, fields: BackendFields = {}): Promise<Near> {
  servers.push(server);
  const port = await listening(server);
  const world = worldOf(new OneServiceMesh([endpointAt('127.0.0.1', port)]), () => backendOf(fields));
  worlds.push(world);
  return { ...world, endpoint: await pick(world.upstream) };
}

function h2(
  onStream: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
  streams?: number,
): Http2Server {
  const server = createServer(streams === undefined ? {} : { settings: { maxConcurrentStreams: streams } });
  server.on('session', (session) => sessions.push(session.on('error', () => undefined)));
  server.on('stream', (stream: ServerHttp2Stream, headers: Record<string, unknown>) => {
    stream.on('error', () => undefined);
    onStream(stream, headers);
  });
  return server;
}
const HTTP2 = { protocol: 'HTTP2' } as const;

test('requests share one connection; bodies and trailers pass both ways', async () => {
  const server = h2((stream, headers) => {
    let body = '';
    let trailers: unknown;
    stream.on('trailers', (fields: Record<string, unknown>) => (trailers = fields['x-sum']));
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
    stream.on('end', () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(`${String(headers[':method'])} ${String(headers[':authority'])} ${body} ${String(trailers)}`);
    });
  });
  const { upstream, endpoint } = await near(server);
  const headers = new Headers(['te', 'trailers']);
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((text) =>
      send(upstream, endpoint, {
        options: { ...HTTP2, endStream: false },
        head: { method: 'POST', headers },
        onSent: (stream) => {
          stream.write(Buffer.from(text));
          stream.endWithTrailers(new Headers(['x-sum', text]));
        },
      }),
    ),
  );
  assert.equal(
    answers.map(({ body }) => body),
    ['POST api.shop a a', 'POST api.shop b b', 'POST api.shop c c'],
  );
  assert.equal(answers[0]?.trailers?.get('grpc-status'), '0');
  assert.is(sessions.length, 1);
});

test('h2UpgradePolicy UPGRADE sends HTTP/2 for an HTTP/1.1 request', async () => {
  const server = h2((stream) => {
    stream.respond({ ':status': 204 }, { endStream: true });
  });
  const { upstream, endpoint } = await near(server, { pool: { h2Upgrade: 'UPGRADE' } });
  const answer = await send(upstream, endpoint);
  assert.equal([answer.status, answer.error, answer.events], [204, undefined, ['head 204', 'end', 'close']]);
});

test('a full connection gets a second beside it', async () => {
  const held: ServerHttp2Stream[] = [];
  const { upstream, endpoint } = await near(h2((stream) => held.push(stream), 1));
  const first = send(upstream, endpoint, { options: HTTP2 });
  await until(() => held.length === 1);
  const second = send(upstream, endpoint, { options: HTTP2 });
  await until(() => held.length === 2);
  assert.is(sessions.length, 2);
  for (const stream of held) stream.respond({ ':status': 200 }, { endStream: true });
  assert.equal([(await first).status, (await second).status], [200, 200]);
});

test('a reset has its code in the message; a refused stream may be retried', async () => {
  const rows: [code: number, expected: string, retry: boolean][] = [
    [2, 'UPSTREAM_RESET', false],
    [7, 'STREAM_REFUSED', true],
  ];
  for (const [code, expected, retry] of rows) {
    const { upstream, endpoint } = await near(h2((stream) => stream.close(code)));
    const { error } = await send(upstream, endpoint, { options: HTTP2 });
    assert.equal([error?.code, error?.kind.retry], [expected, retry]);
  }
});

test('GOAWAY lets streams finish and new ones go to a new connection', async () => {
  const held: ServerHttp2Stream[] = [];
  const { upstream, endpoint } = await near(h2((stream) => held.push(stream)));
  const first = send(upstream, endpoint, { options: HTTP2 });
  await until(() => held.length === 1);
  sessions[0]?.goaway(0, held[0]?.id);
  // A PING answered is a GOAWAY read.
  await new Promise((resolve) => sessions[0]?.ping(resolve));
  const second = send(upstream, endpoint, { options: HTTP2 });
  await until(() => held.length === 2);
  for (const stream of held) stream.respond({ ':status': 200 }, { endStream: true });
  assert.equal([(await first).status, (await second).status], [200, 200]);
  assert.is(sessions.length, 2);
});

test('a destination that speaks something else is named', async () => {
  const { upstream, endpoint } = await near(
    createTcpServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  );
  const { error } = await send(upstream, endpoint, { options: HTTP2 });
  assert.is(error?.code, 'HTTP2_FAILED');
});

test('a refused connection fails every request that waited for it', async () => {
  const server = createTcpServer();
  const { upstream, endpoint } = await near(server);
  await new Promise((resolve) => server.close(resolve));
  const answers = await Promise.all([1, 2].map(() => send(upstream, endpoint, { options: HTTP2 })));
  assert.equal(
    answers.map(({ error }) => error?.code),
    ['CONNECT_REFUSED', 'CONNECT_REFUSED'],
  );
});

test('a refused connection fails who waits for it, though an old connection still finishes its streams', async () => {
  const held: ServerHttp2Stream[] = [];
  const server = h2((stream) => held.push(stream));
  const { upstream, endpoint } = await near(server);
  const first = send(upstream, endpoint, { options: HTTP2 });
  await until(() => held.length === 1);
  sessions[0]?.goaway(0, held[0]?.id);
  await new Promise((resolve) => sessions[0]?.ping(resolve));
  server.close();
  const second = await send(upstream, endpoint, { options: HTTP2 });
  assert.is(second.error?.code, 'CONNECT_REFUSED');
  held[0]?.respond({ ':status': 200 }, { endStream: true });
  assert.is((await first).status, 200);
});

test.run();
