// deadline: 20s
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ByteSink } from './byte-stream.ts';
import { toDuplex } from './duplex.ts';
import { socketStream } from './socket-stream.ts';

async function pair(): Promise<{ near: Socket; far: Socket; close: () => void }> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const far = connect({ port: typeof address === 'object' && address ? address.port : 0, allowHalfOpen: true });
  const [near]: Socket[] = await once(listener, 'connection');
  if (near === undefined) throw new Error('no connection');
  return {
    near,
    far,
    close: () => {
      near.destroy();
      far.destroy();
      listener.close();
    },
  };
}

function recording(events: string[], over: () => void): ByteSink {
  return {
    onData: (chunk) => void events.push(`data ${Buffer.from(chunk).toString()}`),
    onEnd: () => void events.push('end'),
    onDrain: () => void events.push('drain'),
    onClose: (error) => {
      events.push(`close ${error === undefined ? 'clean' : error.message}`);
      over();
    },
  };
}

test('delivers data, end and close in order, and close once', async () => {
  const { near, far, close } = await pair();
  const events: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const stream = socketStream(near);
  stream.attach(recording(events, resolve));
  far.end('hello');
  far.resume();
  stream.end();
  await promise;
  assert.equal(events, ['data hello', 'end', 'close clean']);
  close();
});

test('a socket that failed before attach tells its error afterwards, not inside the call', async () => {
  const { near, far, close } = await pair();
  const stream = socketStream(near);
  const closed = new Promise((resolve) => near.once('close', resolve));
  near.destroy(new Error('early'));
  await closed;
  const events: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.attach(recording(events, resolve));
  assert.equal(events, []);
  await promise;
  assert.equal(events, ['close early']);
  far.on('error', () => undefined);
  close();
});

test('an end before attach is told afterwards, and the stream can still be answered', async () => {
  const { near, far, close } = await pair();
  const stream = socketStream(near);
  far.end();
  await once(near.resume(), 'end');
  const events: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.attach({ ...recording(events, resolve), onEnd: () => (events.push('end'), stream.end()) });
  assert.equal(events, []);
  far.resume();
  await promise;
  assert.equal(events, ['end', 'close clean']);
  close();
});

test('an end and a close before attach are both told, once and in order', async () => {
  const { near, far, close } = await pair();
  const stream = socketStream(near);
  far.end();
  near.end();
  far.resume();
  await once(near.resume(), 'close');
  const events: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.attach(recording(events, resolve));
  await promise;
  await new Promise(setImmediate);
  assert.equal(events, ['end', 'close clean']);
  close();
});

test('destroy sends RST even after data is written', async () => {
  const { near, far, close } = await pair();
  const stream = socketStream(near);
  stream.attach(recording([], () => undefined));
  const failed = once(far, 'error');
  far.resume();
  stream.write(Buffer.from('x'));
  stream.destroy(new Error('gone'));
  const [error]: NodeJS.ErrnoException[] = await failed;
  assert.is(error?.code, 'ECONNRESET');
  close();
});

test('a second receiver takes over', async () => {
  const { near, far, close } = await pair();
  const first: string[] = [];
  const second: string[] = [];
  const stream = socketStream(near);
  const { promise, resolve } = Promise.withResolvers<void>();
  const final = recording(second, () => undefined);
  stream.attach({
    ...recording(first, () => undefined),
    onData: () => {
      first.push('one');
      stream.attach({ ...final, onData: () => resolve() });
      far.write('two');
    },
  });
  far.write('one');
  await promise;
  assert.equal(first, ['one']);
  close();
});

test('toDuplex carries bytes and half-close both ways', async () => {
  const { near, far, close } = await pair();
  const duplex = toDuplex(socketStream(near));
  far.end('ping');
  let got = '';
  for await (const chunk of duplex) got += String(chunk);
  assert.is(got, 'ping');
  close();
});

test('toDuplex can be answered after the peer half-closed, and closes by itself', async () => {
  const { near, far, close } = await pair();
  const duplex = toDuplex(socketStream(near));
  const closed = once(duplex, 'close');
  duplex.on('end', () => duplex.end('late'));
  duplex.resume();
  far.end();
  const [answer]: Buffer[] = await once(far, 'data');
  assert.is(answer?.toString(), 'late');
  await closed;
  close();
});

test('toDuplex reports a broken stream as its error', async () => {
  const { near, far, close } = await pair();
  const duplex = toDuplex(socketStream(near));
  duplex.resume();
  const failed = once(duplex, 'error');
  far.resetAndDestroy();
  const [error]: NodeJS.ErrnoException[] = await failed;
  assert.is(error?.code, 'ECONNRESET');
  close();
});

test.run();
