import { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { ListenerProtocol } from '@ambit/common/model/listener';
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readClientHello } from './client-hello.ts';
import { SNIFF_BYTES, sniff } from './sniff.ts';

/** The bytes a TLS client really sends first. */
async function clientHello(servername: string | undefined): Promise<Buffer> {
  const sent = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      sent.resolve(chunk);
      done();
    },
  });
  const name = servername === undefined ? {} : { servername };
  const client = connect({ socket: wire, rejectUnauthorized: false, ...name });
  client.on('error', () => undefined);
  const bytes = await sent.promise;
  client.destroy();
  return bytes;
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const TABLE: readonly (readonly [bytes: string, protocol: ListenerProtocol, kind: string])[] = [
  ['', 'AUTO', 'more'],
  ['G', 'AUTO', 'more'],
  ['GET', 'AUTO', 'more'],
  ['GET ', 'AUTO', 'more'],
  ['GET /', 'AUTO', 'http1'],
  ['OPTIONS *', 'AUTO', 'http1'],
  ['GET http://', 'AUTO', 'http1'],
  ['M-SEARCH *', 'AUTO', 'http1'],
  ['HELO mail', 'AUTO', 'opaque'],
  ['EHLO mail', 'AUTO', 'opaque'],
  ['SSH-2.0-OpenSSH', 'AUTO', 'opaque'],
  ['get /', 'AUTO', 'opaque'],
  ['ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'AUTO', 'opaque'],
  ['\x00\x01', 'AUTO', 'opaque'],
  ['*1\r\n', 'AUTO', 'opaque'],
  ['P', 'AUTO', 'more'],
  [PREFACE.slice(0, 20), 'AUTO', 'more'],
  [PREFACE, 'AUTO', 'http2'],
  [`${PREFACE}\0\0\0`, 'HTTP', 'http2'],
  ['PUT /', 'HTTP', 'http1'],
  ['P', 'HTTP', 'more'],
  ['\x16\x03', 'HTTP', 'http1'],
  ['anything', 'HTTP', 'http1'],
  ['', 'TLS', 'more'],
  ['\x16', 'TLS', 'more'],
  ['\x16\x03\x01', 'AUTO', 'more'],
  ['\x16\x02', 'AUTO', 'opaque'],
  ['GET / ', 'TLS', 'opaque'],
  ['', 'TCP', 'opaque'],
];

for (const [bytes, protocol, kind] of TABLE) {
  test(`${JSON.stringify(bytes)} on a ${protocol} port is ${kind}`, () => {
    assert.is(sniff(Buffer.from(bytes, 'latin1'), protocol).kind, kind);
  });
}

test('reads the server name of a real ClientHello, split anywhere', async () => {
  const hello = await clientHello('Example.org');
  assert.equal(sniff(hello, 'TLS'), { kind: 'tls', sni: 'example.org' });
  assert.equal(sniff(hello, 'AUTO'), { kind: 'tls', sni: 'example.org' });
  for (let i = 0; i < hello.length; i++) assert.is(sniff(hello.subarray(0, i), 'TLS').kind, 'more', `${i} bytes`);
});

test('reads a ClientHello that spans records', async () => {
  const hello = await clientHello('example.org');
  const payload = hello.subarray(5);
  const record = (part: Buffer): Buffer =>
    Buffer.concat([Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part]);
  const split = Buffer.concat([
    record(payload.subarray(0, 7)),
    record(payload.subarray(7, 90)),
    record(payload.subarray(90)),
  ]);
  assert.equal(readClientHello(split), { kind: 'hello', sni: 'example.org' });
});

test('a ClientHello without a name is TLS all the same', async () => {
  assert.equal(sniff(await clientHello(undefined), 'TLS'), { kind: 'tls', sni: undefined });
});

test('a handshake that never ends is not waited for', () => {
  const endless = Buffer.alloc(SNIFF_BYTES, 0x41);
  endless.set([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
  assert.is(sniff(endless, 'TLS').kind, 'opaque');
  assert.is(sniff(endless.subarray(0, 100), 'TLS').kind, 'more');
});

test('property: no bytes make it fail, and a decision stays when more bytes come', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 80 }),
      fc.constantFrom<ListenerProtocol>('AUTO', 'HTTP', 'TLS'),
      (bytes, protocol) => {
        const kinds = Array.from({ length: bytes.length + 1 }, (_, i) => sniff(bytes.subarray(0, i), protocol).kind);
        const decided = kinds.findIndex((kind) => kind !== 'more');
        if (decided >= 0) assert.ok(kinds.slice(decided).every((kind) => kind === kinds[decided]));
      },
    ),
    { numRuns: 500 },
  );
});

test('property: a damaged ClientHello never fails', async () => {
  const hello = await clientHello('example.org');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      (changes) => {
        const damaged = Buffer.from(hello);
        for (const [at, value] of changes) damaged[at] = value;
        assert.ok(['hello', 'more', 'not-tls'].includes(readClientHello(damaged).kind));
      },
    ),
    { numRuns: 500 },
  );
});

test.run();
