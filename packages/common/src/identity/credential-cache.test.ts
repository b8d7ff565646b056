import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createFakeCa } from '../../../../test/harness/fake-ca.ts';
import { createLogger } from '../telemetry/log.ts';
import { type CredentialClock, CredentialCache } from './credential-cache.ts';
import { parseSpiffe, spiffeId } from './spiffe.ts';

/** Time that stands still until it is moved; timers run in their order. */
class FakeClock implements CredentialClock {
  #now = Date.parse('2026-06-01T00:00:00Z');
  #timers: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((one) => one !== timer));
  }

  /** Moves on, running what comes due, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets everything that waits on promises only go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const DAY = 86_400_000;
const HOUR = 3_600_000;
const ca = createFakeCa();
const A = spiffeId('cluster.local', 'ns', 'a');
const id = (name: string): typeof A => spiffeId('cluster.local', 'ns', name);

interface Harness {
  readonly cache: CredentialCache;
  readonly clock: FakeClock;
  /** Identities in the order in which the CA was asked. */
  readonly asked: string[];
  /** Requests that wait for release(). */
  readonly held: (() => void)[];
  readonly log: string[];
  readonly abort: AbortController;
  fail: string | undefined;
  lifeMs: number;
  hold: boolean;
  uri: string | undefined;
}

function harness(): Harness {
  const clock = new FakeClock();
  const abort = new AbortController();
  const log: string[] = [];
  const made = { clock, abort, log, asked: [] as string[], held: [] as (() => void)[] };
  const state = {
    fail: undefined as string | undefined,
    lifeMs: DAY,
    hold: false,
    uri: undefined as string | undefined,
  };
  const cache = new CredentialCache({
    sign: async (csr, identity) => {
      made.asked.push(identity.serviceAccount);
      if (state.hold) await new Promise<void>((resolve) => made.held.push(resolve));
      if (state.fail !== undefined) throw new Error(state.fail);
      const notBefore = clock.now();
      return ca.answer(csr, state.uri ?? identity.uri, { notBefore, notAfter: notBefore + state.lifeMs });
    },
    signal: abort.signal,
    log: createLogger({ level: 'debug', format: 'plain', write: (line) => log.push(line) }).scope('identity'),
    clock,
    random: () => 0.5,
  });
  return Object.assign(state, made, { cache });
}

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: Error) => error.message,
  );

test('ZT-ID-05 renewed at half of its life, a little earlier by jitter', async () => {
  const { cache, clock, asked } = harness();
  const first = await cache.credentials(A);
  await clock.advance(DAY * 0.47);
  assert.is(asked.length, 1);
  await clock.advance(DAY * 0.03);
  assert.is(asked.length, 2);
  const second = await cache.credentials(A);
  assert.is.not(second, first);
  assert.ok(second.notAfter > first.notAfter);
});

test('ZT-ID-05 a certificate that is expired on arrival is asked for again soon, and never given out', async () => {
  const one = harness();
  one.lifeMs = -1000;
  assert.match(await failure(one.cache.credentials(A)), 'has expired');
  one.lifeMs = DAY;
  await one.clock.advance(1000);
  assert.is((await one.cache.credentials(A)).identity, A);
  assert.is(one.asked.length, 2);
});

test('ZT-ID-06 however many ask, one certificate is fetched per identity', async () => {
  const { cache, asked } = harness();
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => cache.credentials(id(`s${i % 3}`))));
  assert.is(new Set(all).size, 3);
  assert.equal(asked, ['s0', 's1', 's2']);
});

test('ZT-ID-07 a connection that waits goes before warm-ups, and those before renewals', async () => {
  const one = harness();
  const { cache, clock, asked, held } = one;
  await cache.credentials(id('old'));
  one.hold = true;
  for (let i = 0; i < 8; i++) cache.warm(id(`busy${i}`));
  await clock.advance(DAY * 0.5);
  cache.warm(id('warm'));
  const urgent = cache.credentials(id('urgent'));
  const upgraded = cache.credentials(id('warm2'));
  cache.warm(id('warm3'));
  one.hold = false;
  for (const release of held.splice(0)) release();
  await Promise.all([urgent, upgraded]);
  await settle();
  assert.equal(asked.slice(9), ['urgent', 'warm2', 'warm', 'warm3', 'old']);
});

test('a warm-up that a connection comes to wait for goes first', async () => {
  const one = harness();
  one.hold = true;
  for (let i = 0; i < 8; i++) one.cache.warm(id(`busy${i}`));
  one.cache.warm(id('first'));
  one.cache.warm(id('second'));
  const waiting = one.cache.credentials(id('second'));
  one.hold = false;
  for (const release of one.held.splice(0)) release();
  await waiting;
  await settle();
  assert.equal(one.asked.slice(8), ['second', 'first']);
});

test('ZT-ID-08 warming a new identity fetches, warming a known one does nothing', async () => {
  const { cache, asked } = harness();
  cache.warm(A);
  cache.warm(A);
  await settle();
  cache.warm(A);
  assert.is((await cache.credentials(A)).identity, A);
  assert.is(asked.length, 1);
});

test('ZT-ID-09 at most eight requests are in flight', async () => {
  const one = harness();
  one.hold = true;
  const all = Array.from({ length: 20 }, (_, i) => one.cache.credentials(id(`s${i}`)));
  await settle();
  assert.is(one.asked.length, 8);
  one.held.shift()?.();
  await settle();
  assert.is(one.asked.length, 9);
  one.hold = false;
  for (const release of one.held.splice(0)) release();
  await Promise.all(all);
  assert.is(one.asked.length, 20);
});

