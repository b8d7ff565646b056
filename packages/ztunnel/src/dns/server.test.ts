import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addressRecord,
  type DnsMessage,
  encodeMessage,
  parseMessage,
  query,
  RCODE,
  RECORD,
  recordAddress,
  reply,
} from '@ambit/common/dns/message';
import { listenIn, localAddress, udpIn } from '@ambit/common/linux/sockets';
import type { MeshStore } from '@ambit/common/mesh/store';
import { ip, mesh, service, workload } from '../mesh.fixture.ts';
import { answerQuestion } from './answer.ts';
import { createDnsHandler, type DnsEvent } from './handler.ts';
import { type DnsServer, framed, serveDns } from './server.ts';

const CLIENT = workload({ name: 'client', namespace: 'ns1', ips: ['10.0.0.1'] });
const MANY = Array.from({ length: 256 }, (_, index) => `10.9.0.${index}`);
const STORE: MeshStore = mesh({
  workloads: [CLIENT],
  services: [
    service({ hostname: 'web.ns1.svc.cluster.local', namespace: 'ns1', vips: ['10.1.0.1'] }),
    service({ hostname: 'many.example', vips: MANY }),
  ],
});

interface Running {
  readonly server: DnsServer;
  readonly port: number;
  readonly events: DnsEvent[];
}

function start(forward: (name: string) => DnsMessage | Error, known = true, host = '127.0.0.1'): Running {
  const events: DnsEvent[] = [];
  const handler = createDnsHandler({
    client: () => (known ? Promise.resolve(CLIENT) : Promise.reject(new Error('unknown'))),
    answer: (client, question) =>
      answerQuestion(
        {
          view: STORE,
          client,
          clusterDomain: 'cluster.local',
          searchDomains: undefined,
          preferredNamespace: undefined,
          ipv6: true,
          random: Math.random,
        },
        question,
      ),
    forward: (question) => {
      const answer = forward(question.name);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    observe: (event) => events.push(event),
    now: () => 0,
  });
  const tcp = listenIn(undefined, { host, port: 0, backlog: 8 });
  const port = localAddress(tcp)?.port ?? 0;
  const udp = { fd: udpIn(undefined, { host, port }), type: host.includes(':') ? 'udp6' : 'udp4' } as const;
  return { server: serveDns({ udp: [udp], tcp: [tcp] }, handler), port, events };
}

async function askUdp(port: number, message: DnsMessage): Promise<DnsMessage> {
  const socket = createSocket('udp4');
  try {
    socket.send(encodeMessage(message), port, '127.0.0.1');
    const [bytes] = await once(socket, 'message');
    return parsed(bytes);
  } finally {
    socket.close();
  }
}

async function askTcp(port: number, message: DnsMessage): Promise<DnsMessage> {
  const socket = connect(port, '127.0.0.1');
  let received = Buffer.alloc(0);
  socket.write(framed(encodeMessage(message)));
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) break;
  }
  socket.destroy();
  return parsed(received.subarray(2));
}

function parsed(bytes: Uint8Array): DnsMessage {
  const message = parseMessage(bytes);
  if (message === undefined) throw new Error('malformed answer');
  return message;
}

const positive = (): DnsMessage =>
  reply(query(1, 'x', RECORD.A), {
    answers: [addressRecord('outside.example', 99, ip('192.0.2.1'))],
    additionals: [addressRecord('more.example', 99, ip('192.0.2.2'))],
    authorities: [addressRecord('never', 1, ip('192.0.2.3'))],
    authoritative: true,
  });

async function withServer(run: (running: Running) => Promise<void>, ...args: Parameters<typeof start>): Promise<void> {
  const running = start(...args);
  try {
    await run(running);
  } finally {
    running.server.close();
  }
}

test('ZT-DNS-22 the same answer over UDP and TCP: authoritative, id and question echoed as written', () =>
  withServer(async ({ port, events }) => {
    for (const ask of [askUdp, askTcp]) {
      const answer = await ask(port, query(4711, 'WeB', RECORD.A));
      assert.equal(
        [answer.id, answer.questions[0]?.name, answer.authoritative, answer.recursionAvailable],
        [4711, 'WeB', true, true],
      );
      assert.equal(
        answer.answers.map((one) => one.name),
        ['web'],
      );
    }
    assert.equal(
      events.map((one) => `${one.protocol} ${one.domain} ${one.result} ${one.endpoints}`),
      ['udp web. success 1', 'tcp web. success 1'],
    );
  }, positive));

