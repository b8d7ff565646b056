/**
 * A client with bad intentions, run in a pod: `node bad-input-attacker.ts ATTACK HOST PORT [TIMES]` sends the bytes of an
 * attack on a connection of its own, and prints what came back of the last one as JSON: the text, an alert, a GOAWAY.
 * `mixed` takes all attacks on HTTP in turn.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

const DEADLINE_MS = 4000;
const AT_ONCE = 20;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

const get = (...lines: string[]): Buffer => Buffer.from(['GET / HTTP/1.1', ...lines, '', ''].join('\r\n'), 'latin1');
const post = (headers: string[], body: string): Buffer =>
  Buffer.from(['POST / HTTP/1.1', 'host: peer', ...headers, '', body].join('\r\n'), 'latin1');

function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const SETTINGS = frame(4, 0, 0);
/** :method GET, :scheme http, :path /, :authority peer. */
const BLOCK = Buffer.concat([Buffer.from([0x82, 0x86, 0x84, 0x41, 4]), Buffer.from('peer')]);
const http2 = (...frames: Buffer[]): Buffer => Buffer.concat([Buffer.from(PREFACE), SETTINGS, ...frames]);
const repeat = (count: number, make: (i: number) => Buffer): Buffer[] =>
  Array.from({ length: count }, (_, i) => make(i));

const ATTACKS: Readonly<Record<string, () => Buffer>> = {
  'both-lengths': () =>
    post(['content-length: 4', 'transfer-encoding: chunked'], '0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: peer\r\n\r\n'),
  'two-lengths': () =>
    post(['content-length: 0', 'content-length: 36'], 'GET /smuggled HTTP/1.1\r\nhost: peer\r\n\r\n'),
  'odd-encoding': () => post(['transfer-encoding: xchunked'], '0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: peer\r\n\r\n'),
  'blank-before-colon': () => post(['transfer-encoding : chunked'], '0\r\n\r\n'),
  'bare-line-feed': () => Buffer.from('GET / HTTP/1.1\nhost: peer\n\n'),
  'folded-header': () => get('host: peer', 'x-a: 1', ' 2'),
  'null-in-header': () => get('host: peer', 'x-a: \0'),
  'bad-chunk': () => post(['transfer-encoding: chunked'], 'zz\r\nhello\r\n0\r\n\r\n'),
  'no-host': () => get(),
  'two-hosts': () => get('host: peer', 'host: other'),
  'no-http': () => Buffer.from('\u0001\u0002hello there\r\n\r\n', 'latin1'),
  'large-header': () => get('host: peer', `x-large: ${'a'.repeat(100_000)}`),
  'many-headers': () => get('host: peer', ...Array.from({ length: 500 }, (_, i) => `x-${i}: 1`)),
  'long-path': () => Buffer.from(`GET /${'a'.repeat(100_000)} HTTP/1.1\r\nhost: peer\r\n\r\n`),
  'http2-garbage': () => http2(frame(1, 4, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))),
  'http2-large-frame': () => http2(frame(1, 4, 1, Buffer.alloc(1_100_000))),
  'http2-rapid-reset': () =>
    http2(
      ...repeat(3000, (i) =>
        Buffer.concat([frame(1, 5, 2 * i + 1, BLOCK), frame(3, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8]))]),
      ),
    ),
  'http2-settings-flood': () => http2(...repeat(5000, () => SETTINGS)),
  'http2-ping-flood': () => http2(...repeat(5000, () => frame(6, 0, 0, Buffer.alloc(8)))),
  'http2-continuation-flood': () =>
    http2(frame(1, 1, 1, BLOCK), ...repeat(2000, () => frame(9, 0, 1, Buffer.from([0x00, 1, 97, 1, 98])))),
  'plain-http': () => get('host: peer'),
};
/** Without those whose connection stays open, and the one that costs a thousand log lines. */
const MIXED = Object.keys(ATTACKS).filter((name) => !['plain-http', 'no-host', 'http2-rapid-reset'].includes(name));

const [attack = '', host = '', port = '', times = '1'] = process.argv.slice(2);
let last: object = {};
let started = 0;
await Promise.all(Array.from({ length: Math.min(AT_ONCE, Number(times)) }, () => worker()));
console.log(JSON.stringify(last));
process.exit();

async function worker(): Promise<void> {
  while (started < Number(times)) {
    const name = attack === 'mixed' ? (MIXED[started % MIXED.length] ?? '') : attack;
    started++;
    last = await (attack.startsWith('tls-') ? shakeHands() : strike(name));
  }
}

/** Sends the bytes and gives what came back until the end. */
function strike(name: string): Promise<object> {
  const bytes = ATTACKS[name]?.() ?? Buffer.alloc(0);
  return new Promise((resolve) => {
    const socket: Socket = connect({ host, port: Number(port) });
    const chunks: Buffer[] = [];
    const end = (how: string): void => {
      clearTimeout(timer);
      socket.destroy();
      const back = Buffer.concat(chunks);
      resolve({ how, text: back.toString('latin1').slice(0, 2000), goaway: goawayCode(back) });
    };
    const timer = setTimeout(() => end('timeout'), DEADLINE_MS);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', (error) => end(error.message));
    socket.on('close', () => end('closed'));
    socket.write(bytes);
  });
}

/** The error code of a GOAWAY frame in what an HTTP/2 server sent. */
function goawayCode(bytes: Buffer): number | null {
  for (let offset = 0; offset + 9 <= bytes.length; offset += 9 + bytes.readUIntBE(offset, 3)) {
    if (bytes[offset + 3] === 7 && offset + 17 <= bytes.length) return bytes.readUInt32BE(offset + 13);
  }
  return null;
}

/** TLS as the mesh speaks it, without a certificate or with one of somebody else, read from the pod's files. */
function shakeHands(): Promise<object> {
  const folder = '/etc/foreign';
  const pem = (file: string): string => readFileSync(join(folder, file), 'utf8');
  const identity = attack === 'tls-foreign' ? { cert: pem('cert.pem'), key: pem('key.pem') } : {};
  return new Promise((resolve) => {
    const socket = connectTls({
      host,
      port: Number(port),
      ...identity,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    const end = (how: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ how, text });
    };
    let text = '';
    const timer = setTimeout(() => end('timeout'), DEADLINE_MS);
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('error', (error) => end(error.message));
    socket.on('close', () => end('closed'));
    // in TLS 1.3 the client has finished before the server has judged its certificate
    socket.on('secureConnect', () => socket.write(PREFACE));
  });
}
