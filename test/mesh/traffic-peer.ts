/**
 * What runs in the pods of the traffic tests. `node traffic-peer.ts serve` answers on every port below;
 * `node traffic-peer.ts <call> HOST [ARG…]` makes one call and prints what came of it as JSON.
 */
import { createHash } from 'node:crypto';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';

const HTTP = 8080;
const GRPC = 9090;
const SERVER_FIRST = 7000;
const CLIENT_ENDS_FIRST = 7001;
const SERVER_ENDS_FIRST = 7002;
const GREETING = '220 peer speaks first\r\n';
const DEADLINE_MS = 10_000;

const [call = '', host = '', ...rest] = process.argv.slice(2);
const CALLS: Readonly<Record<string, () => void>> = {
  serve,
  grpc: callGrpc,
  websocket: callWebsocket,
  bytes: callBytes,
  chunked: callChunked,
  expect: callExpect,
  pipeline: callPipeline,
  greeting: callGreeting,
  half: callHalf,
  bye: callBye,
  hold: callHold,
};
if (call !== 'serve') setTimeout(() => answer({ timeout: true }), DEADLINE_MS).unref();
CALLS[call]?.();

function answer(result: object): void {
  console.log(JSON.stringify(result));
  process.exit();
}

function serve(): void {
  let farewell = '';
  const http = createServer((incoming, response) => {
    if (incoming.url === '/farewell') return void response.end(farewell);
    response.setHeader('x-from', incoming.socket.remoteAddress?.replace('::ffff:', '') ?? '');
    if (incoming.url === '/echo') return void incoming.pipe(response);
    if (incoming.url === '/headers') return void response.end(JSON.stringify(incoming.headers));
    const body = `${incoming.method} ${incoming.url}\n`;
    response.setHeader('content-length', body.length);
    return void response.end(body);
  });
  serveUpgrade(http);
  http.listen(HTTP, '::');
  createHttp2Server()
    .on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.respond(
        { 'content-type': 'application/grpc', 'x-path': String(headers[':path']) },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'done' }));
      stream.pipe(stream);
    })
    .listen(GRPC, '::');
  serveTcp(SERVER_FIRST, (socket) => {
    socket.write(GREETING);
    socket.pipe(socket);
  });
  serveTcp(CLIENT_ENDS_FIRST, (socket) => {
    const hash = createHash('sha256');
    socket.on('data', (chunk) => hash.update(chunk));
    socket.on('end', () => socket.end(hash.digest('hex')));
  });
  serveTcp(SERVER_ENDS_FIRST, (socket) => {
    let text = '';
    socket.end('bye');
    // probes connect here, too, and say nothing
    socket.on('data', (chunk: Buffer) => (farewell = text += chunk.toString()));
  });
}

function serveUpgrade(http: Server): void {
  http.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    const accept = createHash('sha1')
      .update(`${incoming.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.write('the server first,');
    socket.write(head);
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
}

function serveTcp(port: number, onSocket: (socket: Socket) => void): void {
  createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    onSocket(socket);
  }).listen(port, '::');
}

function callGrpc(): void {
  const session = connectHttp2(`http://${host}:90`);
  session.on('error', (error) => answer({ error: error.message }));
  const stream = session.request({
    ':method': 'POST',
    ':path': '/pkg.Service/Method',
    te: 'trailers',
    'content-type': 'application/grpc',
  });
  let headers = {};
  let body = '';
  let trailers = {};
  stream.on('response', (found) => (headers = { ...found }));
  stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
  stream.on('trailers', (found) => (trailers = { ...found }));
  stream.on('error', (error) => answer({ error: error.message }));
  stream.on('end', () => answer({ headers, body, trailers }));
  stream.write('one,');
  stream.end('two');
}

function callWebsocket(): void {
  const req = request({
    host,
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  });
  req.on('error', (error) => answer({ error: error.message }));
  req.on('response', (response) => answer({ status: response.statusCode }));
  req.on('upgrade', (response, socket, head) => {
    let text = head.toString();
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith('three')) answer({ status: response.statusCode, headers: response.headers, text });
    });
    socket.write('one,');
    setTimeout(() => socket.write('two,three'), 50);
  });
  req.end();
}

