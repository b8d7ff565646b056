import { type Socket, createSocket } from 'node:dgram';
import { connect, createServer, type Server } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseIp } from '@ambit/common/address/ip';
import {
  type DnsMessage,
  RCODE,
  RECORD,
  addressRecord,
  encodeMessage,
  parseMessage,
  query,
  recordAddress,
  reply,
} from '@ambit/common/dns/message';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { type ClusterDns, parseUpstream, startClusterDns } from './cluster-dns.ts';
import { ClusterZone } from './cluster-zone.ts';

const quiet: ScopedLogger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  trace: () => {},
  enabled: () => false,
};
const loopback = parseIp('127.0.0.1');
const outside = parseIp('203.0.113.10');
const vips = Array.from({ length: 60 }, (_, i) => parseIp(`10.96.1.${i + 1}`)).filter((ip) => ip !== undefined);
const zone = new ClusterZone('cluster.local', [
  {
    namespace: 'shop',
    name: 'web',
    clusterIps: vips.slice(0, 1),
    headless: false,
    externalName: undefined,
    ports: [],
    endpoints: [],
  },
  {
    namespace: 'shop',
    name: 'out',
    clusterIps: [],
    headless: false,
    externalName: 'httpbin.org',
    ports: [],
    endpoints: [],
  },
  {
    namespace: 'shop',
    name: 'in',
    clusterIps: [],
    headless: false,
    externalName: 'web.shop.svc.cluster.local',
    ports: [],
    endpoints: [],
  },
  {
    namespace: 'shop',
    name: 'many',
    clusterIps: vips,
    headless: false,
    externalName: undefined,
    ports: [],
    endpoints: [],
  },
]);

let port = 0;
let dns: ClusterDns;
let upstream: Socket;
let upstreamTcp: Server;

test.before(async () => {
  assert.ok(loopback !== undefined && outside !== undefined);
  upstream = createSocket('udp4');
  const answer = (bytes: Uint8Array): Uint8Array => {
    const asked = parseMessage(bytes);
    assert.ok(asked);
    return encodeMessage(reply(asked, { answers: [addressRecord(asked.questions[0]?.name ?? '', 60, outside)] }));
  };
  upstream.on('message', (bytes, peer) => {
    // a forged answer with another id comes first and must not be believed
    const forged = Buffer.from(answer(bytes));
    forged.writeUInt16BE(forged.readUInt16BE(0) ^ 1, 0);
    upstream.send(forged, peer.port, peer.address);
    upstream.send(answer(bytes), peer.port, peer.address);
  });
  await new Promise<void>((done) => upstream.bind(0, '127.0.0.1', done));
  const upstreamPort = upstream.address().port;
  upstreamTcp = createServer((socket) => {
    socket.on('data', (chunk: Buffer) => {
      const reply = answer(chunk.subarray(2));
      socket.end(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]));
    });
  });
  await new Promise<void>((done) => upstreamTcp.listen(upstreamPort, '127.0.0.1', done));
  port = await freePort();
  dns = await startClusterDns({
    addresses: [loopback],
    port,
    zone: () => zone,
    upstreams: [`127.0.0.1:${upstreamPort}`],
    log: quiet,
  });
});

test.after(() => {
  dns.close();
  upstream.close();
  upstreamTcp.close();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function udp(message: Uint8Array): Promise<DnsMessage> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('message', (bytes) => {
      socket.close();
      const answer = parseMessage(bytes);
      if (answer === undefined) reject(new Error('no DNS message'));
      else resolve(answer);
    });
    socket.send(message, port, '127.0.0.1');
  });
}

function tcp(message: Uint8Array): Promise<DnsMessage> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let seen = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      if (seen.length < 2 || seen.length < 2 + seen.readUInt16BE(0)) return;
      socket.destroy();
      const answer = parseMessage(seen.subarray(2));
      if (answer === undefined) reject(new Error('no DNS message'));
      else resolve(answer);
    });
    // byte by byte: a length may come in two pieces
    for (const byte of Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]))
      socket.write(Uint8Array.of(byte));
  });
}

test('the zone is served over UDP and TCP', async () => {
  const asked = encodeMessage(query(7, 'web.shop.svc.cluster.local', RECORD.A));
  for (const ask of [udp, tcp]) {
    const answer = await ask(asked);
    assert.equal([answer.id, answer.authoritative, answer.answers.map(recordAddress)], [7, true, ['10.96.1.1']]);
  }
});

test('an answer that does not fit into UDP is cut, and whole over TCP', async () => {
  const asked = encodeMessage(query(8, 'many.shop.svc.cluster.local', RECORD.A));
  const cut = await udp(asked);
  assert.ok(cut.truncated && cut.answers.length < vips.length);
  const whole = await tcp(asked);
  assert.equal([whole.truncated, whole.answers.length], [false, vips.length]);
});

test('other names are forwarded, and only their own answer is believed', async () => {
  const asked = encodeMessage(query(9, 'httpbin.org', RECORD.A));
  for (const ask of [udp, tcp]) {
    const answer = await ask(asked);
    assert.equal([answer.id, answer.answers.map(recordAddress)], [9, ['203.0.113.10']]);
  }
});

test('an alias is answered together with its target', async () => {
  for (const [name, ip] of [
    ['out', '203.0.113.10'],
    ['in', '10.96.1.1'],
  ]) {
    const answer = await udp(encodeMessage(query(3, `${name}.shop.svc.cluster.local`, RECORD.A)));
    assert.equal(
      answer.answers.map((one) => recordAddress(one) ?? 'alias'),
      ['alias', ip],
    );
  }
});

test('without an upstream that answers the server says so', async () => {
  const alone = await freePort();
  assert.ok(loopback);
  const server = await startClusterDns({
    addresses: [loopback],
    port: alone,
    zone: () => zone,
    upstreams: [],
    log: quiet,
  });
  const before = port;
  port = alone;
  try {
    assert.is((await udp(encodeMessage(query(1, 'example.org', RECORD.A)))).rcode, RCODE.SERVFAIL);
  } finally {
    port = before;
    server.close();
  }
});

test('a taken port is one sentence', async () => {
  assert.ok(loopback);
  try {
    await startClusterDns({ addresses: [loopback], port, zone: () => zone, upstreams: [], log: quiet });
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), new RegExp(`cluster DNS cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`));
  }
});

test('upstreams are addresses, with a port or without', () => {
  assert.equal(parseUpstream('9.9.9.9'), { ip: '9.9.9.9', port: 53 });
  assert.equal(parseUpstream('[2001:db8::1]:5353'), { ip: '2001:db8::1', port: 5353 });
  assert.equal(parseUpstream('2001:db8::1'), { ip: '2001:db8::1', port: 53 });
  for (const bad of ['dns.example', 'dns.example:53', '9.9.9.9:0', '']) assert.is(parseUpstream(bad), undefined, bad);
});

test.run();
