// deadline: 60s
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { HostPort } from '@ambit/common/address/host-port';
import { spiffeId } from '@ambit/common/identity/spiffe';
import { socketStream } from '@ambit/common/net/socket-stream';
import { createLogger } from '@ambit/common/telemetry/log';
import { HbonePool, type Credentials, type Tunnel } from '@ambit/hbone';
import { clientSession } from '@ambit/http/h2/session';
import { Headers } from '@ambit/http/headers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createTestAuthority } from '../../../test/harness/certificates.ts';
import { type CaptureListener, listenForTunnels } from './capture/listener.ts';
import { Refusals } from './capture/refusals.ts';
import { dialHbone } from './hbone-dial.ts';
import { endpointAt, ip, listenerOf, meshOf, picked, TestBed } from './waypoint.fixture.ts';
import { TestClient } from './stream.fixture.ts';
import { answerTunnel, tellOtherRequest } from './tunnels.ts';
import { createUpstream } from './upstream/upstream.ts';

const authority = createTestAuthority();
const foreign = createTestAuthority();
const WAYPOINT = authority.issue('spiffe://cluster.local/ns/egress/sa/waypoint');
const CURL = authority.issue('spiffe://cluster.local/ns/default/sa/curl');

/** A waypoint with real sockets: tunnels in, plain TCP to a backend on loopback out. */
class RealWaypoint {
  readonly bed: TestBed = new TestBed();
  readonly warnings: string[] = [];
  maxConnections = 100;
  maxTunnels = 100;
  readonly pool: HbonePool = new HbonePool({
    maxStreams: 100,
    idleMs: 60_000,
    streamWindow: 1 << 20,
    connectionWindow: 4 << 20,
    frameSize: 1 << 16,
    dial: dialHbone,
  });
  #listener: CaptureListener | undefined;