/** Sends so many bytes and wants the same back, whole. */
function callBytes(): void {
  const size = Number(rest[0]);
  const body = pattern(size);
  const req = request({ host, path: '/echo', method: 'POST', headers: { 'content-length': size } }, (response) => {
    const hash = createHash('sha256');
    let received = 0;
    response.on('data', (chunk: Buffer) => {
      received += chunk.length;
      hash.update(chunk);
    });
    response.on('end', () => {
      const same = hash.digest('hex') === createHash('sha256').update(body).digest('hex');
      answer({ status: response.statusCode, received, same });
    });
  });
  req.on('error', (error) => answer({ error: error.message }));
  req.end(body);
}

/** Bytes that differ at every place where a block could be lost or doubled. */
function pattern(size: number): Buffer {
  const body = Buffer.alloc(size);
  for (let i = 0; i + 4 <= size; i += 4) body.writeUInt32BE((i * 2_654_435_761) >>> 0, i);
  return body;
}

function callChunked(): void {
  const req = request({ host, path: '/echo', method: 'PUT' }, (response) => collect(response));
  req.on('error', (error) => answer({ error: error.message }));
  req.write('one,');
  setTimeout(() => {
    req.write('two,');
    setTimeout(() => req.end('three'), 20);
  }, 20);
}

function callExpect(): void {
  let continued = false;
  const req = request(
    { host, path: '/echo', method: 'POST', headers: { expect: '100-continue', 'content-length': 5 } },
    (response) => collect(response, { continued }),
  );
  req.on('error', (error) => answer({ error: error.message }));
  req.on('continue', () => {
    continued = true;
    req.end('later');
  });
  req.flushHeaders();
}

function collect(response: IncomingMessage, more: object = {}): void {
  let body = '';
  response.on('data', (chunk: Buffer) => (body += chunk.toString()));
  response.on('end', () => answer({ status: response.statusCode, headers: response.headers, body, ...more }));
}

/** Three requests in one packet; the answers must come whole and in order. */
function callPipeline(): void {
  const socket = connect({ host, port: 80 });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', (error) => answer({ error: error.message, text }));
  socket.on('close', () => answer({ bodies: [...text.matchAll(/^(GET \/\S+)$/gm)].map((match) => match[1]), text }));
  const requests = ['/one', '/two', '/three'].map(
    (path, i) => `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${i === 2 ? 'connection: close\r\n' : ''}\r\n`,
  );
  socket.write(requests.join(''));
}

function callGreeting(): void {
  const socket = connect({ host, port: 70 });
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    if (text === '') socket.write('hello');
    text += chunk.toString();
    if (text.endsWith('hello')) answer({ text, address: socket.remoteAddress });
  });
  socket.on('error', (error) => answer({ error: error.message }));
  socket.on('end', () => answer({ text, ended: true }));
}

function callHalf(): void {
  const size = Number(rest[0]);
  const socket = connect({ host, port: 71, allowHalfOpen: true });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', (error) => answer({ error: error.message }));
  socket.on('end', () => answer({ same: text === createHash('sha256').update(pattern(size)).digest('hex'), text }));
  socket.end(pattern(size));
}

/** The server ends its direction at once; ours must still carry. */
function callBye(): void {
  const socket = connect({ host, port: 72, allowHalfOpen: true });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', (error) => answer({ error: error.message }));
  socket.on('end', () => {
    socket.write('still ');
    setTimeout(() => socket.end(`here: ${host}`), 50);
  });
  socket.on('close', () => setTimeout(() => answer({ text }), 100));
}

/** Holds a connection that has carried something, and says when it is cut. */
function callHold(): void {
  const socket = connect({ host, port: Number(rest[0]) });
  socket.once('data', () => console.log('holding'));
  socket.on('error', (error) => answer({ cut: error.message }));
  socket.on('close', () => answer({ cut: 'closed' }));
}
