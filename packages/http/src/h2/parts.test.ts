// deadline: 20s
import * as fc from 'fast-check';
import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ChunkQueue } from './chunk-queue.ts';
import { FloodGuard } from './flood.ts';
import { ConnectionFault, FLAG, FRAME } from './frame.ts';
import { clientSession } from './session.ts';

test('a chunk queue gives back the same bytes in order, whatever the pieces', () => {
  const step = fc.oneof(
    fc.record({ push: fc.uint8Array({ maxLength: 3000 }) }),
    fc.record({ take: fc.integer({ min: 1, max: 4000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new ChunkQueue();
      const pushed: Buffer[] = [];
      const taken: Buffer[] = [];
      const kept: { chunk: Uint8Array; copy: Buffer }[] = [];
      const take = (max: number): void => {
        const chunk = queue.shift(max);
        assert.ok(chunk.length <= max);
        taken.push(Buffer.from(chunk));
        kept.push({ chunk, copy: Buffer.from(chunk) });
      };
      for (const one of steps) {
        if ('push' in one) {
          queue.push(one.push);
          pushed.push(Buffer.from(one.push));
        } else if (queue.bytes > 0) take(one.take);
      }
      while (queue.bytes > 0) take(1 << 20);
      assert.ok(Buffer.concat(taken).equals(Buffer.concat(pushed)));
      for (const { chunk, copy } of kept) assert.ok(copy.equals(chunk), 'a slice that was given out has changed');
    }),
    { numRuns: 200 },
  );
});

test('many one-byte chunks are kept together, not as slices that pin their buffers', () => {
  const queue = new ChunkQueue();
  const source = Buffer.alloc(16_384, 1);
  for (let i = 0; i < source.length; i++) queue.push(source.subarray(i, i + 1));
  let slices = 0;
  while (queue.bytes > 0) {
    const chunk = queue.shift(1 << 20);
    assert.is.not(chunk.buffer, source.buffer);
    slices++;
  }
  assert.ok(slices <= 5, `${slices} slices`);
});

test('a flood guard refills with time', () => {
  let now = 0;
  const guard = new FloodGuard({ what: 'things', burst: 3, perSecond: 2 }, () => now);
  const spend = (times: number): void => {
    for (let i = 0; i < times; i++) guard.spend();
  };
  spend(3);
  assert.throws(
    () => guard.spend(),
    (error: unknown) => error instanceof ConnectionFault && error.code === 'ENHANCE_YOUR_CALM',
  );
  now = 1000;
  spend(2);
  assert.throws(() => guard.spend());
  now = 1_000_000;
  spend(3);
  assert.throws(() => guard.spend());
});

/** A peer in memory that answers PINGs, or is silent. */
function peer(answers: boolean): { stream: ByteStream; pings: () => number; destroyed: Promise<void> } {
  let sink: ByteSink | undefined;
  let pings = 0;
  const gone = Promise.withResolvers<void>();
  const stream: ByteStream = {
    attach: (given) => void (sink = given),
    write: (chunk) => {
      const bytes = Buffer.from(chunk);
      if (bytes[3] === FRAME.ping) {
        pings++;
        bytes[4] = FLAG.ack;
        if (answers) setImmediate(() => sink?.onData(bytes));
      }
      return true;
    },
    end() {},
    pause() {},
    resume() {},
    cork() {},
    uncork() {},
    destroy: () => {
      gone.resolve();
      sink?.onClose(undefined);
    },
  };
  setImmediate(() => sink?.onData(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])));
  return { stream, pings: () => pings, destroyed: gone.promise };
}

test('a peer that does not answer a PING is given up, with an error that says so', async () => {
  const silent = peer(false);
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  clientSession(silent.stream, { pingIntervalMs: 5, pingTimeoutMs: 15 }, { onClose: resolve });
  const keepRunning = setInterval(() => undefined, 5);
  await silent.destroyed;
  assert.match((await promise)?.message ?? '', 'did not answer a PING for 15 ms');
  clearInterval(keepRunning);
});

test('a peer that answers is asked again and again', async () => {
  const alive = peer(true);
  let closed = false;
  const session = clientSession(
    alive.stream,
    { pingIntervalMs: 2, pingTimeoutMs: 5000 },
    { onClose: () => (closed = true) },
  );
  await new Promise<void>((resolve) => {
    const poll = setInterval(() => {
      if (alive.pings() < 4) return;
      clearInterval(poll);
      resolve();
    }, 2);
  });
  assert.is(closed, false);
  session.destroy();
  alive.stream.destroy();
});

test.run();
