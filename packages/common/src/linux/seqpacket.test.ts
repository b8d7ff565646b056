import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type SeqpacketListener,
  SeqpacketSocket,
  closeAll,
  connectSeqpacket,
  discard,
  listenSeqpacket,
} from './seqpacket.ts';

let folder: string;
let path: string;
let listener: SeqpacketListener;

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'seqpacket-'));
  path = join(folder, 's');
  listener = listenSeqpacket({ path });
});
test.after.each(() => {
  listener.close();
  rmSync(folder, { recursive: true });
});

async function pair(): Promise<[SeqpacketSocket, SeqpacketSocket]> {
  const client = connectSeqpacket(path);
  const server = await listener.accept();
  assert.instance(server, SeqpacketSocket);
  if (server === undefined) throw new Error('unreachable');
  return [client, server];
}

const openFds = (): number => readdirSync('/proc/self/fd').length;
const received = async (
  socket: SeqpacketSocket,
  limit = 1024,
): Promise<{ text: string; fds: number; truncated: boolean }> => {
  const message = await socket.receive(limit, 5000);
  discard(message);
  if (typeof message === 'string') return { text: message, fds: -1, truncated: false };
  return { text: Buffer.from(message.bytes).toString(), fds: message.fds.length, truncated: message.truncated };
};

test('packets keep their borders', async () => {
  const [client, server] = await pair();
  await client.send(Buffer.from('one'));
  await client.send(Buffer.from('two'));
  assert.is((await received(server)).text, 'one');
  assert.is((await received(server)).text, 'two');
  await server.send(Buffer.from('back'));
  assert.is((await received(client)).text, 'back');
  client.close();
  assert.is(await server.receive(16), 'closed');
  server.close();
});

test('a descriptor arrives as the same file, closed on exec, and stays open at the sender', async () => {
  const [client, server] = await pair();
  const fd = openSync('/proc/self/ns/net', 'r');
  await client.send(Buffer.from('netns'), [fd]);
  const message = await server.receive(1024);
  if (typeof message === 'string') throw new Error(message);
  const [arrived = -1] = message.fds;
  assert.not.equal(arrived, fd);
  assert.is(fstatSync(arrived).ino, fstatSync(fd).ino);
  assert.is(message.truncated, false);
  closeAll(message.fds);
  closeSync(fd);
  client.close();
  server.close();
});

test('what does not fit is reported as truncated', async () => {
  const [client, server] = await pair();
  await client.send(Buffer.alloc(200, 'x'));
  assert.equal(await received(server, 100), { text: 'x'.repeat(100), fds: 0, truncated: true });
  client.close();
  server.close();
});

test('several descriptors are seen, a surplus is reported, and none leaks', async () => {
  const [client, server] = await pair();
  const fd = openSync('/dev/null', 'r');
  const before = openFds();
  await client.send(Buffer.from('x'), [fd, fd, fd]);
  assert.is((await received(server)).fds, 3);
  await client.send(
    Buffer.from('x'),
    Array.from({ length: 40 }, () => fd),
  );
  const surplus = await received(server);
  assert.ok(surplus.truncated && surplus.fds > 0 && surplus.fds < 40);
  assert.is(openFds(), before);
  closeSync(fd);
  client.close();
  server.close();
});

test('waiting ends at its time, and when the socket is closed here', async () => {
  const [client, server] = await pair();
  assert.is(await client.receive(16, 10), 'timeout');
  const waiting = client.receive(16);
  client.close();
  assert.is(await waiting, 'closed');
  assert.is(await server.receive(16, 1000), 'closed');
  server.close();
});

test('a peer that never reads does not block the sender for ever', async () => {
  const [client, server] = await pair();
  const chunk = Buffer.alloc(64 * 1024);
  const flood = async (): Promise<void> => {
    for (let sent = 0; sent < 1000; sent += 1) await client.send(chunk, [], 30);
  };
  const failure = await flood().then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(failure, /the peer read nothing for 30 ms/);
  client.close();
  server.close();
});

test('sending to a peer that has gone fails', async () => {
  const [client, server] = await pair();
  server.close();
  const failure = await client.send(Buffer.from('x')).catch((error: Error) => error.message);
  assert.match(String(failure), /EPIPE/);
  client.close();
});

test('a stale socket file is replaced, the new one is private and goes away on close', () => {
  listener.close();
  assert.not(existsSync(path));
  writeFileSync(path, 'stale');
  listener = listenSeqpacket({ path });
  assert.is(statSync(path).mode & 0o777, 0o600);
});

test('closing the listener ends a waiting accept; connecting then is refused', async () => {
  const waiting = listener.accept();
  listener.close();
  assert.is(await waiting, undefined);
  assert.throws(() => connectSeqpacket(path), /cannot connect to .* \(ENOENT\)/);
});

test('a path that is too long is explained', () => {
  assert.throws(() => listenSeqpacket({ path: `/tmp/${'x'.repeat(120)}` }), /Linux takes 107: choose a shorter folder/);
});

test.run();
