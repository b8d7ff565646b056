import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type RedirectOptions, redirectRules, removalRules } from './redirect-rules.ts';

const BASE: RedirectOptions = { dnsCapture: true, bypassInbound: false, ipv6: true };

const CASES: readonly (readonly [file: string, options: RedirectOptions])[] = [
  ['dual-stack-dns', BASE],
  ['ipv4-dns', { ...BASE, ipv6: false }],
  ['ipv4', { ...BASE, ipv6: false, dnsCapture: false }],
  ['dual-stack-bypass-inbound', { ...BASE, bypassInbound: true }],
  ['ipv4-virtual-interfaces', { ...BASE, ipv6: false, dnsCapture: false, virtualInterfaces: ['vnet0', 'tap-1'] }],
];

for (const [file, options] of CASES) {
  test(`rules are those of golden/${file}.nft`, () => {
    assert.fixture(redirectRules(options), readFileSync(new URL(`golden/${file}.nft`, import.meta.url), 'utf8'));
  });
}

test('without IPv6 no rule speaks of it', () => {
  assert.not.match(redirectRules({ ...BASE, ipv6: false }), 'ip6');
});

test('without DNS capture a raw table left from before is removed in the same transaction', () => {
  assert.ok(redirectRules({ ...BASE, dnsCapture: false }).endsWith('delete table inet istio-ambient-raw\n'));
});

test('removal names every table, present or not', () => {
  for (const table of ['nat', 'mangle', 'raw'])
    assert.match(removalRules(), `add table inet istio-ambient-${table}\ndelete table inet istio-ambient-${table}\n`);
});

for (const name of ['', 'eth0" accept', 'a'.repeat(16), 'eth*', 'eth0\nflush ruleset', 'a b', '$x'])
  test(`the interface name ${JSON.stringify(name)} is refused`, () => {
    assert.throws(() => redirectRules({ ...BASE, virtualInterfaces: [name] }), /is not an interface name/);
  });

test.run();
