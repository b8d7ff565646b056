import { createSocket } from 'node:dgram';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DnsAnswer, HostResolver, type Resolution, systemLookup } from './resolve.ts';
import { ip } from './upstream.fixture.ts';

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

/** Answers A with two addresses and AAAA with nothing for `api.example`, and NXDOMAIN for every other name. */
function nameServer(): Promise<{ address: string; close: () => void }> {
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => {
    const questionEnd = query.indexOf(0, 12) + 5;
    const isA = query.readUInt16BE(questionEnd - 4) === 1;
    const known = query.subarray(12, questionEnd).toString('latin1').toLowerCase().includes('api\x07example');
    const records = known && isA ? [1, 2].map((last) => record(last, last * 30)) : [];
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180 | (known ? 0 : 3), 2);
    header.writeUInt16BE(records.length, 6);
    header.writeUInt32BE(0, 8);
    socket.send(Buffer.concat([header, query.subarray(12, questionEnd), ...records]), peer.port, peer.address);
  });
  return new Promise((resolve) =>
    socket.bind(0, '127.0.0.1', () =>
      resolve({ address: `127.0.0.1:${socket.address().port}`, close: () => socket.close() }),
    ),
  );
}

/** An A record for the name of the question: 192.0.2.<last>. */
function record(last: number, ttl: number): Buffer {
  const bytes = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, last]);
  bytes.writeUInt32BE(ttl, 6);
  return bytes;
}

test('the name servers are asked for both families; one that has no address does not matter', async () => {
  const server = await nameServer();
  const lookup = systemLookup([server.address]);
  assert.equal(await lookup('api.example'), { addresses: ['192.0.2.1', '192.0.2.2'], ttlSeconds: 30 });
  const failure = await lookup('other.example').catch((error: unknown) => String(error));
  assert.is(failure, 'MeshError: other.example has no address: A ENOTFOUND, AAAA ENOTFOUND');
  server.close();
});

test.run();
