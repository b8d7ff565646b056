import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ipFromBytes, parseIp } from '../address/ip.ts';
import {
  type DnsMessage,
  type DnsRecord,
  RCODE,
  RECORD,
  addressRecord,
  encodeMessage,
  nameRecord,
  parseMessage,
  query,
  recordAddress,
  recordTarget,
  reply,
} from './message.ts';
import { nameBytes, readName } from './name.ts';

const uint16 = fc.integer({ min: 0, max: 0xffff });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const name = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 12 }), { maxLength: 6 })
  .map(
    (labels) =>
      readName(Buffer.concat([...labels.flatMap((l) => [Uint8Array.of(l.length), l]), Uint8Array.of(0)]), 0)?.name ??
      '',
  );
const ip = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((bytes) => ipFromBytes(bytes))
  .filter((one) => one !== undefined);
const record: fc.Arbitrary<DnsRecord> = fc.oneof(
  fc.tuple(name, uint32, ip).map(([owner, ttl, address]) => addressRecord(owner, ttl, address)),
  fc.tuple(name, uint32, name).map(([owner, ttl, target]) => nameRecord(owner, RECORD.CNAME, ttl, target)),
  fc
    .tuple(name, uint32, fc.uint8Array({ maxLength: 40 }))
    .map(([owner, ttl, data]) => ({ name: owner, type: RECORD.TXT, class: 1, ttl, data: Buffer.from(data) })),
);
const message: fc.Arbitrary<DnsMessage> = fc.record({
  id: uint16,
  response: fc.boolean(),
  opcode: fc.integer({ min: 0, max: 15 }),
  authoritative: fc.boolean(),
  truncated: fc.boolean(),
  recursionDesired: fc.boolean(),
  recursionAvailable: fc.boolean(),
  rcode: fc.integer({ min: 0, max: 15 }),
  questions: fc.array(fc.record({ name, type: uint16, class: uint16 }), { maxLength: 2 }),
  answers: fc.array(record, { maxLength: 5 }),
  authorities: fc.array(record, { maxLength: 2 }),
  additionals: fc.array(record, { maxLength: 2 }),
  edns: fc.option(fc.record({ udpSize: uint16, version: fc.integer({ min: 0, max: 255 }), dnssecOk: fc.boolean() }), {
    nil: undefined,
  }),
});
const hex = (records: readonly DnsRecord[]): unknown =>
  records.map((one) => ({ ...one, data: Buffer.from(one.data).toString('hex') }));

/** Without the accidents of representation: Buffer or Uint8Array, prototype or none. */
const plain = (value: DnsMessage | undefined): unknown => {
  assert.ok(value);
  return {
    ...value,
    questions: value.questions.map((one) => ({ ...one })),
    answers: hex(value.answers),
    authorities: hex(value.authorities),
    additionals: hex(value.additionals),
    edns: value.edns && { ...value.edns },
  };
};

test('what is written is read back', () => {
  fc.assert(
    fc.property(message, (original) => {
      assert.equal(plain(parseMessage(encodeMessage(original))), plain(original));
    }),
    { numRuns: 300 },
  );
});

test('no bytes make the reader throw or run on', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      parseMessage(bytes);
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(message, fc.nat(), fc.integer({ min: 0, max: 255 }), (original, at, byte) => {
      const bytes = encodeMessage(original);
      bytes[at % bytes.length] = byte;
      parseMessage(bytes);
    }),
    { numRuns: 300 },
  );
});

test('a pointer that leads forward or to itself is refused', () => {
  const head = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  assert.is(parseMessage(Uint8Array.from([...head, 0xc0, 12, 0, 1, 0, 1])), undefined);
  assert.is(parseMessage(Uint8Array.from([...head, 0xc0, 20, 0, 1, 0, 1])), undefined);
  assert.is(parseMessage(Uint8Array.from([...head, 1, 0x61, 0xc0, 12, 0, 1, 0, 1])), undefined);
  assert.ok(parseMessage(Uint8Array.from([...head, 1, 0x61, 0, 0, 1, 0, 1])));
});

test('names inside compressed answers are written out', () => {
  const bytes = Buffer.from(
    '00018180000100010000000003777777046578616d0000050001c00c00050001000000050005026162c010',
    'hex',
  );
  const answer = parseMessage(bytes)?.answers[0];
  assert.ok(answer);
  assert.is(answer.name, 'www.exam');
  assert.is(recordTarget(answer), 'ab.exam');
});

test('owner names are compressed', () => {
  const address = parseIp('10.0.0.1');
  assert.ok(address);
  const asked = query(7, 'web.a.svc.cluster.local', RECORD.A);
  const answers = Array.from({ length: 10 }, () => addressRecord('web.a.svc.cluster.local', 5, address));
  assert.is(encodeMessage(reply(asked, { answers })).length, 12 + 25 + 4 + 10 * 16);
});

test('a limit keeps what fits and says what is missing', () => {
  const address = parseIp('10.0.0.1');
  assert.ok(address);
  const asked = { ...query(7, 'a.b', RECORD.A), edns: { udpSize: 600, version: 0, dnssecOk: false } };
  const answers = Array.from({ length: 100 }, () => addressRecord('a.b', 5, address));
  const bytes = encodeMessage(reply(asked, { answers }), 600);
  assert.ok(bytes.length <= 600 && bytes.length > 580, String(bytes.length));
  const read = parseMessage(bytes);
  assert.is(read?.truncated, true);
  assert.is(read?.edns?.udpSize, 600);
  assert.is(read?.answers.length, Math.floor((600 - 11 - 12 - 9) / 16));
  assert.throws(() => encodeMessage(reply(asked, { answers: Array.from({ length: 60 }, () => answers).flat() })));
});

test('a reply repeats id, question and EDNS, and knows its address', () => {
  const address = parseIp('2001:2::1');
  assert.ok(address);
  const asked = { ...query(9, 'WeB.b', RECORD.AAAA), edns: { udpSize: 100, version: 0, dnssecOk: true } };
  const read = parseMessage(
    encodeMessage(reply(asked, { rcode: RCODE.NOERROR, answers: [addressRecord('WeB.b', 5, address)] })),
  );
  assert.ok(read?.answers[0]);
  assert.is(read.id, 9);
  assert.is(read.response, true);
  assert.is(read.questions[0]?.name, 'WeB.b');
  assert.equal(read.edns, { udpSize: 512, version: 0, dnssecOk: true });
  assert.is(recordAddress(read.answers[0]), '2001:2::1');
});

test('names that cannot exist are refused', () => {
  assert.is(nameBytes('a..b'), undefined);
  assert.is(nameBytes(`${'a'.repeat(64)}.b`), undefined);
  assert.is(nameBytes(Array.from({ length: 64 }, () => 'abc').join('.')), undefined);
  assert.equal([...(nameBytes('a.') ?? [])], [1, 0x61, 0]);
  assert.equal([...(nameBytes('') ?? [])], [0]);
});

test.run();
