import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RECORD, recordAddress, recordTarget } from '@ambit/common/dns/message';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { Service } from '@ambit/common/model/service';
import { mesh, service, workload } from '../mesh.fixture.ts';
import { answerQuestion, type AnswerContext } from './answer.ts';
import { kubernetesForms, searchDomains, wildcards } from './candidates.ts';

const CLIENT = workload({ name: 'client', namespace: 'ns1', ips: ['10.0.0.1'], network: 'net' });
const k8s = (
  part: Partial<Pick<Service, 'namespace' | 'visibility' | 'ipFamilies'>> & { hostname: string },
  vips: readonly string[],
): Service => service({ canonical: true, ...part, vips });
const conflicting = (namespace: string, vip: string, canonical = false): Service =>
  service({ hostname: 'x.example', namespace, vips: [`net/${vip}`], canonical });

const SERVICES = [
  service({ hostname: 'www.google.com', namespace: 'ns1', vips: ['net/1.1.1.1'] }),
  service({ hostname: 'dual.example', vips: ['net/2.2.2.2', 'net/fd00::2'] }),
  service({ hostname: 'v4.example', vips: ['net/2.2.2.2', 'net/fd00::2'], ipFamilies: 'IPV4' }),
  k8s({ hostname: 'productpage.ns1.svc.cluster.local', namespace: 'ns1' }, ['net/9.9.9.9']),
  k8s({ hostname: 'example.ns2.svc.cluster.local', namespace: 'ns2' }, ['net/10.10.10.10']),
  k8s({ hostname: 'hidden.ns2.svc.cluster.local', namespace: 'ns2', visibility: 'NAMESPACE' }, ['net/10.10.10.11']),
  k8s({ hostname: 'details.ns2.svc.cluster.remote', namespace: 'ns2' }, ['net/11.11.11.11', 'net/12.12.12.12']),
  service({ hostname: '*.wildcard', vips: ['net/3.3.3.3'] }),
  service({ hostname: '*.foo.wildcard', vips: ['net/4.4.4.4'] }),
  service({ hostname: '*.google.com', vips: ['net/5.5.5.5'] }),
  service({ hostname: 'remote.example', vips: ['elsewhere/6.6.6.6'] }),
  service({ hostname: 'both.example', vips: ['elsewhere/6.6.6.6', 'net/6.6.6.7'] }),
  k8s({ hostname: 'headless.ns1.svc.cluster.local', namespace: 'ns1' }, []),
  k8s({ hostname: 'headless6.ns1.svc.cluster.local', namespace: 'ns1', ipFamilies: 'IPV6' }, []),
  service({ hostname: 'headless.example', vips: [] }),
];
const MEMBERS = {
  services: {
    'ns1/headless.ns1.svc.cluster.local': { 80: 80 },
    'ns1/headless6.ns1.svc.cluster.local': { 80: 80 },
    'default/headless.example': { 80: 80 },
  },
};
const STORE = mesh({
  workloads: [
    CLIENT,
    workload({ name: 'one', ips: ['30.30.30.30', 'fd00::30'], ...MEMBERS }),
    workload({ name: 'two', ips: ['31.31.31.31'], ...MEMBERS }),
  ],
  services: SERVICES,
});

function ask(
  name: string,
  type: number = RECORD.A,
  options: Partial<AnswerContext> & { store?: MeshStore } = {},
): string {
  const { store = STORE, ...rest } = options;
  const context: AnswerContext = {
    view: store,
    client: CLIENT,
    clusterDomain: 'cluster.local',
    searchDomains: undefined,
    preferredNamespace: undefined,
    ipv6: true,
    random: () => 0.999,
    ...rest,
  };
  const answer = answerQuestion(context, { name, type, class: 1 });
  if (answer.kind === 'forward') return 'forward';
  const records = answer.records.map((one) => {
    assert.is(one.ttl, 30);
    const shown = recordTarget(one) ?? recordAddress(one) ?? '?';
    return one.name === name.toLowerCase() ? shown : `${one.name}→${shown}`;
  });
  return records.length === 0 ? answer.result : records.join(' ');
}

for (const [name, expected] of [
  ['a', ['a.ns1.svc.cluster.local']],
  ['a.b', ['a.b.svc.cluster.local', 'a.b.ns1.svc.cluster.local']],
  ['a.b.svc', ['a.b.svc.cluster.local', 'a.b.svc.svc.cluster.local']],
  ['a.b.c', ['a.b.c.svc.cluster.local']],
  ['a.b.c.svc', ['a.b.c.svc.cluster.local']],
  ['a.b.c.d', []],
  ['a.b.c.d.svc', []],
] as const) {
  test(`ZT-DNS-01 forms of ${name}`, () =>
    assert.equal(kubernetesForms(name, { namespace: 'ns1', clusterDomain: 'cluster.local' }), expected));
}

test('ZT-DNS-02 wildcards replace the first labels one after another', () => {
  assert.equal(wildcards('a.b.c'), ['*.b.c', '*.c']);
  assert.equal(wildcards('a'), []);
});

