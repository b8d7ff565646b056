// deadline: 60s
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as tlsConnect, createSecureContext } from 'node:tls';
import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import { parseSpiffe, type SpiffeId } from '@ambit/common/identity/spiffe';
import { clientSession } from '@ambit/http/h2/session';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { Headers } from '@ambit/http/headers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CLIENT_AUTH, createTestAuthority, SERVER_AUTH } from '../../../test/harness/certificates.ts';
import {
  acceptHbone,
  type HboneConnection,
  HbonePool,
  openInner,
  type PoolOptions,
  type ServerOptions,
  type Tunnel,
  type TunnelRequest,
} from './index.ts';

const authority = createTestAuthority();
const foreign = createTestAuthority('foreign root');
const CLIENT = 'spiffe://cluster.local/ns/a/sa/client';
const SERVER = 'spiffe://cluster.local/ns/b/sa/server';
const client = authority.issue(CLIENT);
const server = authority.issue(SERVER);

function id(uri: string): SpiffeId {
  const parsed = parseSpiffe(uri);
  if (parsed === undefined) throw new Error(uri);
  return parsed;
}

function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

const LOOPBACK = ip('127.0.0.1');
const head = (authority = '10.0.0.1:80'): { authority: string; headers: Headers } => ({
  authority,
  headers: new Headers(),
});

interface TestServer {
  readonly address: HostPort;
  readonly connections: HboneConnection[];
  readonly errors: Error[];
  /** Resolves when a connection was refused. */
  refused(): Promise<Error>;
  close(): void;
}

const echo = (request: TunnelRequest): void => {
  const tunnel = request.accept(new Headers(['x-peer', request.peer.uri]));
  tunnel.attach({
    onData: (chunk) => {
      if (!tunnel.write(Buffer.from(chunk))) tunnel.pause();
    },
    onDrain: () => tunnel.resume(),
    onEnd: () => tunnel.end(),
    onClose: () => undefined,
  });
};

const SERVER_OPTIONS = {
  trustDomains: ['cluster.local'],
  maxConcurrentStreams: 200,
  streamWindow: 4 << 20,
  connectionWindow: 16 << 20,
  frameSize: 1 << 20,
  pingIntervalMs: 0,
  pingTimeoutMs: 0,
};

async function serve(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const connections: HboneConnection[] = [];
  const errors: Error[] = [];
  const waiting: ((error: Error) => void)[] = [];
  const listener: Server = createServer((socket) => {
    acceptHbone(socket, { credentials: server, onTunnel: echo, ...SERVER_OPTIONS, ...options }).then(
      (connection) => connections.push(connection),
      (error: Error) => {
        errors.push(error);
        waiting.shift()?.(error);
      },
    );
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    address: { ip: LOOPBACK, port },
    connections,
    errors,
    refused: async () => errors[0] ?? new Promise((resolve) => waiting.push(resolve)),
    close: () => {
      listener.close();
      for (const connection of connections) connection.destroy();
    },
  };
}

const count = { dials: 0 };
const dial: PoolOptions['dial'] = async (address) => {
  count.dials++;
  const socket = connect(address.port, address.ip);
  await once(socket, 'connect');
  return socket;
};

const newPool = (options: Partial<PoolOptions> = {}): HbonePool =>
  new HbonePool({
    maxStreams: 100,
    idleMs: 300_000,
    streamWindow: 4 << 20,
    connectionWindow: 16 << 20,
    frameSize: 1 << 20,
    dial,
    ...options,
  });

interface Open {
  readonly credentials?: Credentials;
  readonly accept?: readonly string[];
  readonly source?: string;
  readonly signal?: AbortSignal;
}

const open = (pool: HbonePool, at: TestServer, options: Open = {}): Promise<Tunnel> =>
  pool.open(
    options.credentials ?? client,
    {
      address: at.address,
      accept: (options.accept ?? [SERVER]).map(id),
      source: ip(options.source ?? '10.9.9.9'),
    },
    head(),
    options.signal ?? new AbortController().signal,
  );

/** Sends bytes through an echoing tunnel and returns what came back. */
function roundTrip(tunnel: Tunnel, bytes: Buffer): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const got: Buffer[] = [];
  let at = 0;
  const pump = (): void => {
    while (at < bytes.length) if (!tunnel.write(bytes.subarray(at, (at += 40_000)))) return;
    tunnel.end();
  };
  tunnel.attach({
    onData: (chunk) => void got.push(Buffer.from(chunk)),
    onEnd: () => undefined,
    onDrain: pump,
    onClose: (error) => (error === undefined ? resolve(Buffer.concat(got)) : reject(error)),
  });
  pump();
  return promise;
}

