// deadline: 60s
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { socketStream } from '@ambit/common/net/socket-stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Headers } from '../headers.ts';
import type {
  Http2Session,
  Http2Stream,
  RequestHead,
  SessionHandler,
  SessionOptions,
  StreamHandler,
} from './contract.ts';
import { clientSession, serverSession } from './session.ts';

const BIG = randomBytes(5 * 1024 * 1024 + 3);

async function listen(onSocket: (socket: Socket) => void): Promise<{ port: number; server: Server }> {
  const server = createServer(onSocket);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

const head = (method: string, path: string, headers: string[] = []): RequestHead => ({
  method,
  path: method === 'CONNECT' ? undefined : path,
  scheme: method === 'CONNECT' ? undefined : 'http',
  authority: 'a.test',
  protocol: undefined,
  headers: new Headers(headers),
});

interface Answer {
  readonly status: number;
  readonly headers: Headers | undefined;
  readonly trailers: Headers | undefined;
  readonly body: Buffer;
  readonly events: string[];
  readonly error: Error | undefined;
}

/** Collects one exchange; `onStream` may write the request body. */
async function exchange(
  session: Http2Session,
  request: RequestHead,
  onStream?: (stream: Http2Stream) => void,
): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const events: string[] = [];
  const chunks: Buffer[] = [];
  let status = 0;
  let headers: Headers | undefined;
  let trailers: Headers | undefined;
  const handler: StreamHandler = {
    onHead: (got) => {
      events.push(`head ${got.status}`);
      status = got.status;
      headers = got.headers;
    },
    onData: (chunk) => void chunks.push(Buffer.from(chunk)),
    onTrailers: (got) => {
      events.push('trailers');
      trailers = got;
    },
    onEnd: () => void events.push('end'),
    onDrain: () => pump?.(),
    onClose: (error) => {
      events.push(error === undefined ? 'close' : 'error');
      resolve({ status, headers, trailers, body: Buffer.concat(chunks), events, error });
    },
  };
  let pump: (() => void) | undefined;
  const stream = session.request(request, onStream === undefined, handler);
  if (stream === undefined) throw new Error('no stream could be opened');
  pumps.set(stream, (fn) => (pump = fn));
  onStream?.(stream);
  return promise;
}

const pumps = new WeakMap<Http2Stream, (fn: () => void) => void>();

/** Writes all bytes in pieces, respecting backpressure, then ends. */
function send(stream: Http2Stream, bytes: Buffer, piece = 50_000): void {
  let at = 0;
  const go = (): void => {
    while (at < bytes.length) {
      const chunk = bytes.subarray(at, (at += piece));
      if (!stream.write(chunk)) return;
    }
    stream.end();
  };
  pumps.get(stream)?.(go);
  go();
}

const quiet: SessionHandler = { onClose: () => undefined };

/** A server of ours that echoes bodies; GET /big, /trailers, /early answer as named. */
function echo(socket: Socket, options: Partial<SessionOptions> = {}): Http2Session {
  return serverSession(socketStream(socket), options, {
    onClose: () => undefined,
    onRequest: (stream, request, end) => {
      const answer = (status: number, headers: string[], done: boolean): void =>
        stream.respond({ status, headers: new Headers(headers) }, done);
      if (request.path === '/trailers') {
        answer(200, ['content-type', 'application/grpc'], false);
        stream.write(Buffer.from('message'));
        stream.endWithTrailers(new Headers(['grpc-status', '0']));
      } else if (request.path === '/early') {
        answer(103, ['link', '</a>'], false);
        answer(200, [], true);
      } else if (request.path === '/big') {
        answer(200, ['content-length', String(BIG.length)], false);
        stream.write(BIG);
        stream.end();
      } else answer(200, ['x-seen', request.headers.get('x-sent') ?? ''], end);
      stream.attach({
        onData: (chunk) => {
          if (!stream.write(Buffer.from(chunk))) stream.pause();
        },
        onDrain: () => stream.resume(),
        onEnd: () => stream.end(),
        onClose: () => undefined,
      });
    },
  });
}