  async start(backendPort: number): Promise<void> {
    const log = createLogger({ level: 'info', format: 'plain', write: (line) => void this.warnings.push(line) });
    const upstream = createUpstream({
      mesh: () => meshOf([]),
      backend: () => undefined,
      credential: () => undefined,
      hbone: this.pool,
      identity: () => Promise.resolve(WAYPOINT),
      network: '',
      addresses: [ip('127.0.0.1')],
      log: log.scope('upstream'),
    });
    const { bed } = this;
    bed.upstream.next = () => picked(endpointAt('127.0.0.1', backendPort));
    bed.upstream.delegate = upstream;
    const { self } = bed.pipeline.parts;
    const listeners = {
      byAddress: (_: string, address: string) => (address === '240.240.0.2' ? listenerOf('AUTO') : undefined),
    };
    const refusals = new Refusals(log.scope('capture'), () => performance.now());
    const tunnels = {
      self,
      listeners,
      mesh: meshOf([]),
      pipeline: bed.pipeline,
      refusals,
      maxTunnelsPerClient: this.maxTunnels,
    };
    this.#listener = await listenForTunnels({
      hosts: ['127.0.0.1'],
      port: 0,
      credentials: () => Promise.resolve(WAYPOINT),
      trustDomains: () => ['cluster.local'],
      onTunnel: (request, open) => answerTunnel(request, open, tunnels),
      onOther: (request) => tellOtherRequest(request, refusals),
      refusals,
      maxConnectionsPerClient: this.maxConnections,
    });
  }

  get address(): HostPort {
    return { ip: ip('127.0.0.1'), port: this.#listener?.port ?? 0 };
  }

  get listener(): CaptureListener {
    if (this.#listener === undefined) throw new Error('not started');
    return this.#listener;
  }

  open(destination: string, credentials: Credentials = CURL): Promise<Tunnel> {
    const target = {
      address: this.address,
      accept: [spiffeId('cluster.local', 'egress', 'waypoint')],
      source: ip('127.0.0.1'),
    };
    return this.pool.open(
      credentials,
      target,
      { authority: destination, headers: new Headers() },
      AbortSignal.timeout(5000),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener?.close();
    await this.pool[Symbol.asyncDispose]();
  }
}

const servers: Server[] = [];

test.after.each(() => {
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server && typeof server.closeAllConnections === 'function')
      server.closeAllConnections();
    server.close();
  }
});

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Resolves when `done` holds; the test's deadline is that of the file. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a request goes through real tunnels, with the identity of its client, and comes back', async () => {
  const seen: string[] = [];
  const backend = createHttpServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${String(request.headers['x-request-id'])} ${request.headers.host}`);
    response.end('hello');
  });
  const port = await listening(backend);
  await using waypoint = new RealWaypoint();
  await waypoint.start(port);
  const client = new TestClient(await waypoint.open('240.240.0.2:80'));
  client.send('GET /get HTTP/1.1\r\nHost: httpbin.org\r\n\r\n');
  await until(() => client.received.includes('hello'));
  assert.equal(seen, ['GET /get new-id httpbin.org']);
  assert.match(client.received, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(
    waypoint.bed.lines[0] ?? '',
    /"GET \/get HTTP\/1\.1" 200 - via_upstream .*240\.240\.0\.2:80 127\.0\.0\.1:\d+ - default$/,
  );
  assert.match(waypoint.bed.registry.render(), /source_principal="spiffe:\/\/cluster\.local\/ns\/default\/sa\/curl"/);
});

test('large bodies pass whole in both directions', async () => {
  const backend = createHttpServer((request, response) => {
    response.writeHead(200, { 'content-length': request.headers['content-length'] });
    request.pipe(response);
  });
  const port = await listening(backend);
  await using waypoint = new RealWaypoint();
  await waypoint.start(port);
  const client = new TestClient(await waypoint.open('240.240.0.2:80'));
  const size = 8 << 20;
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  for (let sent = 0; sent < size; sent += 1 << 16) client.stream.write(Buffer.alloc(1 << 16, 0x61));
  await until(() => client.received.length > size);
  assert.is(client.received.split('\r\n\r\n')[1]?.length, size);
  await until(() => waypoint.bed.lines.length === 1);
  assert.match(waypoint.bed.lines[0] ?? '', new RegExp(` ${size} ${size} `));
});

test('a websocket goes through, bytes in both directions', async () => {
  const backend = createHttpServer();
  backend.on('upgrade', (request, socket) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Key: ${String(request.headers['sec-websocket-key'])}\r\n\r\n`,
    );
    socket.on('data', (chunk: Buffer) => socket.write(`echo ${chunk.toString()}`));
    socket.on('end', () => socket.end());
  });
  const port = await listening(backend);
  await using waypoint = new RealWaypoint();
  await waypoint.start(port);
  const client = new TestClient(await waypoint.open('240.240.0.2:80'));
  client.send(
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n',
  );
  await until(() => client.received.includes('\r\n\r\n'));
  assert.match(client.received, /^HTTP\/1\.1 101 [^]*x-key: k\r\n/);
  client.send('ping');
  await until(() => client.received.endsWith('echo ping'));
  client.stream.end();
  await until(() => waypoint.bed.lines.length === 1);
  assert.match(waypoint.bed.lines[0] ?? '', /"GET \/ws HTTP\/1\.1" 101 - via_upstream - "-" 4 9 /);
});

test('HTTP/2 stays HTTP/2 on a port of unknown protocol, trailers included', async () => {
  const backend = createHttp2Server();
  backend.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.pipe(stream);
  });
  const port = await listening(backend);
  await using waypoint = new RealWaypoint();
  await waypoint.start(port);
  const session = clientSession(await waypoint.open('240.240.0.2:80'), {}, { onClose: () => undefined });
  let body = '';
  const ended = Promise.withResolvers<Headers | undefined>();
  let trailers: Headers | undefined;
  const stream = session.request(
    {
      method: 'POST',
      scheme: 'http',
      authority: 'a',
      path: '/s/m',
      protocol: undefined,
      headers: new Headers(['content-type', 'application/grpc', 'te', 'trailers']),
    },
    false,
    {
      onData: (chunk) => void (body += Buffer.from(chunk).toString()),
      onTrailers: (received) => void (trailers = received),
      onEnd: () => ended.resolve(trailers),
      onDrain: () => undefined,
      onClose: (error) => ended.reject(error ?? new Error('closed')),
    },
  );
  stream?.write(Buffer.from('message'));
  stream?.end();
  assert.is((await ended.promise)?.get('grpc-status'), '0');
  assert.is(body, 'message');
  assert.match(waypoint.bed.lines[0] ?? '', /"POST \/s\/m HTTP\/2" 200 - via_upstream - "-" 7 7 /);
  session.destroy();
});

