// deadline: 20s
import { once } from 'node:events';
import { createServer, type Server as HttpServer } from 'node:http';
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { asMeshError } from '@ambit/common/errors';
import { socketStream } from '@ambit/common/net/socket-stream';
import { Headers } from '@ambit/http/headers';
import type { UpstreamEndpoint, UpstreamStream } from './contract.ts';
import { Http1Pool } from './http1-pool.ts';
import { PoolUsage } from './limits.ts';
import { Outgoing } from './outgoing.ts';
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

const servers: (Server | HttpServer)[] = [];
const worlds: World[] = [];

test.after.each(() => {
  for (const { upstream } of worlds.splice(0)) upstream.drain();
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  }
});

interface Near extends World {
  readonly endpoint: UpstreamEndpoint;
}

async function near(server: Server | HttpServer, fields: BackendFields = {}): Promise<Near> {
  servers.push(server);
  const port = await listening(server);
  const world = worldOf(new OneServiceMesh([endpointAt('127.0.0.1', port)]), () => backendOf(fields));
  worlds.push(world);
  return { ...world, endpoint: await pick(world.upstream) };
}

/** A server that reads whole request heads and says exactly these bytes, per request of a connection. */
function scripted(...answers: readonly ((socket: Socket, request: string) => void)[]): Server {
  return createTcpServer((socket) => {
    let next = 0;
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const request = text.slice(0, end + 4);
        text = text.slice(end + 4);
        answers[next++]?.(socket, request);
      }
    });
  });
}
const says =
  (text: string) =>
  (socket: Socket): void =>
    void socket.write(text);
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

test('requests one after another share a connection, requests at once do not', async () => {
  const peers = new Set<number | undefined>();
  const { upstream, endpoint } = await near(
    createServer((request, response) => {
      peers.add(request.socket.remotePort);
      response.end('ok');
    }),
  );
  for (let i = 0; i < 3; i++) assert.is((await send(upstream, endpoint)).body, 'ok');
  assert.is(peers.size, 1);
  await Promise.all([send(upstream, endpoint), send(upstream, endpoint), send(upstream, endpoint)]);
  assert.is(peers.size, 3);
});

test('events come in order and the local address is known once the connection stands', async () => {
  const { upstream, endpoint } = await near(createServer((_, response) => response.end('ok')));
  let port: number | undefined;
  const answer = await send(upstream, endpoint, {
    onStream: (stream, event) => {
      if (event === 'head 200') port = stream.local?.port;
    },
  });
  assert.equal(answer.events, ['head 200', 'data', 'end', 'close']);
  assert.is(answer.error, undefined);
  assert.ok(port !== undefined && port > 0);
});

test('the head is written anew: one Host, one body length, no field of another connection', async () => {
  let seen = '';
  const { upstream, endpoint } = await near(
    scripted((socket, request) => {
      seen = request;
      socket.write(OK);
    }),
  );
  const headers = new Headers([
    'host',
    'evil',
    'connection',
    'x',
    'transfer-encoding',
    'chunked',
    'a',
    '1',
    'te',
    'trailers',
  ]);
  await send(upstream, endpoint, { head: { method: 'POST', authority: 'api.shop:80', path: '/x?y', headers } });
  assert.is(seen, 'POST /x?y HTTP/1.1\r\nhost: api.shop:80\r\na: 1\r\ncontent-length: 0\r\n\r\n');
});

test('bodies are chunked, or as long as they say; what says otherwise never gets through', async () => {
  const { upstream, endpoint } = await near(
    createServer((request, response) => {
      const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => response.end(`${length ?? ''}|${encoding ?? ''}|${body}`));
    }),
  );
  assert.is((await send(upstream, endpoint, { body: 'hello' })).body, '|chunked|hello');
  const sized = (length: string): Headers => new Headers(['content-length', length]);
  assert.is((await send(upstream, endpoint, { body: 'hello', head: { headers: sized('5') } })).body, '5||hello');
  for (const wrong of ['4', '6']) {
    const answer = await send(upstream, endpoint, { body: 'hello', head: { headers: sized(wrong) } });
    assert.is(answer.error?.code, 'HTTP_INVALID', wrong);
  }
});

