import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DnsAnswer, HostResolver, type Resolution } from './resolve.ts';
import { ip } from './testbed.ts';

/** A resolver whose name server answers what the test says, when it says so. */
class Bench {
  now = 0;
  readonly asked: string[] = [];
  readonly log: string[] = [];
  readonly resolver: HostResolver;
  #pending: PromiseWithResolvers<DnsAnswer>[] = [];

  constructor() {
    this.resolver = new HostResolver({
      lookup: (host) => {
        this.asked.push(host);
        const pending = Promise.withResolvers<DnsAnswer>();
        this.#pending.push(pending);
        return pending.promise;
      },
      now: () => this.now,
      log: { warn: (message) => void this.log.push(message), info: (message) => void this.log.push(message) },
    });
  }

  get(host = 'a.example'): Resolution {
    return this.resolver.resolve(host);
  }

  async answer(addresses: string[], ttlSeconds: number): Promise<void> {
    this.#pending.shift()?.resolve({ addresses: addresses.map(ip), ttlSeconds });
    await new Promise((resolve) => setImmediate(resolve));
  }

  async fail(message: string): Promise<void> {
    this.#pending.shift()?.reject(new Error(message));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('the first lookup is awaited, the answer lives for its TTL, one lookup at a time', async () => {
  const bench = new Bench();
  const first = bench.get();
  assert.ok(first.ready !== undefined);
  assert.is(bench.get('A.EXAMPLE').ready, first.ready);
  await bench.answer(['192.0.2.1', '2001:db8::1'], 30);
  await first.ready;
  assert.equal(bench.get().addresses, ['192.0.2.1', '2001:db8::1']);
  bench.now = 29_999;
  assert.equal(bench.get().addresses.length, 2);
  assert.is(bench.asked.length, 1);
});

test('an answer that ran out is still given while it is renewed in the background', async () => {
  const bench = new Bench();
  bench.get();
  await bench.answer(['192.0.2.1'], 30);
  const version = bench.resolver.version;
  bench.now = 30_000;
  assert.equal(bench.get().addresses, ['192.0.2.1']);
  assert.equal(bench.get().addresses, ['192.0.2.1']);
  assert.is(bench.asked.length, 2);
  await bench.answer(['192.0.2.2'], 30);
  assert.equal(bench.get().addresses, ['192.0.2.2']);
  assert.is(bench.resolver.version, version + 1);
});

test('an answer long out of date is not used before a refresh was tried', async () => {
  const bench = new Bench();
  bench.get();
  await bench.answer(['192.0.2.1'], 30);
  bench.now = 3_600_000;
  assert.ok(bench.get().ready !== undefined);
  await bench.answer(['192.0.2.9'], 30);
  assert.equal(bench.get().addresses, ['192.0.2.9']);
});

test('a failing refresh keeps the old answer and is retried later and later', async () => {
  const bench = new Bench();
  bench.get();
  await bench.answer(['192.0.2.1'], 1);
  const lookups: number[] = [];
  let before = bench.asked.length;
  for (bench.now = 1000; bench.now < 200_000; bench.now += 500) {
    assert.equal(bench.get().addresses, ['192.0.2.1']);
    if (bench.asked.length > before) lookups.push(bench.now);
    before = bench.asked.length;
    await bench.fail('SERVFAIL');
  }
  assert.equal(lookups, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 124_000, 184_000]);
  assert.equal(bench.log, ['host name does not resolve']);
  bench.now = 300_000;
  bench.get();
  await bench.answer(['192.0.2.1'], 1);
  assert.is(bench.log.length, 2);
});

test('a name that never resolved says why, and is asked again after a while', async () => {
  const bench = new Bench();
  const { ready } = bench.get();
  await bench.fail('ENOTFOUND');
  await ready;
  assert.equal(bench.get(), { addresses: [], ready: undefined, failure: 'ENOTFOUND' });
  assert.is(bench.asked.length, 1);
  bench.now = 1000;
  assert.ok(bench.get().ready !== undefined);
  await bench.answer([], 5);
  assert.match(bench.get().failure ?? '', 'no addresses');
});

test('a TTL of nothing still holds for a second, the longest for an hour; order alone is no change', async () => {
  const bench = new Bench();
  bench.get();
  await bench.answer(['192.0.2.1', '192.0.2.2'], 0);
  bench.now = 999;
  bench.get();
  assert.is(bench.asked.length, 1);
  bench.now = 1000;
  bench.get();
  const version = bench.resolver.version;
  await bench.answer(['192.0.2.2', '192.0.2.1'], 1_000_000);
  assert.is(bench.resolver.version, version);
  bench.now = 1000 + 3_599_999;
  bench.get();
  assert.is(bench.asked.length, 2);
  bench.now += 1;
  bench.get();
  assert.is(bench.asked.length, 3);
});

test('the cache is bounded', () => {
  const bench = new Bench();
  for (let i = 0; i < 5000; i++) bench.get(`h${i}.example`);
  bench.get('h4999.example');
  assert.is(bench.asked.length, 5000);
  bench.get('h0.example');
  assert.is(bench.asked.length, 5001);
});

test.run();
