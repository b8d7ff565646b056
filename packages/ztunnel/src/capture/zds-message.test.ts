import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as fc from 'fast-check';
import { encodeAck, encodeHello, type FdOwner, PACKET_BYTES, parsePacket } from './zds-message.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const packet = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Notes what is closed and what is taken over. */
function owner(): FdOwner & { closed: number[]; taken: number[] } {
  const closed: number[] = [];
  const taken: number[] = [];
  return {
    closed,
    taken,
    netns: (fd) => {
      taken.push(fd);
      return { fd, dev: 1n, ino: BigInt(fd), close: () => undefined };
    },
    close: (fd) => void closed.push(fd),
  };
}

const ADD_WITH_INFO = packet('0a 12 0a 01 75 12 0d 0a 01 6e 12 02 6e 73 1a 04 61 63 63 74');
const ADD_WITHOUT_INFO = packet('0a 03 0a 01 75');
const DEL = packet('12 03 12 01 75');

test('the hello and a success are the bytes of the protocol', () => {
  assert.is(hex(encodeHello()), '0801');
  assert.is(hex(encodeAck()), '0a00');
  assert.is(hex(encodeAck('x')), '0a030a0178');
});

test('an answer fits into what the peer reads, whatever the error', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 3000, unit: 'binary' }), (text) => encodeAck(text).length <= PACKET_BYTES),
  );
});

test('ZT-ZDS-01 an add is read with and without info; it takes over its one descriptor', () => {
  for (const bytes of [ADD_WITH_INFO, ADD_WITHOUT_INFO]) {
    const fds = owner();
    const event = parsePacket(bytes, [7], fds);
    assert.equal([event.kind, fds.taken, fds.closed], ['add', [7], []]);
    if (event.kind !== 'add') throw new Error('unreachable');
    const info = { uid: 'u', name: 'n', namespace: 'ns', serviceAccount: 'acct' };
    assert.equal(event.info, bytes === ADD_WITH_INFO ? info : undefined);
  }
});

test('ZT-ZDS-01 a del is read without a descriptor and refused with one', () => {
  assert.equal(parsePacket(DEL, []), { kind: 'del', uid: 'u' });
  const fds = owner();
  assert.throws(() => parsePacket(DEL, [7], fds), /takes none/);
  assert.equal(fds.closed, [7]);
});

for (const [title, bytes, fds] of [
  ['an add without a descriptor', ADD_WITH_INFO, []],
  ['an add with two', ADD_WITH_INFO, [7, 8]],
  ['no payload', packet(''), []],
  ['bytes that are no message', packet('ff ff ff'), [9]],
] as const) {
  test(`${title} is refused and every descriptor closed`, () => {
    const noted = owner();
    assert.throws(() => parsePacket(bytes, fds, noted));
    assert.equal([noted.closed, noted.taken], [[...fds], []]);
  });
}

test('keep and snapshot', () => {
  assert.equal(parsePacket(packet('2a 03 0a 01 75'), []), { kind: 'keep', uid: 'u' });
  assert.equal(parsePacket(packet('1a 00'), []), { kind: 'snapshot-sent' });
});

test('no bytes leave a descriptor behind', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.array(fc.nat(50), { maxLength: 3 }), (bytes, fds) => {
      const noted = owner();
      try {
        parsePacket(bytes, fds, noted);
      } catch {
        // Refused: that is one of the two right answers.
      }
      assert.is(noted.closed.length + noted.taken.length, fds.length);
    }),
    { numRuns: 300 },
  );
});

test.run();