async function ours(
  options: Partial<SessionOptions> = {},
  handler: SessionHandler = quiet,
): Promise<{ session: Http2Session; server: () => Http2Session; close: () => void }> {
  let served: Http2Session | undefined;
  const { server, port } = await listen((socket) => (served = echo(socket, options)));
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const session = clientSession(socketStream(socket), options, handler);
  return {
    session,
    server: () => {
      if (served === undefined) throw new Error('not connected yet');
      return served;
    },
    close: () => {
      session.destroy();
      served?.destroy();
      server.close();
    },
  };
}

test('a request with a body comes back byte for byte', async () => {
  const at = await ours();
  const answer = await exchange(at.session, head('POST', '/', ['x-sent', 'yes']), (stream) => send(stream, BIG));
  assert.is(answer.status, 200);
  assert.is(answer.headers?.get('x-seen'), 'yes');
  assert.ok(answer.body.equals(BIG));
  assert.equal(answer.events, ['head 200', 'end', 'close']);
  at.close();
});

test('small windows and frames still carry everything', async () => {
  const at = await ours({ initialWindow: 5000, connectionWindow: 70_000, maxFrameSize: 16_384, sendBuffer: 10_000 });
  const body = BIG.subarray(0, 300_001);
  const answers = await Promise.all(
    [1, 2, 3].map(() => exchange(at.session, head('POST', '/'), (stream) => send(stream, body, 7001))),
  );
  for (const answer of answers) assert.ok(answer.body.equals(body));
  at.close();
});

test('trailers, interim responses and large answers arrive in order', async () => {
  const at = await ours();
  const grpc = await exchange(at.session, head('POST', '/trailers'));
  assert.equal(grpc.events, ['head 200', 'trailers', 'end', 'close']);
  assert.is(grpc.trailers?.get('grpc-status'), '0');
  const early = await exchange(at.session, head('GET', '/early'));
  assert.equal(early.events, ['head 103', 'head 200', 'end', 'close']);
  const big = await exchange(at.session, head('GET', '/big'));
  assert.ok(big.body.equals(BIG));
  at.close();
});

test('many streams at once each get their own bytes', async () => {
  const at = await ours({ maxConcurrentStreams: 200 });
  const bodies = Array.from({ length: 150 }, (_, i) => randomBytes(1 + i * 331));
  const answers = await Promise.all(
    bodies.map((body) => exchange(at.session, head('POST', '/'), (stream) => send(stream, body, 1000))),
  );
  answers.forEach((answer, i) => assert.ok(answer.body.equals(bodies[i] ?? Buffer.alloc(0))));
  assert.is(at.session.activeStreams, 0);
  at.close();
});

test("the peer's stream limit is obeyed once it is known", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const at = await ours({ maxConcurrentStreams: 2 }, { onClose: () => undefined, onCapacity: () => resolve() });
  await promise;
  assert.is(at.session.peerMaxStreams, 2);
  const open = (): Http2Stream | undefined =>
    at.session.request(head('CONNECT', ''), false, {
      onData: () => undefined,
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: () => undefined,
    });
  assert.ok(open());
  const second = open();
  assert.ok(second);
  assert.is(open(), undefined);
  second?.destroy();
  assert.ok(open());
  at.close();
});

test('a drained server finishes open streams, takes no new ones and closes', async () => {
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  const gone = Promise.withResolvers<void>();
  const at = await ours({}, { onClose: resolve, onGoaway: () => gone.resolve() });
  const answer = exchange(at.session, head('POST', '/'), (stream) => {
    stream.write(Buffer.from('before '));
    void gone.promise.then(() => {
      assert.is(at.session.accepting, false);
      assert.is(
        at.session.request(head('GET', '/'), true, { onData() {}, onEnd() {}, onDrain() {}, onClose() {} }),
        undefined,
      );
      stream.write(Buffer.from('after'));
      stream.end();
    });
  });
  await exchange(at.session, head('GET', '/early'));
  at.server().drain();
  assert.is((await answer).body.toString(), 'before after');
  assert.is(await promise, undefined);
  at.close();
});

