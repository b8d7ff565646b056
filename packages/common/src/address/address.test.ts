import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cidrContains, formatCidr, parseCidr } from './cidr.ts';
import { formatHostPort, parseAuthority } from './host-port.ts';
import { ipFromBytes, ipToBytes, parseIp } from './ip.ts';

test('an address has one canonical text', () => {
  assert.is(parseIp('2001:0DB8:0:0:0:0:0:1'), '2001:db8::1');
  assert.is(parseIp('::ffff:10.0.0.1'), '10.0.0.1');
  assert.is(parseIp('::'), '::');
  for (const bad of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', 'fe80::1%eth0', '[::1]', 'x'])
    assert.is(parseIp(bad), undefined, bad);
});

test('bytes and text agree both ways', () => {
  for (const text of ['0.0.0.0', '203.0.113.10', '::', '::1', '2001:2::1', 'fd00:10:244::ffff']) {
    const ip = parseIp(text);
    assert.ok(ip !== undefined, text);
    assert.is(ipFromBytes(ipToBytes(ip)), text);
  }
  assert.is(ipFromBytes(new Uint8Array(5)), undefined);
});

test('a prefix is masked and holds only its family', () => {
  const cidr = parseCidr('10.1.2.3/23');
  assert.ok(cidr !== undefined);
  assert.is(formatCidr(cidr), '10.1.2.0/23');
  const holds = (text: string): boolean => {
    const ip = parseIp(text);
    return ip !== undefined && cidrContains(cidr, ipToBytes(ip));
  };
  assert.ok(holds('10.1.3.255'));
  assert.not(holds('10.1.4.0'));
  assert.not(holds('::ffff:0a01:0200:1'));
  assert.is(parseCidr('10.0.0.0/33'), undefined);
  assert.is(parseCidr('10.0.0.0/x'), undefined);
});

test('authorities need a host and a port', () => {
  assert.equal(parseAuthority('[2001:2::1]:80'), { host: '2001:2::1', ip: '2001:2::1', port: 80 });
  assert.equal(parseAuthority('Web.b.svc:8080'), { host: 'web.b.svc', ip: undefined, port: 8080 });
  for (const bad of ['', ':80', 'a', 'a:0', 'a:65536', '::1:80', '[x]:1', 'a:8x'])
    assert.is(parseAuthority(bad), undefined, bad);
  const ip = parseIp('2001:2::1');
  assert.ok(ip !== undefined);
  assert.is(formatHostPort(ip, 80), '[2001:2::1]:80');
});

test.run();
