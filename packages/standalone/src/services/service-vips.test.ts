import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { type ServiceVip, serviceRules } from './service-vips.ts';

const ip = (text: string): IpAddress => parseIp(text) ?? assert.unreachable(text) ?? ip('::');
const V4 = { pods: '10.244.0.0/16', services: '10.96.0.0/16' };
const V6 = { pods: 'fd00:10:244::/64', services: 'fd00:10:96::/112' };
const vip = (text: string, endpoints: readonly string[], protocol: 'tcp' | 'udp' = 'tcp'): ServiceVip => ({
  name: 'shop/web:80',
  protocol,
  vip: ip(text),
  port: 80,
  endpoints: endpoints.map((one) => ({ ip: ip(one), port: 8080 })),
});
const body = (rules: string): string[] => rules.split('\n').map((line) => line.trim());

test('the ruleset replaces itself in one transaction', () => {
  const lines = body(serviceRules([], V4, undefined));
  assert.equal(lines.slice(0, 3), [
    'table inet ambit_services',
    'delete table inet ambit_services',
    'table inet ambit_services {',
  ]);
});

test('a Service port leads to a random endpoint of its family', () => {
  const lines = body(
    serviceRules(
      [vip('10.96.0.20', ['10.244.0.3', '10.244.0.4']), vip('fd00:10:96::14', ['fd00:10:244::3'], 'udp')],
      V4,
      V6,
    ),
  );
  const expected = [
    'meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.3 . 8080, 1 : 10.244.0.4 . 8080 }',
    'meta l4proto udp dnat ip6 to numgen random mod 1 map { 0 : fd00:10:244::3 . 8080 }',
    'elements = { 10.96.0.20 . tcp . 80 : goto vip_0 }',
    'elements = { fd00:10:96::14 . udp . 80 : goto vip_1 }',
    'elements = { 10.244.0.3 . 10.244.0.3, 10.244.0.4 . 10.244.0.4 }',
  ];
  for (const line of expected) assert.ok(lines.includes(line), line);
});

test('a Service without endpoints is refused, not looked up', () => {
  const lines = body(serviceRules([vip('10.96.0.21', [])], V4, undefined));
  assert.not(lines.some((line) => line.includes('10.96.0.21')));
  assert.ok(lines.includes('ip daddr 10.96.0.0/16 fib daddr type != local meta l4proto tcp reject with tcp reset'));
});

test('pods that leave the cluster and pods that reach themselves are masqueraded', () => {
  const lines = body(serviceRules([], V4, V6));
  for (const line of [
    'ip saddr . ip daddr @self_ip masquerade',
    'ip saddr 10.244.0.0/16 ip daddr != { 10.244.0.0/16, 10.96.0.0/16 } masquerade',
    'ip6 saddr fd00:10:244::/64 ip6 daddr != { fd00:10:244::/64, fd00:10:96::/112 } masquerade',
  ])
    assert.ok(lines.includes(line), line);
});

test('without IPv6 no rule mentions it', () => {
  assert.not.match(serviceRules([vip('10.96.0.20', ['10.244.0.3'])], V4, undefined), /ip6 |ipv6/);
});

test('a name cannot break out of its comment', () => {
  const rules = serviceRules([{ ...vip('10.96.0.20', ['10.244.0.3']), name: 'a"; drop' }], V4, undefined);
  assert.match(rules, /comment "a; drop"/);
});

test.run();
