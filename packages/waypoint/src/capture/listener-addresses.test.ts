import { parseCidr } from '@ambit/common/address/cidr';
import type { CidrAddress } from '@ambit/common/model/network-address';
import type { Listener } from '@ambit/common/model/listener';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ip, listenerOf } from '../waypoint.fixture.ts';
import { ListenerAddresses } from './listener-addresses.ts';

function range(text: string, network = ''): CidrAddress {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(text);
  return { network, cidr };
}

const listener = (hostname: string, addresses: readonly string[], ranges: readonly CidrAddress[]): Listener => ({
  ...listenerOf('TCP'),
  hostname,
  addresses: addresses.map((one) => ({ network: '', ip: ip(one) })),
  cidrAddresses: ranges,
});

const TABLE = new ListenerAddresses([
  listener('wide', [], [range('10.1.0.0/16'), range('2001:db8::/32')]),
  listener('narrow', [], [range('10.1.2.0/24')]),
  listener('single', ['10.1.2.3', '2001:db8::1'], []),
  listener('b-twin', ['10.9.9.9'], [range('10.9.0.0/16')]),
  listener('a-twin', ['10.9.9.9'], [range('10.9.0.0/16')]),
  listener('elsewhere', [], [range('10.1.2.0/28', 'net2')]),
]);

const CASES: readonly (readonly [address: string, network: string, hostname: string | undefined])[] = [
  ['10.1.2.3', '', 'single'],
  ['10.1.2.4', '', 'narrow'],
  ['10.1.3.4', '', 'wide'],
  ['10.1.255.255', '', 'wide'],
  ['10.2.0.0', '', undefined],
  ['2001:db8::1', '', 'single'],
  ['2001:db8:1::1', '', 'wide'],
  ['2001:db9::1', '', undefined],
  ['10.9.9.9', '', 'a-twin'],
  ['10.9.1.1', '', 'a-twin'],
  ['10.1.2.3', 'net2', 'elsewhere'],
  ['10.1.2.99', 'net2', 'narrow'],
];

for (const [address, network, hostname] of CASES) {
  test(`${address} on network "${network}" belongs to ${hostname ?? 'nobody'}`, () => {
    assert.is(TABLE.find(network, ip(address))?.hostname, hostname);
  });
}

test.run();
