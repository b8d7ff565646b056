import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type IpAddress, parseIp } from '../address/ip.ts';
import { SystemCallError } from './libc.ts';
import { packetSocket } from './packet.ts';
import {
  connectSocket,
  fdOf,
  isTransparent,
  listenIn,
  localAddress,
  setKeepalive,
  setUserTimeout,
  socketIn,
  udpIn,
} from './sockets.ts';

const literal = (text: string): IpAddress => {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`${text} is no address`);
  return ip;
};
const LOOPBACK = literal('127.0.0.1');
const openFds = (): number => readdirSync('/proc/self/fd').length;

test('a wildcard listener takes both families, and shares its port when asked', async () => {
  const first = listenIn(undefined, { host: '::', port: 0, backlog: 128, reusePort: true });
  const { port = 0 } = localAddress(first) ?? {};
  const second = listenIn(undefined, { host: '::', port, backlog: 128, reusePort: true });
  const servers = [first, second].map((fd) => createServer((socket) => socket.end('hi')).listen({ fd, backlog: 128 }));
  for (const host of ['127.0.0.1', '::1']) {
    const ip = literal(host);
    const socket = connectSocket(socketIn(undefined, { family: host === '::1' ? 6 : 4 }), { ip, port });
    assert.is(Buffer.concat(await socket.toArray()).toString(), 'hi');
  }
  for (const server of servers) server.close();
});

test('an adopted socket knows its ends and takes options', async () => {
  const server = createServer().listen({ fd: listenIn(undefined, { host: '127.0.0.1', port: 0, backlog: 1 }) });
  const { port } = Object(server.address()) as AddressInfo;
  const source = { ip: LOOPBACK, port: 0 };
  const socket = connectSocket(socketIn(undefined, { family: 4, bind: source }), { ip: source.ip, port });
  await once(socket, 'connect');
  setKeepalive(fdOf(socket), { idleSeconds: 180, intervalSeconds: 180, probes: 9 });
  setUserTimeout(fdOf(socket), 1000);
  assert.is(isTransparent(fdOf(socket)), false);
  assert.equal([socket.remoteAddress, socket.remotePort, socket.localAddress], ['127.0.0.1', port, '127.0.0.1']);
  assert.equal(localAddress(fdOf(socket))?.port, socket.localPort);
  socket.destroy();
  assert.is(fdOf(socket), -1);
  server.close();
});

test('UDP sockets are adopted', async () => {
  const receiver = createSocket('udp4').bind({ fd: udpIn(undefined, { host: '127.0.0.1', port: 0 }) });
  const sender = createSocket('udp4').bind({ fd: udpIn(undefined, { host: '127.0.0.1', port: 0 }) });
  sender.send('query', receiver.address().port, '127.0.0.1');
  const [bytes] = await once(receiver, 'message');
  assert.is(String(bytes), 'query');
  sender.close();
  receiver.close();
});

test('an address in use is named, with the code as cause, and no descriptor is left', () => {
  const fd = listenIn(undefined, { host: '127.0.0.1', port: 0, backlog: 1 });
  const { port = 0 } = localAddress(fd) ?? {};
  const before = openFds();
  assert.throws(
    () => listenIn(undefined, { host: '127.0.0.1', port, backlog: 1 }),
    (error: Error) =>
      error.message.includes(`127.0.0.1:${port}: address already in use (EADDRINUSE`) &&
      error.cause instanceof SystemCallError &&
      error.cause.code === 'EADDRINUSE',
  );
  assert.throws(() => listenIn(undefined, { host: '203.0.113.77', port, backlog: 1 }), /no interface has this address/);
  assert.throws(() => listenIn(undefined, { host: 'localhost', port, backlog: 1 }), /localhost is not an IP address/);
  assert.is(openFds(), before);
  createServer().listen({ fd }).close();
});

test('a refused connection is an ordinary error', async () => {
  const fd = listenIn(undefined, { host: '127.0.0.1', port: 0, backlog: 1 });
  const { port = 0 } = localAddress(fd) ?? {};
  const server = createServer().listen({ fd });
  server.close();
  await once(server, 'close');
  const socket = connectSocket(socketIn(undefined, { family: 4 }), { ip: LOOPBACK, port });
  const [error] = await once(socket, 'error').catch((error: unknown) => [error]);
  assert.is(Object(error).code, 'ECONNREFUSED');
});

test('sockets are made in worker threads too', async () => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     import(${JSON.stringify(new URL('sockets.ts', import.meta.url).href)}).then(({ listenIn, localAddress }) => {
       const fd = listenIn(undefined, { host: '127.0.0.1', port: 0, backlog: 1 });
       parentPort.postMessage(localAddress(fd).port);
       require('node:fs').closeSync(fd);
     });`,
    { eval: true },
  );
  const [port] = await once(worker, 'message');
  assert.ok(port > 0);
  await worker.terminate();
});

test('capturing on an interface that does not exist is explained', () => {
  assert.throws(() => packetSocket('nonesuch0', () => undefined), /there is no interface nonesuch0/);
});

test.run();
