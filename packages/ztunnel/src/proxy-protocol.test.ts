import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostPort } from '@ambit/common/address/host-port';
import { parseIp } from '@ambit/common/address/ip';
import { encodeProxyHeader } from './proxy-protocol.ts';

function at(text: string, port: number): HostPort {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(text);
  return { ip, port };
}

const SIGNATURE = '0d0a0d0a000d0a515549540a';
const identity = 'spiffe://td/ns/a/sa/b';
const identityHex = `d00015${Buffer.from(identity).toString('hex')}`;

const rows = [
  {
    name: 'IPv4 with identity',
    header: { source: at('10.0.0.1', 1000), destination: at('10.0.0.2', 80), identity },
    hex: `${SIGNATURE}211100240a0000010a00000203e80050${identityHex}`,
  },
  {
    name: 'IPv6 without identity',
    header: { source: at('::1', 1), destination: at('2001:db8::2', 443), identity: undefined },
    hex: `${SIGNATURE}21210024${'00'.repeat(15)}0120010db8${'00'.repeat(11)}02000101bb`,
  },
  {
    name: 'families that differ carry no addresses',
    header: { source: at('10.0.0.1', 1), destination: at('::1', 2), identity },
    hex: `${SIGNATURE}21010018${identityHex}`,
  },
  {
    name: 'IPv4-mapped IPv6 is IPv4',
    header: { source: at('::ffff:10.0.0.1', 1), destination: at('10.0.0.2', 2), identity: undefined },
    hex: `${SIGNATURE}2111000c0a0000010a00000200010002`,
  },
];

for (const { name, header, hex } of rows) {
  test(`PROXY v2: ${name}`, () => assert.is(encodeProxyHeader(header).toString('hex'), hex));
}

test.run();
