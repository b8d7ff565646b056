import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Backoff } from './backoff.ts';
import { Drain } from './drain.ts';
import { Readiness } from './readiness.ts';
import { Scope } from './scope.ts';

test('backoff grows up to its cap and starts over', () => {
  const backoff = new Backoff({ initialMs: 20, maxMs: 100 });
  assert.equal(
    [backoff.next(), backoff.next(), backoff.next(), backoff.next(), backoff.next()],
    [20, 40, 80, 100, 100],
  );
  backoff.reset();
  assert.is(backoff.next(), 20);
});

test('jitter spreads both ways and never exceeds the cap', () => {
  const values = [0, 0.5, 1];
  const backoff = new Backoff({ initialMs: 10, maxMs: 40, jitter: 0.2, random: () => values.shift() ?? 1 });
  assert.equal([backoff.next(), backoff.next(), backoff.next()], [8, 20, 40]);
});

test('readiness names what is pending until each task is done', () => {
  const readiness = new Readiness();
  const state = readiness.task('state manager');
  const dns = readiness.task('dns proxy');
  assert.equal(readiness.pending(), ['dns proxy', 'state manager']);
  dns();
  dns();
  assert.not(readiness.ready);
  state();
  assert.ok(readiness.ready);
});

test('a task registered twice is pending until both are done', () => {
  const readiness = new Readiness();
  const first = readiness.task('x');
  const second = readiness.task('x');
  first();
  assert.equal(readiness.pending(), ['x']);
  second();
  assert.ok(readiness.ready);
});

test('a scope ends its children first, then its cleanups in reverse', async () => {
  const order: string[] = [];
  const scope = new Scope('agent');
  scope.defer(() => void order.push('first'));
  scope.defer(async () => void order.push('second'));
  const child = scope.child('pod');
  child.defer(() => void order.push('child'));
  await scope[Symbol.asyncDispose]();
  assert.equal(order, ['child', 'second', 'first']);
  assert.ok(child.signal.aborted && scope.signal.aborted);
  assert.is(child.name, 'agent/pod');
});

test('ending twice runs cleanups once; a late cleanup runs at once; a late child is refused', async () => {
  let runs = 0;
  const scope = new Scope('s');
  scope.defer(() => void (runs += 1));
  await Promise.all([scope[Symbol.asyncDispose](), scope[Symbol.asyncDispose]()]);
  scope.defer(() => void (runs += 10));
  await scope[Symbol.asyncDispose]();
  assert.is(runs, 11);
  assert.throws(() => scope.child('late'), /has ended/);
});

test('every cleanup runs even if one fails', async () => {
  let ran = false;
  const scope = new Scope('s');
  scope.defer(() => void (ran = true));
  scope.defer(() => {
    throw new Error('boom');
  });
  const failure = await scope[Symbol.asyncDispose]().then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.instance(failure, Error);
  assert.ok(ran);
});

test('a graceful drain waits for what is held', async () => {
  const drain = new Drain();
  const release = drain.hold();
  const done = drain.start('graceful', 60_000);
  assert.ok(drain.draining.aborted);
  assert.not(drain.aborted.aborted);
  release();
  await done;
  assert.ok(drain.aborted.aborted);
});

test('the deadline and an immediate drain cut what is held', async () => {
  const late = new Drain();
  late.hold();
  await late.start('graceful', 1);
  assert.ok(late.aborted.aborted);
  const cut = new Drain();
  cut.hold();
  const graceful = cut.start('graceful', 60_000);
  await cut.start('immediate');
  await graceful;
  assert.ok(cut.aborted.aborted);
});

test.run();