const closed = (tunnel: Tunnel): Promise<Error | undefined> => {
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  tunnel.attach({ onData() {}, onEnd() {}, onDrain() {}, onClose: resolve });
  return promise;
};

const rejection = async (promise: Promise<unknown>): Promise<MeshError> => {
  const error: unknown = await promise.then(
    () => new Error('did not reject'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof MeshError)) throw error;
  return error;
};

test('a tunnel carries bytes both ways and knows both identities', async () => {
  const at = await serve();
  const pool = newPool();
  const tunnel = await open(pool, at);
  assert.is(tunnel.peer.uri, SERVER);
  assert.is(tunnel.headers.get('x-peer'), CLIENT);
  assert.equal(tunnel.remote, at.address);
  const bytes = randomBytes(9_000_001);
  const back = await roundTrip(tunnel, bytes);
  assert.is(createHash('sha256').update(back).digest('hex'), createHash('sha256').update(bytes).digest('hex'));
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('ZT-POOL-01 two tunnels of three allowed share one connection, which is used again', async () => {
  const at = await serve();
  const pool = newPool({ maxStreams: 3 });
  const before = count.dials;
  const tunnels = await Promise.all([open(pool, at), open(pool, at)]);
  await Promise.all(tunnels.map((tunnel) => roundTrip(tunnel, Buffer.from('x'))));
  await roundTrip(await open(pool, at), Buffer.from('y'));
  assert.is(count.dials - before, 1);
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('ZT-POOL-02 ended pool: bytes that arrived are still read, then the tunnel ends with an error', async () => {
  const at = await serve();
  const pool = newPool();
  const tunnel = await open(pool, at);
  const got = Promise.withResolvers<string>();
  const end = Promise.withResolvers<Error | undefined>();
  tunnel.attach({
    onData: (chunk) => got.resolve(Buffer.from(chunk).toString()),
    onEnd() {},
    onDrain() {},
    onClose: end.resolve,
  });
  tunnel.write(Buffer.from('partial'));
  assert.is(await got.promise, 'partial');
  await pool[Symbol.asyncDispose]();
  assert.instance(await end.promise, MeshError);
  at.close();
});

test('ZT-POOL-03 other identity, peers, address or source: another connection; ending the pool closes all', async () => {
  const [at, other] = [await serve(), await serve()];
  const pool = newPool();
  const second = authority.issue('spiffe://cluster.local/ns/a/sa/second');
  const before = count.dials;
  const tunnels = await Promise.all([
    open(pool, at),
    open(pool, at, { credentials: second }),
    open(pool, at, { accept: [SERVER, CLIENT] }),
    open(pool, at, { accept: [CLIENT, SERVER] }),
    open(pool, at, { source: '10.9.9.8' }),
    open(pool, other),
  ]);
  assert.is(count.dials - before, 6);
  const ends = tunnels.map(closed);
  await pool[Symbol.asyncDispose]();
  for (const end of ends) assert.instance(await end, MeshError);
  await Promise.all([...at.connections, ...other.connections].map((connection) => connection.closed));
  at.close();
  other.close();
});

test('ZT-POOL-04 limit 2 with 4 tunnels: two connections, full ones are not used again', async () => {
  const at = await serve();
  const pool = newPool({ maxStreams: 2 });
  const before = count.dials;
  const tunnels = await Promise.all([1, 2, 3, 4].map(() => open(pool, at)));
  assert.is(count.dials - before, 2);
  await Promise.all(tunnels.map((tunnel) => roundTrip(tunnel, Buffer.from('x'))));
  await roundTrip(await open(pool, at), Buffer.from('x'));
  assert.is(count.dials - before, 3);
  await Promise.all(at.connections.slice(0, 2).map((connection) => connection.closed));
  await pool[Symbol.asyncDispose]();
  at.close();
});

test("the peer's own stream limit is obeyed", async () => {
  const at = await serve({ maxConcurrentStreams: 2 });
  const pool = newPool();
  await open(pool, at);
  const tunnels = await Promise.all([1, 2, 3, 4].map(() => open(pool, at)));
  assert.is(tunnels.length, 4);
  assert.ok(at.connections.length >= 3);
  for (const connection of at.connections) assert.ok(connection.activeTunnels <= 2);
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('ZT-POOL-05 after GOAWAY the next tunnel uses a new connection and the old one finishes', async () => {
  const at = await serve();
  const pool = newPool();
  const before = count.dials;
  const old = await open(pool, at);
  at.connections[0]?.drain();
  await roundTrip(await open(pool, at), Buffer.from('x'));
  let next = await open(pool, at);
  while (count.dials === before + 1) next = await open(pool, at);
  assert.is(count.dials - before, 2);
  assert.is((await roundTrip(old, Buffer.from('still'))).toString(), 'still');
  assert.is((await roundTrip(next, Buffer.from('new'))).toString(), 'new');
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('ZT-POOL-06 limit 1: a connection for each', async () => {
  const at = await serve();
  const pool = newPool({ maxStreams: 1 });
  const before = count.dials;
  const tunnels = await Promise.all([1, 2, 3].map(() => open(pool, at)));
  assert.is(count.dials - before, 3);
  await Promise.all(tunnels.map((tunnel) => roundTrip(tunnel, Buffer.from('x'))));
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('ZT-POOL-07 stress: many sources and many tunnels, each gets its own bytes', async () => {
  const at = await serve();
  const pool = newPool({ maxStreams: 7 });
  const clients = [client, ...['x', 'y', 'z'].map((name) => authority.issue(`spiffe://cluster.local/ns/a/sa/${name}`))];
  const work = Array.from({ length: 120 }, async (_, i) => {
    const bytes = randomBytes(1 + ((i * 7919) % 50_000));
    const credentials = clients[i % clients.length] ?? client;
    const tunnel = await open(pool, at, { credentials, source: `10.0.0.${i % 3}` });
    assert.is(tunnel.headers.get('x-peer'), credentials.identity.uri);
    assert.ok((await roundTrip(tunnel, bytes)).equals(bytes));
  });
  await Promise.all(work);
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('ZT-POOL-08 an idle connection closes; one with a tunnel stays until the tunnel ends', async () => {
  const at = await serve();
  const pool = newPool({ idleMs: 30 });
  await roundTrip(await open(pool, at), Buffer.from('x'));
  await at.connections[0]?.closed;
  const tunnel = await open(pool, at);
  const connection = at.connections[1];
  // The pool has let the connection go once another tunnel needs a dial of its own.
  const before = count.dials;
  while (count.dials === before) {
    await roundTrip(await open(pool, at), Buffer.from('y'));
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  assert.is(connection?.activeTunnels, 1);
  assert.is((await roundTrip(tunnel, Buffer.from('alive'))).toString(), 'alive');
  await connection?.closed;
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('concurrent first users share one dial, and one that gives up does not end it for the others', async () => {
  const at = await serve();
  const gate = Promise.withResolvers<void>();
  let started = 0;
  const pool = newPool({
    dial: async (address, source, signal) => {
      started++;
      await gate.promise;
      return dial(address, source, signal);
    },
  });
  const quitter = new AbortController();
  const first = rejection(open(pool, at, { signal: quitter.signal }));
  const second = open(pool, at);
  quitter.abort(new MeshError('DOWNSTREAM_CLOSED', 'client left'));
  assert.is((await first).message, 'client left');
  gate.resolve();
  assert.is((await roundTrip(await second, Buffer.from('x'))).toString(), 'x');
  assert.is(started, 1);
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('who comes while an abandoned dial is ending gets a dial of its own', async () => {
  const at = await serve();
  const before = count.dials;
  const pool = newPool();
  const gaveUp = new AbortController();
  const first = open(pool, at, { signal: gaveUp.signal });
  first.catch(() => undefined);
  gaveUp.abort(new MeshError('DOWNSTREAM_CLOSED', 'gone'));
  await first.then(
    () => assert.unreachable(),
    () => undefined,
  );
  const tunnel = await open(pool, at);
  assert.is(count.dials - before, 2);
  tunnel.destroy();
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('a dial that times out says that a NetworkPolicy may block port 15008', async () => {
  const at = await serve();
  const pool = newPool({ dial: () => Promise.reject(new MeshError('CONNECT_TIMEOUT', 'no answer from 10.0.0.9')) });
  const error = await rejection(open(pool, at));
  assert.is(error.code, 'HBONE_TIMEOUT');
  assert.match(error.message, 'maybe a NetworkPolicy is blocking HBONE port 15008');
  at.close();
});

for (const [status, code, retry] of [
  [401, 'TUNNEL_DENIED', false],
  [503, 'TUNNEL_REFUSED', true],
] as const) {
  test(`an answer of ${status} is ${code} with the status, and the connection is still good`, async () => {
    const at = await serve({
      onTunnel: (request) => (request.head.authority === '10.0.0.1:80' ? request.reject(status) : echo(request)),
    });
    const pool = newPool();
    const error = await rejection(open(pool, at));
    assert.equal([error.code, error.kind.retry], [code, retry]);
    assert.match(error.message, `http status: ${status}`);
    assert.is(pool.connections, 1);
    await pool[Symbol.asyncDispose]();
    at.close();
  });
}

for (const status of [undefined, 404]) {
  test(`a request that is no CONNECT gets ${status ?? 400}`, async () => {
    const told: string[] = [];
    const onOther: ServerOptions['onOther'] = ({ method, peer }) => void told.push(`${method} ${peer.uri}`);
    const at = await serve(status === undefined ? { onOther } : { onOther, otherMethodStatus: status });
    const socket = tlsConnect({
      port: at.address.port,
      secureContext: client.context,
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
    });
    await once(socket, 'secureConnect');
    const session = clientSession(socketStream(socket), {}, { onClose() {} });
    const got = Promise.withResolvers<number>();
    session.request(
      { method: 'GET', scheme: 'http', authority: 'a', path: '/', protocol: undefined, headers: new Headers() },
      true,
      { onHead: (answer) => got.resolve(answer.status), onData() {}, onEnd() {}, onDrain() {}, onClose() {} },
    );
    assert.is(await got.promise, status ?? 400);
    assert.equal(told, [`GET ${CLIENT}`]);
    session.destroy();
    at.close();
  });
}

test('a reset tunnel is a reset tunnel at the other end, others go on', async () => {
  const end = Promise.withResolvers<Error | undefined>();
  const at = await serve({
    onTunnel: (request) => {
      if (request.head.headers.size > 0) echo(request);
      else void closed(request.accept(new Headers())).then(end.resolve);
    },
  });
  const pool = newPool();
  const doomed = await open(pool, at);
  doomed.attach({ onData() {}, onEnd() {}, onDrain() {}, onClose() {} });
  doomed.destroy(new Error('reset'));
  assert.instance(await end.promise, MeshError);
  await pool[Symbol.asyncDispose]();
  at.close();
});

test('a tunnel inside a tunnel has its own TLS, peers and half-close', async () => {
  const inner = await serve();
  const gateway = await serve({
    onTunnel: (request) => {
      const tunnel = request.accept(new Headers());
      splice(tunnel, socketStream(connect({ port: inner.address.port, allowHalfOpen: true })), () => undefined);
    },
  });
  const pool = newPool();
  const target = { credentials: client, accept: [id(SERVER)], head: head('web.b.svc.cluster.local:80') };
  const tunnel = await openInner(await open(pool, gateway), target, new AbortController().signal);
  assert.is(tunnel.peer.uri, SERVER);
  const bytes = randomBytes(700_001);
  assert.ok((await roundTrip(tunnel, bytes)).equals(bytes));
  await inner.connections[0]?.closed;
  const nobody = openInner(await open(pool, gateway), { ...target, accept: [] }, new AbortController().signal);
  assert.is((await rejection(nobody)).code, 'TLS_NAME_MISMATCH');
  await pool[Symbol.asyncDispose]();
  gateway.close();
  inner.close();
});

// ── who may connect ──

const refusedServers = [
  {
    name: 'another identity',
    credentials: authority.issue('spiffe://cluster.local/ns/b/sa/other'),
    code: 'TLS_NAME_MISMATCH',
  },
  {
    name: 'another trust domain',
    credentials: authority.issue('spiffe://evil/ns/b/sa/server'),
    code: 'TLS_NAME_MISMATCH',
  },
  { name: 'a foreign root', credentials: foreign.issue(SERVER), code: 'TLS_FAILED' },
  {
    name: 'an expired certificate',
    credentials: authority.issue(SERVER, { notAfter: Date.now() - 60_000 }),
    code: 'TLS_FAILED',
  },
  {
    name: 'a certificate not valid yet',
    credentials: authority.issue(SERVER, { notBefore: Date.now() + 3_600_000 }),
    code: 'TLS_FAILED',
  },
  {
    name: 'a client-only certificate',
    credentials: authority.issue(SERVER, { usages: [CLIENT_AUTH] }),
    code: 'TLS_FAILED',
  },
] as const;

for (const { name, credentials, code } of refusedServers) {
  test(`the client refuses a server with ${name}`, async () => {
    const at = await serve({ credentials });
    const pool = newPool();
    const error = await rejection(open(pool, at));
    assert.is(error.code, code);
    assert.is(pool.connections, 0);
    at.close();
  });
}

test('the client accepts any one of several SANs and several accepted ids', async () => {
  const at = await serve({
    credentials: authority.issue(SERVER, { uris: ['https://x', SERVER], usages: [SERVER_AUTH, CLIENT_AUTH] }),
  });
  const pool = newPool();
  const tunnel = await open(pool, at, { accept: ['spiffe://cluster.local/ns/q/sa/q', SERVER] });
  assert.is(tunnel.peer.uri, SERVER);
  await pool[Symbol.asyncDispose]();
  at.close();
});

const refusedClients = [
  { name: 'a foreign root', credentials: foreign.issue(CLIENT), match: /not issued under the roots/ },
  {
    name: 'another trust domain',
    credentials: authority.issue('spiffe://evil/ns/a/sa/client'),
    match: /another trust domain, expected cluster.local/,
  },
  {
    name: 'no SPIFFE id',
    credentials: authority.issue(CLIENT, { uris: ['https://example.com'] }),
    match: /no SPIFFE id/,
  },
  {
    name: 'an expired certificate',
    credentials: authority.issue(CLIENT, { notAfter: Date.now() - 60_000 }),
    match: /expired/,
  },
  {
    name: 'a server-only certificate',
    credentials: authority.issue(CLIENT, { usages: [SERVER_AUTH] }),
    match: /extended key usage/,
  },
] as const;

for (const { name, credentials, match } of refusedClients) {
  test(`the server refuses a client with ${name}`, async () => {
    const at = await serve();
    const pool = newPool();
    // The roots a client trusts are its own affair here: it must get as far as sending its certificate.
    const trusting: Credentials = { ...credentials, context: contextTrusting(credentials) };
    const outcome = rejection(open(pool, at, { credentials: trusting }));
    const error = await at.refused();
    assert.instance(error, MeshError);
    assert.match(error.message, match);
    assert.ok(['TLS_FAILED', 'UPSTREAM_CLOSED'].includes((await outcome).code));
    at.close();
  });
}

function contextTrusting(credentials: Credentials): Credentials['context'] {
  return createSecureContext({
    key: credentials.privateKey,
    cert: credentials.certificateChain,
    ca: authority.root,
    minVersion: 'TLSv1.3',
  });
}

const strangers = [
  { name: 'plain HTTP', bytes: 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', match: /plain HTTP came/ },
  { name: 'HTTP/2 in the clear', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', match: /no TLS came|plain HTTP came/ },
  { name: 'SSH', bytes: 'SSH-2.0-OpenSSH_9.2\r\n', match: /no TLS came/ },
] as const;

for (const { name, bytes, match } of strangers) {
  test(`${name} on the HBONE port is refused and the error says what came`, async () => {
    const at = await serve();
    const socket: Socket = connect(at.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    const gone = once(socket, 'close');
    socket.write(bytes);
    socket.resume();
    const error = await at.refused();
    assert.match(error.message, match);
    await gone;
    at.close();
  });
}

const handshakes = [
  {
    name: 'without a client certificate',
    options: { ca: authority.root, ALPNProtocols: ['h2'] },
    match: /no certificate/,
  },
  {
    name: 'with TLS 1.2',
    options: {
      secureContext: createSecureContext({
        key: client.privateKey,
        cert: client.certificateChain,
        ca: authority.root,
        maxVersion: 'TLSv1.2',
      }),
      ALPNProtocols: ['h2'],
    },
    match: /no TLS 1.3/,
  },
  {
    name: 'with ALPN http/1.1',
    options: { secureContext: client.context, ALPNProtocols: ['http/1.1'] },
    match: /ALPN/,
  },
  { name: 'without ALPN', options: { secureContext: client.context }, match: /ALPN/ },
] as const;

for (const { name, options, match } of handshakes) {
  test(`TLS ${name} is refused`, async () => {
    const at = await serve();
    const socket = tlsConnect({
      port: at.address.port,
      checkServerIdentity: () => undefined,
      ...options,
      ALPNProtocols: 'ALPNProtocols' in options ? [...options.ALPNProtocols] : [],
    });
    socket.on('error', () => undefined);
    socket.resume();
    const error = await at.refused();
    assert.match(error.message, match);
    socket.destroy();
    at.close();
  });
}

test('the client sends no SNI and offers only h2', async () => {
  const seen = Promise.withResolvers<Buffer>();
  const listener = createServer((socket) => {
    socket.once('data', (hello: Buffer) => {
      seen.resolve(Buffer.from(hello));
      socket.destroy();
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const pool = newPool();
  const outcome = rejection(
    pool.open(
      client,
      { address: { ip: LOOPBACK, port }, accept: [id(SERVER)], source: LOOPBACK },
      head(),
      new AbortController().signal,
    ),
  );
  const hello = await seen.promise;
  // Extensions as type, length: server_name would be 0000; ALPN is 0010 with the one name "h2".
  assert.ok(hello.includes(Buffer.from('001000050003026832', 'hex')));
  assert.not(hello.includes(Buffer.from('127.0.0.1')));
  assert.not(hello.includes(Buffer.from('localhost')));
  assert.is((await outcome).code, 'TLS_FAILED');
  listener.close();
});

test.run();
