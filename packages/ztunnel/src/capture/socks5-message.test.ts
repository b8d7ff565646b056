import { assert as check, property, uint8Array } from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseGreeting, parseRequest } from './socks5-message.ts';

const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex');

for (const [name, hex, kind, length] of [
  ['one method', '05 01 00', 'read', 3],
  ['several methods and the next message', '05 02 02 00 05', 'read', 4],
  ['half of it', '05 02 00', 'more', undefined],
  ['another version', '04 01', 'violation', undefined],
  ['no methods', '05 00', 'violation', undefined],
  ['only methods with passwords', '05 01 02', 'violation', undefined],
] as const) {
  test(`ZT-DIR-03 a greeting: ${name}`, () => {
    const message = parseGreeting(bytes(hex));
    assert.equal([message.kind, message.kind === 'read' ? message.length : undefined], [kind, length]);
  });
}

for (const [name, hex, expected] of [
  ['IPv4', '05 01 00 01 0a000001 0050', '10.0.0.1  80'],
  ['IPv6', '05 01 00 04 20010db8000000000000000000000001 01bb', '2001:db8::1  443'],
  ['a name', '05 01 00 03 03 776562 0050', 'undefined web 80'],
  ['half a name', '05 01 00 03 03 7765', 'more'],
  ['an empty name', '05 01 00 03 00 0050', 'violation'],
  ['a name that is no UTF-8', '05 01 00 03 02 c328 0050', 'violation'],
  ['BIND', '05 02 00 01 0a000001 0050', 'violation'],
  ['another kind of address', '05 01 00 02 0a', 'violation'],
] as const) {
  test(`ZT-DIR-03 a request: ${name}`, () => {
    const message = parseRequest(bytes(hex));
    if (message.kind !== 'read') return assert.is(message.kind, expected);
    const { ip, hostname, port } = message.value;
    assert.is(`${ip} ${hostname} ${port}`, expected);
  });
}

test('any bytes are a message, a violation, or the beginning of one of bounded length', () => {
  check(
    property(uint8Array({ maxLength: 600 }), (input) => {
      for (const message of [parseGreeting(input), parseRequest(input)]) {
        if (message.kind === 'read') assert.ok(message.length <= input.length);
        if (message.kind === 'more') assert.ok(input.length < 262);
      }
    }),
  );
});

test.run();
