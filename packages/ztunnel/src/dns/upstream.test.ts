import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addressRecord,
  type DnsMessage,
  encodeMessage,
  parseMessage,
  RCODE,
  RECORD,
  reply,
} from '@ambit/common/dns/message';
import { ip } from '../mesh.fixture.ts';
import { parseHosts, parseResolvConf } from './resolv-conf.ts';
import { DnsUpstream } from './upstream.ts';

const QUESTION = { name: 'Example.COM', type: RECORD.A, class: 1 };

/** A name server that answers by a function, and notes what it was asked. */
function world(answer: (query: DnsMessage, protocol: string, server: string) => DnsMessage | Error): {
  upstream: DnsUpstream;
  asked: string[];
  tick: (ms: number) => void;
} {
  const asked: string[] = [];
  let time = 0;
  const upstream = new DnsUpstream({
    config: parseResolvConf('nameserver 10.0.0.53\nnameserver 10.0.0.54\noptions attempts:2 timeout:1'),
    hosts: parseHosts('10.1.1.1 printer printer.local # comment'),
    now: () => time,
    randomId: () => 77,
    exchange: async (protocol, server, bytes, accept) => {
      const query = parseMessage(bytes);
      if (query === undefined) throw new Error('not a message');
      asked.push(
        `${protocol} ${server.ip} ${query.questions[0]?.name} rd=${query.recursionDesired} edns=${query.edns !== undefined}`,
      );
      const answered = answer(query, protocol, server.ip);
      if (answered instanceof Error) throw answered;
      const encoded = encodeMessage(answered);
      if (!accept(encoded)) throw new Error('not accepted');
      return encoded;
    },
  });
  return { upstream, asked, tick: (ms) => (time += ms) };
}

const good = (query: DnsMessage): DnsMessage =>
  reply(query, { answers: [addressRecord('example.com', 60, ip('192.0.2.1'))], recursionAvailable: true });

test('asks in lower case, recursively, without EDNS', async () => {
  const { upstream, asked } = world(good);
  const answer = await upstream.resolve(QUESTION);
  assert.is(answer.answers.length, 1);
  assert.equal(asked, ['udp 10.0.0.53 example.com rd=true edns=false']);
});

test('caches by TTL, counts it down, then asks again', async () => {
  const { upstream, asked, tick } = world(good);
  await upstream.resolve(QUESTION);
  tick(20_000);
  assert.is((await upstream.resolve(QUESTION)).answers[0]?.ttl, 40);
  tick(41_000);
  await upstream.resolve(QUESTION);
  assert.is(asked.length, 2);
});

test('caches a negative answer as long as the SOA record says', async () => {
  const soa = {
    name: 'com',
    type: RECORD.SOA,
    class: 1,
    ttl: 900,
    data: Buffer.from('0000' + '00'.repeat(16) + '0000001e', 'hex'),
  };
  const { upstream, asked, tick } = world((query) => reply(query, { rcode: RCODE.NXDOMAIN, authorities: [soa] }));
  assert.is((await upstream.resolve(QUESTION)).rcode, RCODE.NXDOMAIN);
  tick(29_000);
  await upstream.resolve(QUESTION);
  assert.is(asked.length, 1);
  tick(2000);
  await upstream.resolve(QUESTION);
  assert.is(asked.length, 2);
});

test('asks over TCP after a truncated answer', async () => {
  const { upstream, asked } = world((query, protocol) =>
    protocol === 'udp' ? reply(query, { truncated: true }) : good(query),
  );
  assert.is((await upstream.resolve(QUESTION)).answers.length, 1);
  assert.equal(
    asked.map((one) => one.slice(0, 3)),
    ['udp', 'tcp'],
  );
});

test('goes to the next name server when one fails or refuses', async () => {
  const { upstream, asked } = world((query, _protocol, server) =>
    server === '10.0.0.53' ? new Error('silence') : good(query),
  );
  await upstream.resolve(QUESTION);
  assert.is(asked.length, 2);
  const refusing = world((query, _protocol, server) =>
    server === '10.0.0.53' ? reply(query, { rcode: RCODE.REFUSED }) : good(query),
  );
  assert.is((await refusing.upstream.resolve(QUESTION)).rcode, RCODE.NOERROR);
});

test('tells what nobody did better than, and rejects when nobody answers', async () => {
  const refusing = world((query) => reply(query, { rcode: RCODE.REFUSED }));
  assert.is((await refusing.upstream.resolve(QUESTION)).rcode, RCODE.REFUSED);
  const silent = world(() => new Error('silence'));
  try {
    await silent.upstream.resolve(QUESTION);
    assert.unreachable();
  } catch (error) {
    assert.is(error instanceof Error && error.message, 'silence');
  }
  assert.is(silent.asked.length, 4);
});

test('does not accept an answer with another id or another question', async () => {
  for (const change of [{ id: 78 }, { questions: [{ ...QUESTION, name: 'other.example' }] }, { response: false }]) {
    const { upstream } = world((query) => ({ ...good(query), ...change }));
    let failed = false;
    await upstream.resolve(QUESTION).catch(() => (failed = true));
    assert.ok(failed, JSON.stringify(change));
  }
});

test('one question in flight serves all who ask it', async () => {
  const { upstream, asked } = world(good);
  await Promise.all([upstream.resolve(QUESTION), upstream.resolve(QUESTION)]);
  assert.is(asked.length, 1);
});

test('hosts and localhost are answered without a name server', async () => {
  const { upstream, asked } = world(good);
  const answer = await upstream.resolve({ ...QUESTION, name: 'printer.local' });
  assert.is(answer.answers.length, 1);
  assert.equal(await upstream.addresses('localhost', true), ['127.0.0.1', '::1']);
  assert.equal(await upstream.addresses('192.0.2.9', true), ['192.0.2.9']);
  assert.equal(asked, []);
});

test('addresses of a host, of both families', async () => {
  const { upstream } = world((query) =>
    reply(query, {
      answers: [addressRecord('x', 1, ip(query.questions[0]?.type === RECORD.A ? '192.0.2.1' : '2001:db8::1'))],
    }),
  );
  assert.equal(await upstream.addresses('x', true), ['192.0.2.1', '2001:db8::1']);
  assert.equal(await upstream.addresses('y', false), ['192.0.2.1']);
});

test('resolv.conf: at most three servers, options within reason, comments and junk left out', () => {
  const config = parseResolvConf(
    '; c\nsearch a b\nnameserver 1.1.1.1 # x\nnameserver junk\nnameserver ::1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\noptions ndots:5 timeout:99 attempts:0',
  );
  assert.equal(
    config.servers.map((one) => one.ip),
    ['1.1.1.1', '::1', '2.2.2.2'],
  );
  assert.equal([config.timeoutMs, config.attempts], [30_000, 1]);
  assert.equal(parseResolvConf(''), { servers: [], timeoutMs: 5000, attempts: 2, search: [] });
});

test.run();
