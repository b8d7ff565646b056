import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listenSeqpacket, type SeqpacketListener, type SeqpacketSocket } from '@ambit/common/linux/seqpacket';
import { createLogger } from '@ambit/common/telemetry/log';
import type { EventOutcome, PodEvent } from './pod-event.ts';
import { runZdsClient } from './zds-client.ts';

const ADD = Buffer.from('0a120a0175120d0a016e12026e731a0461636374', 'hex');
const DEL = Buffer.from('1203120175', 'hex');
const SNAPSHOT = Buffer.from('1a00', 'hex');

interface World {
  readonly listener: SeqpacketListener;
  readonly path: string;
  /** What the sink was told, in order. */
  readonly told: string[];
  readonly fatal: string[];
  outcome: EventOutcome;
}

/** A CNI that the test plays itself, and the client connected to it. */
async function withClient(run: (world: World) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'zds-'));
  const path = join(folder, 'zds.sock');
  const world: World = { listener: listenSeqpacket({ path }), path, told: [], fatal: [], outcome: { kind: 'done' } };
  const abort = new AbortController();
  const note = (what: string) => (): Promise<void> => Promise.resolve(void world.told.push(what));
  const client = runZdsClient({
    path,
    sink: {
      connected: note('connected'),
      disconnected: note('disconnected'),
      handle: (event: PodEvent) => {
        world.told.push(event.kind);
        if (event.kind === 'add') event.netns.close();
        return Promise.resolve(world.outcome);
      },
    },
    log: createLogger({ level: 'off', format: 'plain' }).scope('test'),
    signal: abort.signal,
    onFatal: (error) => world.fatal.push(error.message),
  });
  try {
    await run(world);
  } finally {
    abort.abort();
    world.listener.close();
    await client;
    rmSync(folder, { recursive: true });
  }
}

async function accept({ listener }: World): Promise<SeqpacketSocket> {
  const socket = await listener.accept();
  if (socket === undefined) throw new Error('the listener was closed');
  assert.is(await text(socket), '0801');
  return socket;
}

/** The next packet in hexadecimal, or how the connection ended. */
async function text(socket: SeqpacketSocket): Promise<string> {
  const received = await socket.receive(1024, 5000);
  return typeof received === 'string' ? received : Buffer.from(received.bytes).toString('hex');
}

async function ask(socket: SeqpacketSocket, bytes: Uint8Array, fds: readonly number[] = []): Promise<string> {
  await socket.send(bytes, fds);
  const answer = await text(socket);
  return answer === '0a00' ? 'ok' : Buffer.from(answer, 'hex').toString('latin1').slice(4);
}

test('announces itself first, then answers each packet with one acknowledgement', () =>
  withClient(async (world) => {
    const socket = await accept(world);
    const netns = openSync('/proc/self/ns/net', 'r');
    assert.is(await ask(socket, ADD, [netns]), 'ok');
    closeSync(netns);
    assert.is(await ask(socket, DEL), 'ok');
    assert.is(await ask(socket, SNAPSHOT), 'ok');
    assert.equal(world.told, ['connected', 'add', 'del', 'snapshot-sent']);
    socket.close();
  }));

test('a pod that cannot be started is refused with the reason, and the connection goes on', () =>
  withClient(async (world) => {
    const socket = await accept(world);
    world.outcome = { kind: 'failed', error: 'address in use' };
    assert.match(await ask(socket, DEL), 'failure to start proxy : address in use');
    world.outcome = { kind: 'done' };
    assert.is(await ask(socket, DEL), 'ok');
    socket.close();
  }));

for (const [title, bytes, withFd] of [
  ['an add without a descriptor', ADD, false],
  ['a del with one', DEL, true],
  ['junk', Buffer.from('ffffff', 'hex'), false],
  ['a descriptor that is no network namespace', ADD, true],
  ['a packet that is too long', Buffer.concat([SNAPSHOT, Buffer.alloc(1100)]), false],
] as const) {
  test(`${title} is refused, the connection closed and dialled again, no descriptor kept`, () =>
    withClient(async (world) => {
      const socket = await accept(world);
      const fd = withFd ? openSync('/dev/null', 'r') : undefined;
      const before = readdirSync('/proc/self/fd').length;
      assert.match(await ask(socket, bytes, fd === undefined ? [] : [fd]), 'failure to read message : ');
      assert.is(await text(socket), 'closed');
      socket.close();
      const again = await accept(world);
      assert.equal(world.told, ['connected', 'disconnected', 'connected']);
      assert.is(readdirSync('/proc/self/fd').length, before);
      again.close();
      if (fd !== undefined) closeSync(fd);
    }));
}

test('a broken protocol is refused and ends the program', () =>
  withClient(async (world) => {
    const socket = await accept(world);
    world.outcome = { kind: 'fatal', error: 'a second snapshot on one connection' };
    assert.match(await ask(socket, SNAPSHOT), 'failure to process message : a second snapshot');
    assert.is(await text(socket), 'closed');
    assert.equal(world.fatal, ['the CNI broke the protocol: a second snapshot on one connection']);
    socket.close();
  }));

test('ZT-ZDS-10 a CNI that hangs up or restarts is found again', () =>
  withClient(async (world) => {
    (await accept(world)).close();
    (await accept(world)).close();
    world.listener.close();
    const restarted = listenSeqpacket({ path: world.path });
    const socket = await accept({ ...world, listener: restarted });
    assert.is(await ask(socket, SNAPSHOT), 'ok');
    socket.close();
    restarted.close();
  }));

test.run();