for (const [id, name, expected] of [
  ['ZT-DNS-04 a host outside Kubernetes with a VIP is answered', 'www.google.com', '1.1.1.1'],
  ['ZT-DNS-04 whatever its case', 'WWW.Google.com', '1.1.1.1'],
  [
    'ZT-DNS-05 a search domain is taken off',
    'www.google.com.ns1.svc.cluster.local',
    'www.google.com www.google.com→1.1.1.1',
  ],
  ['ZT-DNS-06 an unknown host is forwarded', 'unknown.example', 'forward'],
  ['ZT-DNS-07 fully qualified', 'productpage.ns1.svc.cluster.local', '9.9.9.9'],
  ['ZT-DNS-07 name.namespace.svc', 'productpage.ns1.svc', '9.9.9.9'],
  ['ZT-DNS-07 name.namespace', 'productpage.ns1', '9.9.9.9'],
  ['ZT-DNS-07 short', 'productpage', '9.9.9.9'],
  [
    'ZT-DNS-08 name.namespace with a search domain',
    'productpage.ns1.ns1.svc.cluster.local',
    'productpage.ns1 productpage.ns1→9.9.9.9',
  ],
  ['ZT-DNS-10 another namespace: qualified', 'example.ns2.svc.cluster.local', '10.10.10.10'],
  ['ZT-DNS-10 another namespace: name.namespace', 'example.ns2', '10.10.10.10'],
  ['ZT-DNS-10 another namespace: short', 'example', 'forward'],
  ['ZT-DNS-11 hidden from a foreign client', 'hidden.ns2.svc.cluster.local', 'forward'],
  ['ZT-DNS-12 another domain: qualified, all VIPs', 'details.ns2.svc.cluster.remote', '11.11.11.11 12.12.12.12'],
  ['ZT-DNS-12 another domain: name.namespace', 'details.ns2', 'forward'],
  ['ZT-DNS-13 a dual host gives the asked family', 'dual.example', '2.2.2.2'],
  ['ZT-DNS-14 wildcard asked itself', '*.wildcard', '3.3.3.3'],
  ['ZT-DNS-14 wildcard', 'a.wildcard', '3.3.3.3'],
  ['ZT-DNS-14 more specific wildcard', 'a.foo.wildcard', '4.4.4.4'],
  ['ZT-DNS-14 several labels', 'a.b.wildcard', '3.3.3.3'],
  ['ZT-DNS-15 wildcard and search domain: no CNAME', 'foo.wildcard.ns1.svc.cluster.local', '3.3.3.3'],
  ['ZT-DNS-16 a VIP of another network', 'remote.example', 'no records'],
  ['ZT-DNS-16 of both networks the own', 'both.example', '6.6.6.7'],
  ['ZT-DNS-17 headless', 'headless.ns1.svc.cluster.local', '30.30.30.30 31.31.31.31'],
  ['ZT-DNS-18 headless of IPv6 only has no A', 'headless6', 'service does not support this record type'],
  ['ZT-DNS-19 headless outside the cluster’s domain', 'headless.example', 'forward'],
  ['ZT-DNS-20 one pod of a headless service', 'one.headless.ns1.svc.cluster.local', 'forward'],
] as const) {
  test(`${id}: ${name}`, () => assert.is(ask(name), expected));
}

test('ZT-DNS-03 other types are forwarded', () => {
  for (const type of [RECORD.NS, RECORD.SRV, RECORD.TXT, 65]) assert.is(ask('www.google.com', type), 'forward');
});

test('ZT-DNS-09 AAAA of a host with IPv4 only is empty', () => {
  assert.is(ask('www.google.com', RECORD.AAAA), 'no records');
  assert.is(ask('v4.example', RECORD.AAAA), 'service does not support this record type');
});

test('ZT-DNS-11 a service of its namespace only is answered there', () => {
  const client = workload({ name: 'other', namespace: 'ns2', network: 'net' });
  assert.is(ask('hidden', RECORD.A, { client }), '10.10.10.11');
});

test('ZT-DNS-13 ZT-DNS-17 AAAA', () => {
  assert.is(ask('dual.example', RECORD.AAAA), 'fd00::2');
  assert.is(ask('headless', RECORD.AAAA), 'fd00::30');
  assert.is(ask('dual.example', RECORD.AAAA, { ipv6: false }), 'service does not support this record type');
});

test('ZT-DNS-21 own namespace, then canonical, then the preferred namespace', () => {
  const preferred = { preferredNamespace: 'pref' };
  const pick = (...services: Service[]): string =>
    ask('x.example', RECORD.A, { ...preferred, store: mesh({ workloads: [CLIENT], services }) });
  assert.is(pick(conflicting('zzz', '1.0.0.1'), conflicting('pref', '1.0.0.2')), '1.0.0.2');
  assert.is(
    pick(conflicting('zzz', '1.0.0.1'), conflicting('pref', '1.0.0.2'), conflicting('ns1', '1.0.0.3')),
    '1.0.0.3',
  );
  assert.is(
    pick(conflicting('zzz', '1.0.0.1'), conflicting('pref', '1.0.0.2'), conflicting('can', '1.0.0.4', true)),
    '1.0.0.4',
  );
  assert.is(pick(conflicting('ns1', '1.0.0.3'), conflicting('can', '1.0.0.4', true)), '1.0.0.3');
});

test('ZT-DNS-25 search domains come from the pod’s namespace', () => {
  assert.equal(searchDomains('ns1', 'cluster.local'), ['ns1.svc.cluster.local', 'svc.cluster.local', 'cluster.local']);
  const client = workload({ name: 'c', namespace: 'ns2', network: 'net' });
  assert.is(ask('www.google.com.ns2.svc.cluster.local', RECORD.A, { client }), 'www.google.com www.google.com→1.1.1.1');
});

test('addresses come in random order', () => {
  const orders = new Set(
    [0, 0.999].map((point) => ask('details.ns2.svc.cluster.remote', RECORD.A, { random: () => point })),
  );
  assert.is(orders.size, 2);
});

test.run();
