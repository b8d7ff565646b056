// deadline: 40s
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { parseSpiffe, type SpiffeId } from '@ambit/common/identity/spiffe';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { Headers } from '@ambit/http/headers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createTestAuthority } from '../../../test/harness/certificates.ts';
import { acceptHbone, HbonePool } from './index.ts';

/** app ⇄ splice ⇄ tunnel ⇄ splice ⇄ app: what two node agents do, in one process. */
const authority = createTestAuthority();
const CLIENT = 'spiffe://cluster.local/ns/a/sa/client';
const SERVER = 'spiffe://cluster.local/ns/b/sa/server';
const WINDOWS = { streamWindow: 1 << 20, connectionWindow: 4 << 20, frameSize: 1 << 20 };

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('missing');
  return value;
}

const LOOPBACK: IpAddress = must(parseIp('127.0.0.1'));
const serverId: SpiffeId = must(parseSpiffe(SERVER));

async function listen(onSocket: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, onSocket);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

async function mesh(app: (socket: Socket) => void): Promise<{ port: number; close: () => Promise<void> }> {
  const target = await listen(app);
  const far = await listen((socket) => {
    void acceptHbone(socket, {
      credentials: authority.issue(SERVER),
      trustDomains: ['cluster.local'],
      maxConcurrentStreams: 200,
      pingIntervalMs: 0,
      pingTimeoutMs: 0,
      ...WINDOWS,
      onTunnel: (request) => {
        const upstream = connect({ port: target.port, host: '127.0.0.1', allowHalfOpen: true });
        upstream.once('connect', () => splice(request.accept(new Headers()), socketStream(upstream), () => undefined));
      },
    });
  });
  const pool = new HbonePool({
    maxStreams: 100,
    idleMs: 60_000,
    ...WINDOWS,
    dial: async (address) => {
      const socket = connect(address.port, address.ip);
      await once(socket, 'connect');
      return socket;
    },
  });
  const client = authority.issue(CLIENT);
  const signal = new AbortController().signal;
  const near = await listen((socket) => {
    const where = { address: { ip: LOOPBACK, port: far.port }, accept: [serverId], source: LOOPBACK };
    void pool
      .open(client, where, { authority: '10.0.0.1:80', headers: new Headers() }, signal)
      .then((tunnel) => splice(socketStream(socket), tunnel, () => undefined));
  });
  return {
    port: near.port,
    close: async () => {
      await pool[Symbol.asyncDispose]();
      for (const { server } of [near, far, target]) server.close();
    },
  };
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('ZT-COPY-01 forty connections at once through one tunnel connection are byte exact both ways', async () => {
  const at = await mesh((socket) => socket.pipe(socket));
  const one = async (size: number): Promise<void> => {
    const socket = connect({ port: at.port, host: '127.0.0.1', allowHalfOpen: true });
    const bytes = randomBytes(size);
    const hash = createHash('sha256');
    let got = 0;
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
      hash.update(chunk);
    });
    const end = once(socket, 'end');
    socket.end(bytes);
    await end;
    assert.is(got, size);
    assert.is(hash.digest('hex'), digest(bytes));
  };
  await Promise.all(Array.from({ length: 40 }, (_, i) => one(i === 0 ? 9_000_000 : 1 + ((i * 104_729) % 900_000))));
  await at.close();
});

test('a reset of the server reaches the client as a reset, not as an end', async () => {
  const at = await mesh((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const socket = connect({ port: at.port, host: '127.0.0.1' });
  socket.resume();
  socket.write('x');
  const [error]: NodeJS.ErrnoException[] = await once(socket, 'error');
  assert.is(error?.code, 'ECONNRESET');
  await at.close();
});

test('a reset of the client reaches the server as a reset', async () => {
  const seen = Promise.withResolvers<string | undefined>();
  const at = await mesh((socket) => {
    socket.once('data', () => socket.write('ready'));
    socket.on('error', (error: NodeJS.ErrnoException) => seen.resolve(error.code));
  });
  const socket = connect({ port: at.port, host: '127.0.0.1' });
  socket.write('x');
  await once(socket, 'data');
  socket.resetAndDestroy();
  assert.is(await seen.promise, 'ECONNRESET');
  await at.close();
});

test.run();