test('TLS passes as opaque bytes with its name in the log', async () => {
  const backend = createServer((socket) => socket.on('data', () => socket.end('not tls')).on('error', () => undefined));
  const port = await listening(backend);
  await using waypoint = new RealWaypoint();
  await waypoint.start(port);
  const tunnel = await waypoint.open('240.240.0.2:80');
  const hello = await firstFlight('example.org');
  const client = new TestClient(tunnel);
  client.stream.write(hello);
  await until(() => client.ended);
  client.stream.end();
  await until(() => waypoint.bed.lines.length === 1);
  assert.is(client.received, 'not tls');
  assert.match(waypoint.bed.lines[0] ?? '', /"- - -" 0 - .* example\.org -$/);
});

/** The ClientHello of a real client. */
async function firstFlight(servername: string): Promise<Buffer> {
  const sink = createServer();
  const port = await listening(sink);
  const client = connectTls({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }).on(
    'error',
    () => undefined,
  );
  const [socket] = await once(sink, 'connection');
  const [bytes] = await once(socket, 'data');
  client.destroy();
  return bytes;
}

test('what is not served is refused: no open relay', async () => {
  await using waypoint = new RealWaypoint();
  await waypoint.start(1);
  for (const destination of ['240.240.0.2:81', '203.0.113.1:80', '127.0.0.1:22', '10.0.0.9:15008', 'httpbin.org:80']) {
    const failure = await waypoint.open(destination).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.match(String(failure), /404/, destination);
  }
  assert.equal(waypoint.bed.lines, [], 'one line for each, not two that say the same');
  assert.is(waypoint.warnings.length, 5);
  assert.match(
    waypoint.warnings[0] ?? '',
    /warn\tcapture\ttunnel refused\tsrc\.addr="?127\.0\.0\.1:\d+"? src\.identity="spiffe:\/\/cluster\.local\/ns\/default\/sa\/curl" method="CONNECT" authority="?240\.240\.0\.2:81"? response_code=404 response_flags="NR" error=".*has no such port/,
  );
});