test('a reset reaches the peer with its code and ends both sides', async () => {
  const codes: (string | undefined)[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const { server, port } = await listen((socket) => {
    serverSession(
      socketStream(socket),
      {},
      {
        onClose: () => undefined,
        onRequest: (stream) => {
          stream.respond({ status: 200, headers: new Headers() }, false);
          stream.attach({
            onData: () => undefined,
            onEnd: () => undefined,
            onDrain: () => undefined,
            onClose: () => {
              codes.push(stream.resetCode);
              resolve();
            },
          });
        },
      },
    );
  });
  const socket = connect(port, '127.0.0.1');
  const session = clientSession(socketStream(socket), {}, quiet);
  const reason = new Error('mine');
  const answer = await exchange(session, head('CONNECT', ''), (stream) => setImmediate(() => stream.destroy(reason)));
  assert.is(answer.error, reason);
  await promise;
  assert.equal(codes, ['CANCEL']);
  session.destroy();
  server.close();
});

test('a stream that is not read holds back its sender but not the others', async () => {
  const at = await ours({ initialWindow: 64 * 1024, connectionWindow: 1024 * 1024, sendBuffer: 64 * 1024 });
  let held = 0;
  const stuck = at.session.request(head('GET', '/big'), true, {
    onData: (chunk) => {
      held += chunk.length;
      stuck?.pause();
    },
    onEnd: () => undefined,
    onDrain: () => undefined,
    onClose: () => undefined,
  });
  const body = BIG.subarray(0, 2_000_000);
  const answer = await exchange(at.session, head('POST', '/'), (stream) => send(stream, body));
  assert.ok(answer.body.equals(body));
  assert.ok(held <= 64 * 1024, `${held} bytes were delivered to a paused reader`);
  at.close();
});

// ── against node:http2 ──

test('our client talks to a node:http2 server: bodies, trailers, many streams', async () => {
  const server = http2.createServer((request, response) => {
    if (request.url === '/trailers') {
      response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status' });
      response.write('message');
      response.addTrailers({ 'grpc-status': '0' });
      response.end();
    } else request.pipe(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const socket = connect(typeof address === 'object' && address ? address.port : 0, '127.0.0.1');
  const session = clientSession(socketStream(socket), {}, quiet);
  const bodies = Array.from({ length: 60 }, (_, i) => randomBytes(1 + i * 9973));
  const answers = await Promise.all(
    bodies.map((body) => exchange(session, head('POST', '/'), (stream) => send(stream, body))),
  );
  answers.forEach((answer, i) => assert.ok(answer.body.equals(bodies[i] ?? Buffer.alloc(0))));
  const grpc = await exchange(session, head('POST', '/trailers'));
  assert.is(grpc.trailers?.get('grpc-status'), '0');
  session.destroy();
  server.close();
});

test('our server answers a node:http2 client: bodies, trailers, resets, every header byte', async () => {
  const { server, port } = await listen((socket) => void echo(socket));
  const client = http2.connect(`http://127.0.0.1:${port}`);
  const ask = async (
    path: string,
    body: Buffer | undefined,
    extra = {},
  ): Promise<{ headers: http2.IncomingHttpHeaders; body: Buffer; trailers: http2.IncomingHttpHeaders | undefined }> => {
    const request = client.request({ ':path': path, ':method': body ? 'POST' : 'GET', ...extra });
    request.end(body);
    const [headers] = await once(request, 'response');
    let trailers: http2.IncomingHttpHeaders | undefined;
    request.on('trailers', (got) => (trailers = got));
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    return { headers, trailers, body: Buffer.concat(chunks) };
  };
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  assert.is(hash((await ask('/', BIG)).body), hash(BIG));
  assert.is(hash((await ask('/big', undefined)).body), hash(BIG));
  assert.is((await ask('/trailers', undefined)).trailers?.['grpc-status'], '0');
  const value = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i))
    .join('')
    .replaceAll(/[\0-\x20\x7f]/g, '');
  const seen = await ask('/', Buffer.from('x'), { 'x-sent': value });
  assert.is(seen.headers['x-seen'], value);
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => ask('/', Buffer.alloc(i * 1000, i))));
  many.forEach((answer, i) => assert.ok(answer.body.equals(Buffer.alloc(i * 1000, i))));
  client.close();
  server.close();
});

test.run();