test('a response may end by length, by its last chunk, by close, or have no body', async () => {
  const rows: [method: string, answer: string, body: string][] = [
    ['GET', OK, 'ok'],
    ['GET', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n', 'ok'],
    ['GET', 'HTTP/1.1 200 OK\r\n\r\nok', 'ok'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    ['GET', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', ''],
    ['HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n', ''],
  ];
  for (const [method, text, body] of rows) {
    const closes = !/length|chunked|204/.test(text);
    const { upstream, endpoint } = await near(scripted((socket) => (closes ? socket.end(text) : socket.write(text))));
    const answer = await send(upstream, endpoint, { head: { method } });
    assert.equal([answer.error, answer.body], [undefined, body], text);
    assert.is(answer.events.filter((event) => event === 'end').length, 1, text);
    assert.not(answer.headers.has('transfer-encoding'));
    if (text.includes('x-sum')) assert.is(answer.trailers?.get('x-sum'), '1');
  }
});

test('interim responses pass before the final one', async () => {
  const { upstream, endpoint } = await near(
    scripted(says(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n${OK}`)),
  );
  const answer = await send(upstream, endpoint);
  assert.equal([answer.interim, answer.status, answer.body], [[100, 103], 200, 'ok']);
});

test('a reused connection that closes unanswered may be retried when the method allows it, a new one never', async () => {
  const rows: [body: string | undefined, code: string][] = [
    [undefined, 'STALE_CONNECTION'],
    ['x', 'UPSTREAM_CLOSED'],
  ];
  for (const [body, code] of rows) {
    const { upstream, endpoint } = await near(scripted(says(OK), (socket) => socket.destroy()));
    assert.is((await send(upstream, endpoint)).status, 200);
    const second = await send(upstream, endpoint, body === undefined ? {} : { body });
    assert.is(second.error?.code, code);
    assert.match(second.error?.message ?? '', 'api.shop (127.0.0.1:');
  }
  const { upstream, endpoint } = await near(scripted((socket) => socket.destroy()));
  assert.is((await send(upstream, endpoint)).error?.code, 'UPSTREAM_CLOSED');
});

test('an idle connection that the destination closes is not used again', async () => {
  let connections = 0;
  let closed = 0;
  const server = scripted((socket) => socket.end(OK));
  server.on('connection', (socket) => {
    connections++;
    socket.on('close', () => closed++);
  });
  const { upstream, endpoint } = await near(server);
  for (let i = 0; i < 3; i++) {
    assert.is((await send(upstream, endpoint)).status, 200);
    await until(() => closed === connections);
  }
  assert.is(connections, 3);
});

test('bytes after a response are never taken for the next one', async () => {
  const { upstream, endpoint } = await near(
    scripted(says(`${OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`), says(OK)),
  );
  assert.is((await send(upstream, endpoint)).body, 'ok');
  assert.is((await send(upstream, endpoint)).body, 'ok');
});

test('what is no HTTP is a protocol error that says what it looks like', async () => {
  const rows: [bytes: Buffer, pattern: RegExp][] = [
    [Buffer.from('SSH-2.0-x\r\n'), /no valid HTTP/],
    [Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]), /speaks TLS and was sent plain HTTP/],
    [Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n'), /no valid HTTP/],
    [Buffer.from(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`), /no valid HTTP/],
    [Buffer.from('HTTP/1.1 101 Switching Protocols\r\n\r\n'), /101 to no upgrade/],
  ];
  for (const [bytes, pattern] of rows) {
    const { upstream, endpoint } = await near(scripted((socket) => socket.write(bytes)));
    const { error } = await send(upstream, endpoint);
    assert.is(error?.code, 'UPSTREAM_PROTOCOL');
    assert.match(error?.message ?? '', pattern);
  }
});

test('a response cut short in its body is an error after its head', async () => {
  const { upstream, endpoint } = await near(
    scripted((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok')),
  );
  const answer = await send(upstream, endpoint);
  assert.equal([answer.status, answer.error?.code], [200, 'UPSTREAM_PROTOCOL']);
});

test('WebSocket: after 101 raw bytes pass both ways, from the very first', async () => {
  const { upstream, endpoint } = await near(
    scripted((socket, request) => {
      assert.match(request, /connection: upgrade\r\nupgrade: websocket\r\n/);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nfirst');
      socket.removeAllListeners('data');
      socket.on('data', (chunk) => socket.end(`echo ${chunk.toString()}`));
    }),
  );
  const answer = await send(upstream, endpoint, {
    options: { upgrade: 'websocket', endStream: false },
    onStream: (stream, event) => {
      if (event === 'data' && !stream.local) assert.unreachable();
      if (event === 'head 101') stream.write(Buffer.from('\0\x01hello'));
      if (event === 'end') stream.end();
    },
  });
  assert.is(answer.status, 101);
  assert.is(answer.headers.get('upgrade'), 'websocket');
  assert.is(answer.body, 'firstecho \0\x01hello');
  assert.is(answer.error, undefined);
});

test('pause holds the body back and resume lets it go on to its end', async () => {
  const size = 4 << 20;
  const { upstream, endpoint } = await near(createServer((_, response) => response.end(Buffer.alloc(size, 'x'))));
  let pauses = 0;
  const answer = await send(upstream, endpoint, {
    onStream: (stream, event) => {
      if (event !== 'data' || pauses >= 5) return;
      pauses++;
      stream.pause();
      setImmediate(() => stream.resume());
    },
  });
  assert.is(pauses, 5);
  assert.equal([answer.error, answer.body.length], [undefined, size]);
});

test('limits of connectionPool overflow by name', async () => {
  const held: (() => void)[] = [];
  const server = createServer((_, response) => held.push(() => response.end('ok')));
  const { upstream, endpoint } = await near(server, { pool: { maxConnections: 1, maxPendingRequests: 1 } });
  const first = send(upstream, endpoint);
  await until(() => held.length > 0);
  const second = send(upstream, endpoint);
  const third = await send(upstream, endpoint);
  assert.is(third.error?.code, 'OVERFLOW');
  assert.match(third.error?.message ?? '', 'http1MaxPendingRequests');
  held.shift()?.();
  assert.is((await first).body, 'ok');
  await until(() => held.length > 0);
  held.shift()?.();
  assert.is((await second).body, 'ok');
});

test('http2MaxRequests counts every request under way, and opaque connections count as connections', async () => {
  const server = createServer((_, response) => response.end('ok'));
  const { upstream, endpoint } = await near(server, { pool: { maxRequests: 1, maxConnections: 1 } });
  const [first, second] = await Promise.all([send(upstream, endpoint), send(upstream, endpoint)]);
  assert.equal([first?.body, second?.error?.code], ['ok', 'OVERFLOW']);
  assert.match(second?.error?.message ?? '', 'http2MaxRequests');
  const signal = new AbortController().signal;
  const full = await upstream.connect(endpoint, signal).catch((error: unknown) => asMeshError(error));
  assert.equal('code' in full && full.code, 'OVERFLOW');
});

test('idle connections end after their timeout, and all of them when the program drains', async () => {
  let open = 0;
  const server = createServer((_, response) => response.end('ok'));
  server.on('connection', (socket) => {
    open++;
    socket.on('close', () => open--);
  });
  const { endpoint } = await near(server, { pool: { idleTimeoutMs: 1000 } });
  const clock = { now: 0 };
  const usage = new PoolUsage();
  const pool = new Http1Pool({
    endpoint,
    usage,
    destination: 'api.shop',
    now: () => clock.now,
    open: async () => {
      const socket = connect(endpoint.address.port, '127.0.0.1');
      await once(socket, 'connect');
      return { stream: socketStream(socket), local: endpoint.address };
    },
  });
  const exchange = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const head = {
      method: 'GET',
      scheme: 'http',
      authority: 'a',
      path: '/',
      protocol: undefined,
      headers: new Headers(),
    };
    const handler = { onData: nothing, onEnd: nothing, onDrain: nothing, onClose: () => resolve() };
    const owner = { onAbandoned: nothing, onFinished: nothing };
    pool.submit(new Outgoing(head, { endStream: true, protocol: 'HTTP1' }, handler, owner));
    await promise;
  };
  await exchange();
  clock.now = 999;
  assert.not(pool.sweep());
  assert.is(usage.connections, 1);
  clock.now = 1000;
  assert.ok(pool.sweep());
  await until(() => open === 0);
  await exchange();
  assert.is(usage.connections, 1);
  pool.drain();
  assert.equal(usage, new PoolUsage());
  await until(() => open === 0);
});
const nothing = (): void => undefined;

test('maxRequestsPerConnection closes a connection after so many', async () => {
  const peers = new Set<number | undefined>();
  const server = createServer((request, response) => {
    peers.add(request.socket.remotePort);
    response.end('ok');
  });
  const { upstream, endpoint } = await near(server, { pool: { maxRequestsPerConnection: 2 } });
  for (let i = 0; i < 4; i++) await send(upstream, endpoint);
  assert.is(peers.size, 2);
});

test('a refused connection names the destination and the reason, and may be retried', async () => {
  const server = createServer();
  const { upstream, endpoint } = await near(server);
  await new Promise((resolve) => server.close(resolve));
  const { error } = await send(upstream, endpoint);
  assert.is(error?.code, 'CONNECT_REFUSED');
  assert.ok(error?.kind.retry);
  assert.match(error?.message ?? '', /connection to api\.shop \(127\.0\.0\.1:\d+\) failed: connection refused/);
});

test('giving up closes the connection, and what waited for one is forgotten', async () => {
  const sockets: Socket[] = [];
  let closed = 0;
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined).on('data', () => undefined);
    socket.on('close', () => closed++);
  });
  const { upstream, endpoint } = await near(server, { pool: { maxConnections: 1, maxPendingRequests: 1 } });
  const streams: UpstreamStream[] = [];
  const [first, second] = [0, 1].map(() =>
    send(upstream, endpoint, { body: 'x', onSent: (stream) => streams.push(stream) }),
  );
  await until(() => sockets.length === 1);
  streams[1]?.reset('CANCEL');
  assert.is((await second)?.status, 0);
  streams[0]?.reset('CANCEL');
  assert.is((await first)?.status, 0);
  await until(() => closed === 1);
  assert.is(sockets.length, 1);
});

test.run();
