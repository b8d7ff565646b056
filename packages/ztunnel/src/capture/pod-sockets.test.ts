// deadline: 20s
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { int32, libc } from '@ambit/common/linux/libc';
import { fdOf } from '@ambit/common/linux/sockets';
import { ip } from '../mesh.fixture.ts';
import { PodSockets, type PodSocketOptions } from './pod-sockets.ts';

const SOL_SOCKET = 1;
const SOL_TCP = 6;
const OPTIONS = {
  reuseport: [SOL_SOCKET, 15],
  keepalive: [SOL_SOCKET, 9],
  idle: [SOL_TCP, 4],
  interval: [SOL_TCP, 5],
  probes: [SOL_TCP, 6],
  userTimeout: [SOL_TCP, 18],
  noDelay: [SOL_TCP, 1],
} as const;

function read(fd: number, option: keyof typeof OPTIONS): number {
  const value = int32(0);
  const [level, name] = OPTIONS[option];
  assert.is(libc().getsockopt(fd, level, name, value), 0);
  return Buffer.from(value).readInt32LE(0);
}

const sockets = (part: Partial<PodSocketOptions> = {}): PodSockets =>
  new PodSockets({
    netns: undefined,
    mark: undefined,
    ipv6: false,
    reusePort: true,
    originalSource: false,
    keepalive: { idleSeconds: 17, intervalSeconds: 5, probes: 3 },
    userTimeoutMs: 42_000,
    ...part,
  });

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** What a connection accepted in a role looks like, and its listener. */
async function accepted(role: 'outbound' | 'hbone', part?: Partial<PodSocketOptions>): Promise<Record<string, number>> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = sockets(part).listen(0, role, resolve);
  await new Promise(setImmediate);
  const client = connect(portOf(server), '127.0.0.1');
  const socket = await promise;
  const found = Object.fromEntries(
    (['keepalive', 'idle', 'interval', 'probes', 'userTimeout', 'noDelay'] as const).map((name) => [
      name,
      read(fdOf(socket), name),
    ]),
  );
  socket.destroy();
  client.destroy();
  server.close();
  return found;
}

test('ZT-ZDS-13 captured connections get keepalive and user timeout as configured', async () => {
  assert.equal(await accepted('outbound'), {
    keepalive: 1,
    idle: 17,
    interval: 5,
    probes: 3,
    userTimeout: 42_000,
    noDelay: 1,
  });
  const off = await accepted('outbound', { keepalive: undefined, userTimeoutMs: undefined });
  assert.equal([off['keepalive'], off['userTimeout'], off['noDelay']], [0, 0, 1]);
});

test('connections of other node agents are given up when these acknowledge nothing', async () => {
  const found = await accepted('hbone');
  assert.equal([found['keepalive'], found['userTimeout']], [0, 10_000]);
});

test('ZT-ZDS-12 listeners share their port only when configured', async () => {
  const first = sockets().listen(0, 'hbone', () => undefined);
  await new Promise(setImmediate);
  const second = sockets().listen(portOf(first), 'hbone', () => undefined);
  assert.throws(() => sockets({ reusePort: false }).listen(portOf(first), 'hbone', () => undefined), /EADDRINUSE/);
  first.close();
  second.close();
  const { udp, tcp } = sockets().dns({ ip: ip('127.0.0.1'), port: 0 });
  assert.equal([read(udp, 'reuseport'), read(tcp, 'reuseport')], [1, 1]);
  const query = sockets().udp(4);
  assert.is(read(query, 'reuseport'), 0);
  for (const fd of [udp, tcp, query]) closeSync(fd);
});

test('a connection attempt is given up with its signal', async () => {
  const abort = new AbortController();
  const dialling = sockets().dial({ ip: ip('192.0.2.1'), port: 9 }, { signal: abort.signal });
  abort.abort();
  await dialling.then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /given up|aborted|unreachable/),
  );
  await once(connect(1, '127.0.0.1'), 'error');
});

test.run();