test('ZT-DNS-23 clients of IPv4 are answered by a socket of both families', () =>
  withServer(
    async ({ port }) => {
      for (const ask of [askUdp, askTcp]) {
        const { answers } = await ask(port, query(1, 'web', RECORD.A));
        assert.equal(answers.map(recordAddress), ['10.1.0.1']);
      }
    },
    positive,
    true,
    '::',
  ));

test('ZT-DNS-24 a long answer is whole over TCP, and cut and marked over UDP', () =>
  withServer(async ({ port }) => {
    const ask = { ...query(1, 'many.example', RECORD.A), edns: { udpSize: 1232, version: 0, dnssecOk: false } };
    assert.is((await askTcp(port, ask)).answers.length, 256);
    const cut = await askUdp(port, ask);
    assert.ok(cut.truncated && cut.answers.length >= 70 && cut.answers.length < 256, String(cut.answers.length));
    assert.is(cut.edns?.udpSize, 1232);
    assert.is((await askUdp(port, query(1, 'many.example', RECORD.A))).truncated, true);
  }, positive));

test('ZT-DNS-06 ZT-DNS-26 a forwarded answer: AA=0, RA=1, additionals kept, authorities not', () =>
  withServer(async ({ port }) => {
    const answer = await askUdp(port, query(7, 'outside.example', RECORD.A));
    assert.equal([answer.id, answer.authoritative, answer.recursionAvailable], [7, false, true]);
    assert.equal([answer.answers.length, answer.additionals.length, answer.authorities.length], [1, 1, 0]);
    assert.is(answer.answers[0]?.ttl, 99);
  }, positive));

test('ZT-DNS-26 a forwarded NXDOMAIN keeps its code, bare', () =>
  withServer(
    async ({ port }) => {
      const ask = { ...query(7, 'outside.example', RECORD.A), edns: { udpSize: 1232, version: 0, dnssecOk: false } };
      const answer = await askUdp(port, ask);
      assert.equal([answer.rcode, answer.recursionAvailable, answer.edns], [RCODE.NXDOMAIN, false, undefined]);
    },
    () => reply(query(1, 'x', RECORD.A), { rcode: RCODE.NXDOMAIN }),
  ));

test('no answer from upstream, or an unknown client, is SERVFAIL', async () => {
  await withServer(
    async ({ port, events }) => {
      assert.is((await askUdp(port, query(7, 'outside.example', RECORD.A))).rcode, RCODE.SERVFAIL);
      assert.is(events[0]?.result, 'forwarding failed (silence)');
    },
    () => new Error('silence'),
  );
  await withServer(
    async ({ port }) => assert.is((await askUdp(port, query(7, 'web', RECORD.A))).rcode, RCODE.SERVFAIL),
    positive,
    false,
  );
});

test('another opcode is NOTIMP; answers and junk get none', () =>
  withServer(async ({ port }) => {
    assert.is((await askUdp(port, { ...query(7, 'web', RECORD.A), opcode: 2 })).rcode, RCODE.NOTIMP);
    const socket = createSocket('udp4');
    const seen: unknown[] = [];
    socket.on('message', (bytes) => seen.push(bytes));
    socket.send(Buffer.from('junk'), port, '127.0.0.1');
    socket.send(encodeMessage({ ...query(7, 'web', RECORD.A), response: true }), port, '127.0.0.1');
    socket.send(encodeMessage(query(8, 'web', RECORD.A)), port, '127.0.0.1');
    await once(socket, 'message');
    assert.is(seen.length, 1);
    socket.close();
  }, positive));

test('several queries on one TCP connection, in pieces', () =>
  withServer(async ({ port }) => {
    const socket = connect(port, '127.0.0.1');
    const bytes = Buffer.concat([1, 2, 3].map((id) => framed(encodeMessage(query(id, 'web', RECORD.A)))));
    const ids: number[] = [];
    let received = Buffer.alloc(0);
    for (const byte of bytes) socket.write(Buffer.of(byte));
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk]);
      for (; received.length >= 2 && received.length >= received.readUInt16BE(0) + 2;) {
        const length = received.readUInt16BE(0);
        ids.push(parsed(received.subarray(2, length + 2)).id);
        received = received.subarray(length + 2);
      }
      if (ids.length === 3) break;
    }
    assert.equal(
      ids.sort((a, b) => a - b),
      [1, 2, 3],
    );
  }, positive));

test.run();
