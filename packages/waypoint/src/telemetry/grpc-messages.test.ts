import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GrpcMessages, MessageCounter } from './grpc-messages.ts';

function message(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length, 0xff);
  bytes.writeUInt8(length % 2, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

test('property: messages are counted however they are split', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(2000), { maxLength: 20 }), fc.array(fc.nat(300), { minLength: 1 }), (lengths, cuts) => {
      const bytes = Buffer.concat(lengths.map(message));
      const counter = new MessageCounter();
      let cut = 0;
      for (let at = 0; at < bytes.length; cut++) {
        const step = 1 + (cuts[cut % cuts.length] ?? 0);
        counter.push(bytes.subarray(at, at + step));
        at += step;
      }
      assert.is(counter.count, lengths.length);
    }),
  );
});

test('a message of 4 GiB is one, and its length is no negative number', () => {
  const counter = new MessageCounter();
  counter.push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
  for (let i = 0; i < 10; i++) counter.push(Buffer.alloc(1000));
  assert.is(counter.count, 1);
});

test('only what came since the last time is told', () => {
  const messages = new GrpcMessages();
  const told: number[][] = [];
  const tell = (): void => messages.tell((...counts) => void told.push(counts));
  tell();
  messages.request.push(message(3));
  tell();
  tell();
  messages.request.push(message(0));
  messages.response.push(Buffer.concat([message(1), message(2)]));
  tell();
  assert.equal(told, [
    [1, 0],
    [1, 2],
  ]);
});

test.run();