test('ZT-ID-10 a forgotten identity is not renewed, and who waits for it is told', async () => {
  const one = harness();
  await one.cache.credentials(A);
  one.cache.forget(A);
  await one.clock.advance(2 * DAY);
  assert.is(one.asked.length, 1);
  assert.equal(one.cache.state(), []);
  one.hold = true;
  const waiting = failure(one.cache.credentials(A));
  await settle();
  one.cache.forget(A);
  assert.is(await waiting, `${A.uri}: the identity is no longer needed`);
  for (const release of one.held.splice(0)) release();
  await settle();
  assert.equal(one.cache.state(), []);
});

test('ZT-ID-11 retries after 1 s, then twice as long each time up to 150 s; a success starts over', async () => {
  const one = harness();
  one.fail = 'CA is away';
  assert.match(await failure(one.cache.credentials(A)), 'CA is away');
  const delays: number[] = [];
  for (let i = 0; i < 9; i++) {
    const wait = (one.cache.state()[0]?.renewAt ?? 0) - one.clock.now();
    delays.push(wait / 1000);
    await one.clock.advance(wait);
  }
  assert.equal(delays, [1, 2, 4, 8, 16, 32, 64, 128, 150]);
  one.fail = undefined;
  await one.clock.advance(150_000);
  assert.is(one.cache.state()[0]?.state, 'Available');
  one.fail = 'away again';
  await one.clock.advance(DAY * 0.475);
  assert.is((one.cache.state()[0]?.renewAt ?? 0) - one.clock.now(), 1000);
});

test('without a certificate callers fail at once, with the reason', async () => {
  const one = harness();
  one.fail = 'CA is away';
  await failure(one.cache.credentials(A));
  one.hold = true;
  assert.match(await failure(one.cache.credentials(A)), 'CA is away');
  assert.is(one.cache.state()[0]?.state, 'Unavailable');
});

test('ZT-ID-12 a failed renewal keeps the certificate until it really expires', async () => {
  const one = harness();
  const first = await one.cache.credentials(A);
  one.fail = 'CA is away';
  await one.clock.advance(DAY - 1);
  assert.is(await one.cache.credentials(A), first);
  const [state] = one.cache.state();
  assert.is(state?.state, 'Available');
  assert.is(state?.error, 'CA is away');
  await one.clock.advance(1);
  assert.match(await failure(one.cache.credentials(A)), 'CA is away');
  assert.is(one.cache.state()[0]?.state, 'Unavailable');
  one.fail = undefined;
  await one.clock.advance(180_000);
  assert.is.not(await one.cache.credentials(A), first);
});

test('a short certificate is tried again at 75 % and 90 % of its life, before the backoff says so', async () => {
  const one = harness();
  one.lifeMs = 4000;
  const start = one.clock.now();
  await one.cache.credentials(A);
  one.fail = 'CA is away';
  const tried: number[] = [];
  for (let i = 0; i < 6; i++) {
    const at = one.cache.state()[0]?.renewAt ?? 0;
    tried.push((at - start) / 4000);
    await one.clock.advance(at - one.clock.now());
  }
  assert.equal(tried.slice(0, 4), [0.475, 0.725, 0.875, 1]);
});

test('ZT-ID-02 an answer for somebody else is refused', async () => {
  const one = harness();
  one.uri = 'spiffe://cluster.local/ns/ns/sa/other';
  assert.is(await failure(one.cache.credentials(A)), `did not find expected SAN: ${A.uri}`);
});

test('when the program ends, waiters are told and timers are gone', async () => {
  const one = harness();
  await one.cache.credentials(id('b'));
  one.hold = true;
  const waiting = failure(one.cache.credentials(A));
  await settle();
  one.abort.abort();
  assert.match(await waiting, 'shutting down');
  await one.clock.advance(2 * DAY);
  assert.is(one.asked.length, 2);
});

test('a long-lived certificate is renewed although timers are short', async () => {
  const one = harness();
  one.lifeMs = 90 * DAY;
  await one.cache.credentials(A);
  await one.clock.advance(42 * DAY);
  assert.is(one.asked.length, 1);
  await one.clock.advance(3 * DAY);
  assert.is(one.asked.length, 2);
});

test('keys never reach the log', async () => {
  const one = harness();
  await one.cache.credentials(A);
  await one.clock.advance(12 * HOUR);
  assert.ok(one.log.length >= 2);
  assert.not.ok(one.log.some((line) => line.includes('PRIVATE KEY')));
});

test('ZT-ID-13 SPIFFE ids have exactly five parts', () => {
  const accepted = parseSpiffe('spiffe://td/ns/n/sa/s');
  assert.equal([accepted?.trustDomain, accepted?.namespace, accepted?.serviceAccount], ['td', 'n', 's']);
  for (const text of [
    '',
    'td/ns/n/sa/s',
    'spiffe://td/ns/n/sa',
    'spiffe://td/ns/n/sa/s/x',
    'spiffe://td/NS/n/sa/s',
    'SPIFFE://td/ns/n/sa/s',
  ]) {
    assert.is(parseSpiffe(text), undefined, text);
  }
});

test.run();
