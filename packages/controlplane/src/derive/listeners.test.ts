import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatCidr } from '@ambit/common/address/cidr';
import { entry, gateway, meshOf, USE } from './mesh.fixture.ts';

test('WP-030: a listener has the ranges of its ServiceEntry beside its single addresses', () => {
  const mesh = meshOf(
    gateway('waypoint'),
    entry(
      'lan',
      'hosts: [lan.test], addresses: [203.0.113.7, 198.51.100.9/24, "2001:db8::1/64"], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.1}]',
      USE,
    ),
  );
  const listener = mesh.listeners[0]?.value;
  assert.equal(
    listener?.addresses.map(({ ip }) => ip),
    ['203.0.113.7'],
  );
  assert.equal(
    listener?.cidrAddresses.map(({ network, cidr }) => `${network}/${formatCidr(cidr)}`),
    ['/198.51.100.0/24', '/2001:db8::/64'],
    'masked',
  );
});

test.run();
