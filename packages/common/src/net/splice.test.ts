// deadline: 20s
import { createHash } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ByteSink, ByteStream } from './byte-stream.ts';
import { socketStream } from './socket-stream.ts';
import { splice, type SpliceResult } from './splice.ts';

/** client ⇄ a | splice | b ⇄ server, over real sockets. */
interface Line {
  readonly client: Socket;
  readonly server: Socket;
  readonly result: Promise<SpliceResult>;
  readonly running: ReturnType<typeof splice>;
  close(): void;
}

async function pair(): Promise<{ near: Socket; far: Socket; listener: Server }> {
  const listener = createServer({ allowHalfOpen: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [near]: Socket[] = await once(listener, 'connection');
  if (near === undefined) throw new Error('no connection');
  return { near, far, listener };
}

async function line(): Promise<Line> {
  const [left, right] = await Promise.all([pair(), pair()]);
  const { promise, resolve } = Promise.withResolvers<SpliceResult>();
  const running = splice(socketStream(left.near), socketStream(right.near), resolve);
  return {
    client: left.far,
    server: right.far,
    result: promise,
    running,
    close: () => {
      for (const side of [left, right]) {
        side.far.destroy();
        side.near.destroy();
        side.listener.close();
      }
    },
  };
}

/** Deterministic bytes, so that both ends can compare without sharing memory. */
function* pattern(seed: number, total: number): Generator<Buffer> {
  let state = seed >>> 0;
  for (let sent = 0; sent < total;) {
    const size = Math.min(total - sent, 1 + ((state >>> 8) % 90_000));
    const chunk = Buffer.allocUnsafe(size);
    for (let i = 0; i < size; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      chunk[i] = state >>> 16;
    }
    sent += size;
    yield chunk;
  }
}

async function send(socket: Socket, seed: number, total: number): Promise<string> {
  const hash = createHash('sha256');
  for (const chunk of pattern(seed, total)) {
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  return hash.digest('hex');
}

async function receive(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk: Buffer) => hash.update(chunk));
  await once(socket, 'end');
  return hash.digest('hex');
}

test('ZT-COPY-01 copies both ways byte-exactly, in full at the same time, and counts the bytes', async () => {
  const at = await line();
  const total = 8 * 1024 * 1024 + 17;
  const [sentUp, sentDown, gotUp, gotDown] = await Promise.all([
    send(at.client, 1, total),
    send(at.server, 2, total + 1),
    receive(at.server),
    receive(at.client),
  ]);
  const result = await at.result;
  assert.is(gotUp, sentUp);
  assert.is(gotDown, sentDown);
  assert.equal(result, { bytesAToB: total, bytesBToA: total + 1, error: undefined, failed: undefined });
  at.close();
});

test('a half-close passes through and the other direction goes on', async () => {
  const at = await line();
  at.client.end('question');
  const question = await new Promise<string>((resolve) => {
    let text = '';
    at.server.on('data', (chunk: Buffer) => (text += chunk.toString()));
    at.server.on('end', () => resolve(text));
  });
  assert.is(question, 'question');
  const answer = receive(at.client);
  at.server.write('answer');
  at.server.end();
  assert.is(await answer, createHash('sha256').update('answer').digest('hex'));
  assert.is((await at.result).error, undefined);
  at.close();
});

for (const from of ['client', 'server'] as const) {
  test(`a reset by the ${from} resets the other side`, async () => {
    const at = await line();
    const other = from === 'client' ? at.server : at.client;
    at[from].write('x');
    await once(other, 'data');
    const failure = once(other, 'error');
    at[from].resetAndDestroy();
    const [error]: NodeJS.ErrnoException[] = await failure;
    assert.is(error?.code, 'ECONNRESET');
    const result = await at.result;
    assert.is(result.failed, from === 'client' ? 'a' : 'b');
    assert.instance(result.error, Error);
    at.close();
  });
}

test('abort resets both sides with the reason', async () => {
  const at = await line();
  const resets = [once(at.client, 'error'), once(at.server, 'error')];
  at.client.resume();
  at.server.resume();
  const reason = new Error('policy changed');
  at.running.abort(reason);
  const result = await at.result;
  assert.is(result.error, reason);
  assert.is(result.failed, undefined);
  for (const [error] of await Promise.all(resets)) assert.is(error.code, 'ECONNRESET');
  at.close();
});

test('a reader that stops makes the source stop', async () => {
  const at = await line();
  at.server.pause();
  const chunk = Buffer.alloc(1024 * 1024);
  let accepted = 0;
  while (accepted < 64 && at.client.write(chunk)) accepted++;
  const full = await new Promise<boolean>((resolve) => {
    let rounds = 0;
    const turn = (): void => {
      if (at.client.writableLength === 0) at.client.write(chunk);
      if (++rounds > 400) resolve(at.client.writableLength > 0);
      else setImmediate(turn);
    };
    turn();
  });
  assert.ok(full, 'the client could write without end');
  assert.ok(at.running.bytesAToB < 64 * 1024 * 1024);
  at.running.abort(new Error('over'));
  at.client.on('error', () => undefined);
  at.server.on('error', () => undefined);
  await at.result;
  at.close();
});

/** A ByteStream that only records what it is told. */
class Recorder implements ByteStream {
  sink: ByteSink | undefined;
  readonly calls: string[] = [];
  accepts = true;
  attach(sink: ByteSink): void {
    this.sink = sink;
  }
  write(): boolean {
    this.calls.push('write');
    return this.accepts;
  }
  end(): void {
    this.calls.push('end');
  }
  pause(): void {
    this.calls.push('pause');
  }
  resume(): void {
    this.calls.push('resume');
  }
  cork(): void {}
  uncork(): void {}
  destroy(): void {
    this.calls.push('destroy');
  }
}

test('pauses the source when the target is full and resumes it on drain', () => {
  const a = new Recorder();
  const b = new Recorder();
  splice(a, b, () => undefined);
  b.accepts = false;
  a.sink?.onData(Buffer.from('x'));
  assert.equal(a.calls, ['pause']);
  b.sink?.onDrain();
  assert.equal(a.calls, ['pause', 'resume']);
});

test('a side that closes without an error before both ended is not a clean end', () => {
  const a = new Recorder();
  const b = new Recorder();
  let result: SpliceResult | undefined;
  splice(a, b, (value) => (result = value));
  a.sink?.onEnd();
  a.sink?.onClose(undefined);
  assert.equal(b.calls, ['end', 'destroy']);
  assert.is(result, undefined);
  b.sink?.onClose(undefined);
  assert.is(result?.failed, 'a');
});

test.run();