test('a client without a certificate of the mesh gets no tunnel', async () => {
  await using waypoint = new RealWaypoint();
  await waypoint.start(1);
  const stranger = foreign.issue('spiffe://cluster.local/ns/default/sa/curl');
  const foreigner = authority.issue('spiffe://elsewhere.example/ns/default/sa/curl');
  for (const credentials of [stranger, foreigner]) {
    const failure = await waypoint.open('240.240.0.2:80', credentials).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.instance(failure, Error);
  }
  await until(() => waypoint.warnings.length >= 2);
  assert.match(waypoint.warnings[0] ?? '', /capture\tconnection refused.*src\.addr="?127\.0\.0\.1:/);
  assert.is(waypoint.listener.connections, 0);
});

test('a refusal says what came: no certificate, a foreign one, another trust domain, another method', async () => {
  await using waypoint = new RealWaypoint();
  await waypoint.start(1);
  const { port } = waypoint.address;
  const nobody = connectTls({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  nobody.on('error', () => undefined);
  await until(() => waypoint.warnings.length === 1);
  assert.match(waypoint.warnings[0] ?? '', /connection refused\t.*the client sent no certificate/);
  const { privateKey, certificateChain } = foreign.issue('spiffe://cluster.local/ns/default/sa/curl');
  const identity = { key: privateKey, cert: certificateChain };
  const stranger = connectTls({
    ...identity,
    port,
    host: '127.0.0.1',
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
  });
  stranger.on('error', () => undefined);
  await until(() => waypoint.warnings.length === 2);
  assert.match(waypoint.warnings[1] ?? '', /connection refused\t.*not issued under the roots of this mesh/);
  const elsewhere = authority.issue('spiffe://elsewhere.example/ns/default/sa/curl');
  await waypoint.open('240.240.0.2:80', elsewhere).catch(() => undefined);
  await until(() => waypoint.warnings.length === 3);
  assert.match(
    waypoint.warnings[2] ?? '',
    /connection refused\t.*spiffe:\/\/elsewhere\.example\/ns\/default\/sa\/curl is of another trust domain/,
  );
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    ALPNProtocols: ['h2'],
    secureContext: CURL.context,
    checkServerIdentity: () => undefined,
  });
  await once(socket, 'secureConnect');
  const session = clientSession(socketStream(socket), {}, { onClose: () => undefined });
  const head = {
    method: 'GET',
    scheme: 'http',
    authority: 'a',
    path: '/',
    protocol: undefined,
    headers: new Headers(),
  };
  const status = Promise.withResolvers<number>();
  const ignored = { onData: () => undefined, onEnd: () => undefined, onDrain: () => undefined };
  session.request(head, true, {
    ...ignored,
    onHead: (answer) => status.resolve(answer.status),
    onClose: () => undefined,
  });
  assert.is(await status.promise, 404);
  await until(() => waypoint.warnings.length === 4);
  assert.match(waypoint.warnings[3] ?? '', /request refused\t.*sa\/curl" method="GET" authority="a" response_code=404/);
  session.destroy();
});

test('a flood of bad handshakes leaves twenty lines', async () => {
  await using waypoint = new RealWaypoint();
  await waypoint.start(1);
  for (let i = 0; i < 40; i++) {
    const socket = connect(waypoint.address.port, '127.0.0.1').on('error', () => undefined);
    socket.end('no TLS at all');
    socket.resume();
    await new Promise((resolve) => socket.on('close', resolve));
  }
  assert.is(waypoint.warnings.length, 20);
  assert.is(waypoint.listener.connections, 0);
});

test('one client has no more connections and tunnels than it may', async () => {
  await using waypoint = new RealWaypoint();
  waypoint.maxConnections = 2;
  waypoint.maxTunnels = 3;
  await waypoint.start(1);
  const tunnels = [];
  for (let i = 0; i < 3; i++) tunnels.push(await waypoint.open('240.240.0.2:80'));
  const failure = await waypoint.open('240.240.0.2:80').catch((error: unknown) => error);
  assert.match(String(failure), /503/);
  assert.match(waypoint.warnings[0] ?? '', /response_code=503 response_flags="UO" error=".*MAX_TUNNELS_PER_CLIENT/);
  tunnels[0]?.destroy();
  let again: unknown;
  while (!(again instanceof Object && 'peer' in again))
    again = await waypoint.open('240.240.0.2:80').catch(() => undefined);
  const other = connect(waypoint.address.port, '127.0.0.1');
  await once(other, 'connect');
  const third = connect(waypoint.address.port, '127.0.0.1').on('error', () => undefined);
  third.resume();
  await new Promise((resolve) => third.on('close', resolve));
  await until(() => waypoint.warnings.some((line) => /connection refused\t.*MAX_CONNECTIONS_PER_CLIENT/.test(line)));
  other.destroy();
});

test('plain HTTP to the tunnel port ends in one log line and an alert, nothing else', async () => {
  await using waypoint = new RealWaypoint();
  await waypoint.start(1);
  const socket = connect(waypoint.address.port, '127.0.0.1');
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => void (received = Buffer.concat([received, chunk])));
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'close');
  assert.ok(received.length < 16, 'at most a TLS alert');
  await until(() => waypoint.warnings.length > 0);
  assert.is(waypoint.warnings.length, 1);
  assert.is(waypoint.listener.connections, 0);
});

test('a draining waypoint takes no new tunnels and lets a request finish', async () => {
  const waiting = Promise.withResolvers<() => void>();
  const backend = createHttpServer((_request, response) => waiting.resolve(() => response.end('late')));
  const port = await listening(backend);
  await using waypoint = new RealWaypoint();
  await waypoint.start(port);
  const client = new TestClient(await waypoint.open('240.240.0.2:80'));
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const answer = await waiting.promise;
  waypoint.listener.drain();
  void waypoint.bed.pipeline.drain(0);
  // What the client sent before it heard of the end is still served.
  const opens = (): Promise<boolean> =>
    waypoint.open('240.240.0.2:80').then(
      (tunnel) => {
        tunnel.destroy();
        return true;
      },
      () => false,
    );
  while (await opens()) await new Promise((resolve) => setTimeout(resolve, 5));
  answer();
  await until(() => client.received.includes('late'));
  assert.match(client.received, /connection: close/);
});

test.run();
