import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCidr } from '@ambit/common/address/cidr';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { ingestServiceEntry, type ServiceEntryForm } from '../ingest/service-entry.ts';
import { allocateVips, DEFAULT_VIP_RANGES, type VipRanges } from './vip-allocation.ts';

interface Written {
  readonly hosts?: readonly string[];
  readonly addresses?: readonly string[];
  readonly resolution?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** What its status has: `host address`. */
  readonly has?: readonly string[];
}

function entry(name: string, written: Written = {}): ServiceEntryForm {
  const { hosts = [`${name}.example`], addresses = [], resolution = 'DNS', labels = {}, has = [] } = written;
  const form = ingestServiceEntry({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, namespace: 'apps', labels },
    spec: { hosts, addresses, resolution },
    status: { addresses: has.map((one) => ({ host: one.split(' ')[0], value: one.split(' ')[1] })) },
  });
  assert.ok(form);
  return form;
}

const V4_ONLY: VipRanges = { ipv4: parseCidr('240.240.0.0/29'), ipv6: undefined };

function given(
  entries: readonly ServiceEntryForm[],
  ranges = DEFAULT_VIP_RANGES,
  retired: readonly string[] = [],
): Record<string, string[]> {
  const ips = new Set<IpAddress>(retired.map(parseIp).filter((ip) => ip !== undefined));
  const { changes } = allocateVips(entries, ranges, ips);
  return Object.fromEntries(
    [...changes].map(([form, list]) => [form.name, list.map(({ host, value }) => `${host} ${value}`)]),
  );
}

test('CP-044: every host gets one address of each family, from the first after the network on', () => {
  assert.equal(given([entry('a'), entry('b', { hosts: ['x.example', 'y.example', 'x.example'] })]), {
    a: ['a.example 240.240.0.1', 'a.example 2001:2::1'],
    b: ['x.example 240.240.0.2', 'x.example 2001:2::2', 'y.example 240.240.0.3', 'y.example 2001:2::3'],
  });
});

test('CP-044: who gets none: NONE, own addresses, the opt-out label, wildcards without DYNAMIC_DNS', () => {
  const optOut = { 'networking.istio.io/enable-autoallocate-ip': 'False' };
  const none = [
    entry('a', { resolution: 'NONE' }),
    entry('b', { addresses: ['192.0.2.1'] }),
    entry('c', { labels: optOut }),
    entry('d', { hosts: ['*.example'], resolution: 'STATIC' }),
  ];
  assert.equal(given(none), {});
  assert.equal(Object.keys(given([entry('e', { hosts: ['*.example'], resolution: 'DYNAMIC_DNS' })])), ['e']);
});

test('CP-045: what was given stays when hosts are added, and goes with its host', () => {
  const has = ['a.example 240.240.0.5', 'a.example 2001:2::5'];
  assert.equal(given([entry('a', { has })]), {}, 'nothing to do');
  assert.equal(given([entry('a', { hosts: ['new.example', 'a.example'], has })]), {
    a: ['new.example 240.240.0.1', 'new.example 2001:2::1', 'a.example 240.240.0.5', 'a.example 2001:2::5'],
  });
  assert.equal(given([entry('a', { hosts: ['other.example'], has })])['a']?.length, 2);
});

test('an entry that may have none any more loses what it had', () => {
  assert.equal(given([entry('a', { resolution: 'NONE', has: ['a.example 240.240.0.5'] })]), { a: [] });
});

test('a conflict moves the younger entry, and never what somebody wrote', () => {
  const both = ['240.240.0.1', '2001:2::1'];
  const has = (host: string): string[] => both.map((ip) => `${host} ${ip}`);
  assert.equal(given([entry('old', { has: has('old.example') }), entry('young', { has: has('young.example') })]), {
    young: ['young.example 240.240.0.2', 'young.example 2001:2::2'],
  });
  assert.equal(given([entry('old', { has: has('old.example') }), entry('user', { addresses: both })]), {
    old: ['old.example 240.240.0.2', 'old.example 2001:2::2'],
  });
});

test('an address outside the ranges is replaced', () => {
  assert.equal(given([entry('a', { has: ['a.example 240.241.0.1'] })], V4_ONLY), { a: ['a.example 240.240.0.1'] });
});

test('freed addresses rest until a restart', () => {
  assert.equal(given([entry('a')], V4_ONLY, ['240.240.0.1']), { a: ['a.example 240.240.0.2'] });
});

test('a range that is used up is reported, and the others are not harmed', () => {
  const entries = Array.from({ length: 9 }, (_, i) => entry(`e${i}`));
  const { changes, exhausted } = allocateVips(entries, V4_ONLY);
  assert.is(changes.size, 7);
  assert.equal(
    exhausted.map((one) => one.name),
    ['e7', 'e8'],
  );
});

test('offsets carry over byte borders', () => {
  const entries = Array.from({ length: 300 }, (_, i) => entry(`e${i}`));
  const result = given(entries);
  assert.equal(result['e254'], ['e254.example 240.240.0.255', 'e254.example 2001:2::ff']);
  assert.equal(result['e255'], ['e255.example 240.240.1.0', 'e255.example 2001:2::100']);
});

test.run();
