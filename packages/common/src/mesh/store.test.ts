import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Cidr, parseCidr } from '../address/cidr.ts';
import { type IpAddress, parseIp } from '../address/ip.ts';
import { type AddressResource, decodeAddress } from '../codec/address.ts';
import type { Policy } from '../model/policy.ts';
import { STANDARD_LOAD_BALANCING, type Service } from '../model/service.ts';
import type { Workload } from '../model/workload.ts';
import { type WireInput, message } from '../proto/load.ts';
import { type MeshChange, MeshStore } from './store.ts';

const ip = (text: string): IpAddress => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

const ADDRESS = message<{ readonly workload: { readonly uid: string } }>('istio.workload.Address');
const template = (uid: string): Workload => {
  const value: WireInput<{ readonly workload: { readonly uid: string } }> = { workload: { uid } };
  const address = decodeAddress(ADDRESS.encode(value));
  if (address.kind !== 'workload') throw new Error(uid);
  return address.workload;
};

const KEY = 'ns/svc.ns.svc.cluster.local';
const HOST = 'svc.ns.svc.cluster.local';
const member = new Map([[KEY, new Map([[80, 8080]])]]);

const workload = (uid: string, changes: Partial<Workload> = {}): Workload => ({
  ...template(uid),
  name: uid,
  namespace: 'ns',
  services: member,
  ...changes,
});

const service = (changes: Partial<Service> = {}): Service => ({
  name: 'svc',
  namespace: 'ns',
  hostname: HOST,
  vips: [],
  cidrVips: [],
  ports: [{ servicePort: 80, targetPort: 8080, appProtocol: 'UNKNOWN' }],
  subjectAltNames: [],
  waypoint: undefined,
  weightedWaypoints: [],
  loadBalancing: STANDARD_LOAD_BALANCING,
  ipFamilies: 'AUTOMATIC',
  canonical: false,
  visibility: 'PUBLIC',
  ...changes,
});
const vips = (...ips: string[]): Service['vips'] => ips.map((one) => ({ network: '', ip: ip(one) }));
const ranges = (...cidrs: string[]): Service['cidrVips'] => cidrs.map((one) => ({ network: '', cidr: cidr(one) }));
const ALLOW_ALL = { ...STANDARD_LOAD_BALANCING, healthPolicy: 'ALLOW_ALL' } as const;

const up = (...all: (Workload | Service)[]): AddressResource[] =>
  all.map((one) => ('uid' in one ? { kind: 'workload', workload: one } : { kind: 'service', service: one }));

const storeOf = (...all: (Workload | Service)[]): MeshStore => {
  const store = new MeshStore();
  store.applyAddresses(up(...all), []);
  return store;
};

const endpoints = (store: MeshStore, namespace = 'ns', hostname = HOST): string[] => {
  const found = store.service(namespace, hostname);
  return found === undefined
    ? []
    : store
        .endpoints(found)
        .map((one) => one.workload.uid)
        .sort();
};

test('ZT-XDS-08 one push with many endpoints is one change and ends complete', () => {
  const store = new MeshStore();
  const changes: MeshChange[] = [];
  store.onChange((change) => changes.push(change));
  store.applyAddresses(up(service(), ...Array.from({ length: 1000 }, (_, i) => workload(`w${i}`))), []);
  assert.is(changes.length, 1);
  assert.is(endpoints(store).length, 1000);
  assert.is(store.version, 1);
});

test('ZT-XDS-09 service first or workloads first: the same endpoints', () => {
  assert.equal(endpoints(storeOf(service(), workload('a'), workload('b'))), ['a', 'b']);
  const store = storeOf(workload('a'), workload('b'));
  assert.equal(
    [...store.staged()].map(([key, staged]) => [key, staged.length]),
    [[KEY, 2]],
  );
  store.applyAddresses(up(service()), []);
  assert.equal(endpoints(store), ['a', 'b']);
  assert.equal([...store.staged()], []);
});

test('ZT-XDS-10 unhealthy endpoints in a push are filtered', () => {
  assert.equal(endpoints(storeOf(service(), workload('a'), workload('b', { healthy: false }))), ['a']);
});

test('ZT-XDS-12 removing a workload drops its endpoint', () => {
  const store = storeOf(service(), workload('a'), workload('b'));
  store.applyAddresses([], ['a']);
  assert.equal(endpoints(store), ['b']);
  assert.is(store.workload(workload('a').uid), undefined);
});

test('ZT-ST-03 by address: the workload, the service by VIP, nothing in other networks', () => {
  const store = storeOf(service({ vips: vips('10.0.0.10') }), workload('a', { addresses: [ip('10.1.0.1')] }));
  assert.is(store.workloadByAddress('', ip('10.1.0.1'))?.uid, 'a');
  assert.is(store.workloadByAddress('remote', ip('10.1.0.1')), undefined);
  assert.is(store.serviceByAddress('', ip('10.0.0.10'), 'x')?.hostname, HOST);
  assert.is(store.serviceByAddress('remote', ip('10.0.0.10'), 'x'), undefined);
});

test('ZT-ST-15 services that share a VIP: the client’s namespace, then canonical, then first seen', () => {
  const shared = { vips: vips('10.0.0.1') };
  const store = storeOf(
    service({ ...shared, namespace: 'a' }),
    service({ ...shared, namespace: 'b', canonical: true }),
    service({ ...shared, namespace: 'c' }),
  );
  const owner = (namespace: string): string | undefined =>
    store.serviceByAddress('', ip('10.0.0.1'), namespace)?.namespace;
  assert.is(owner('c'), 'c');
  assert.is(owner('a'), 'a');
  assert.is(owner('x'), 'b');
  store.applyAddresses([], [`b/${HOST}`]);
  assert.is(owner('x'), 'a');
});

test('a host name prefers the preferred namespace only behind canonical services', () => {
  const store = storeOf(service({ namespace: 'a' }), service({ namespace: 'b' }));
  assert.is(store.serviceByHostname(HOST, 'x', 'b')?.namespace, 'b');
  assert.is(store.serviceByHostname(HOST, 'x')?.namespace, 'a');
  store.applyAddresses(up(service({ namespace: 'c', canonical: true })), []);
  assert.is(store.serviceByHostname(HOST, 'x', 'b')?.namespace, 'c');
  assert.is(store.serviceByHostname(HOST, 'b', 'a')?.namespace, 'b');
});

test('ZT-ST-16 NAMESPACE visibility hides by VIP and by host name; without a client namespace nothing is hidden', () => {
  const store = storeOf(service({ vips: vips('10.0.0.1'), visibility: 'NAMESPACE' }));
  for (const find of [
    (from: string | undefined) => store.serviceByAddress('', ip('10.0.0.1'), from),
    (from: string | undefined) => store.serviceByHostname(HOST, from),
  ]) {
    assert.is(find('other'), undefined);
    assert.is(find('ns')?.namespace, 'ns');
    assert.is(find(undefined)?.namespace, 'ns');
  }
});

test('ZT-ST-17 an invisible exact VIP falls through to a range', () => {
  const store = storeOf(
    service({ vips: vips('10.0.0.1'), visibility: 'NAMESPACE' }),
    service({ namespace: 'wide', hostname: 'wide', cidrVips: ranges('10.0.0.0/8') }),
  );
  assert.is(store.serviceByAddress('', ip('10.0.0.1'), 'other')?.hostname, 'wide');
  assert.is(store.serviceByAddress('', ip('10.0.0.1'), 'ns')?.hostname, HOST);
});

test('ZT-ST-18, 19, 20, 21, 22 ranges: family, longest prefix, exact first, network, own namespace first', () => {
  const range = (name: string, cidrs: string, changes: Partial<Service> = {}): Service =>
    service({ hostname: name, namespace: name, cidrVips: ranges(cidrs), ...changes });
  const store = storeOf(
    range('v4-wide', '10.0.0.0/8'),
    range('v4-narrow', '10.1.0.0/16'),
    range('v6-wide', 'fd00::/16'),
    range('v6-narrow', 'fd00:1::/32'),
    service({ hostname: 'v4-exact', namespace: 'v4-exact', vips: vips('10.1.2.3') }),
    service({ hostname: 'v6-exact', namespace: 'v6-exact', vips: vips('fd00:1::3') }),
    range('all-v6', '::/0'),
    service({ hostname: 'remote', namespace: 'remote', cidrVips: [{ network: 'far', cidr: cidr('172.16.0.0/12') }] }),
  );
  const owner = (text: string, namespace = 'x', network = ''): string | undefined =>
    store.serviceByAddress(network, ip(text), namespace)?.hostname;
  assert.is(owner('10.9.9.9'), 'v4-wide');
  assert.is(owner('10.1.9.9'), 'v4-narrow');
  assert.is(owner('10.1.2.3'), 'v4-exact');
  assert.is(owner('10.1.9.9', 'v4-wide'), 'v4-wide');
  assert.is(owner('fd00:2::1'), 'v6-wide');
  assert.is(owner('fd00:1::1'), 'v6-narrow');
  assert.is(owner('fd00:1::3'), 'v6-exact');
  assert.is(owner('192.168.0.1'), undefined, 'an IPv6 range of everything holds no IPv4 address');
  assert.is(owner('172.16.0.1'), undefined);
  assert.is(owner('172.16.0.1', 'x', 'far'), 'remote');
  store.applyAddresses([], ['v4-narrow/v4-narrow']);
  assert.is(owner('10.1.9.9'), 'v4-wide');
});

test('of two ranges alike the canonical one wins', () => {
  const store = storeOf(
    service({ namespace: 'a', cidrVips: ranges('10.0.0.0/8') }),
    service({ namespace: 'b', cidrVips: ranges('10.0.0.0/8'), canonical: true }),
  );
  assert.is(store.serviceByAddress('', ip('10.1.1.1'), 'x')?.namespace, 'b');
});

test('ZT-ST-23 staged endpoints are health-filtered when the service comes; staged removals are honoured', () => {
  const store = storeOf(workload('a'), workload('b', { healthy: false }), workload('c'));
  store.applyAddresses([], ['c']);
  store.applyAddresses(up(service()), []);
  assert.equal(endpoints(store), ['a']);
});

test('ZT-ST-24, 27 a workload that turns unhealthy or leaves the service is evicted; removals come after upserts', () => {
  const store = storeOf(service(), workload('a'), workload('b'), workload('c'));
  store.applyAddresses(up(workload('a', { healthy: false }), workload('b', { services: new Map() })), []);
  assert.equal(endpoints(store), ['c']);
  store.applyAddresses(up(workload('c')), ['c']);
  assert.equal(endpoints(store), []);
});

test('ZT-ST-26 a service update keeps endpoints and moves VIPs; host and VIP views agree', () => {
  const store = storeOf(service({ vips: vips('10.0.0.1', '10.0.0.2') }), workload('a'));
  store.applyAddresses(up(service({ vips: vips('10.0.0.2', '10.0.0.3'), canonical: true })), []);
  assert.equal(endpoints(store), ['a']);
  assert.is(store.serviceByAddress('', ip('10.0.0.1'), 'x'), undefined);
  const byHost = store.serviceByHostname(HOST, 'x');
  assert.ok(byHost?.canonical);
  assert.is(store.serviceByAddress('', ip('10.0.0.2'), 'x'), byHost);
  assert.is(store.serviceByAddress('', ip('10.0.0.3'), 'x'), byHost);
  assert.is([...store.services()].length, 1);
});

test('ZT-ST-28 one address, two workloads: a pod beats others, HBONE beats TCP, removal gives it back', () => {
  const addresses = [ip('10.1.0.1')];
  const entry = workload('K/networking.istio.io/WorkloadEntry/ns/e', { addresses, protocol: 'HBONE' });
  const tcp = workload('K//Pod/ns/tcp', { addresses });
  const hbone = workload('K//Pod/ns/hbone', { addresses, protocol: 'HBONE' });
  for (const order of [
    [entry, tcp, hbone],
    [hbone, tcp, entry],
  ]) {
    const store = storeOf(...order);
    const owner = (): string | undefined => store.workloadByAddress('', ip('10.1.0.1'))?.uid;
    assert.is(owner(), hbone.uid);
    store.applyAddresses([], [hbone.uid]);
    assert.is(owner(), tcp.uid);
    store.applyAddresses([], [tcp.uid]);
    assert.is(owner(), entry.uid);
    store.applyAddresses([], [entry.uid]);
    assert.is(owner(), undefined);
  }
});

test('an address that a new pod got before the old one was removed is the new pod’s', () => {
  const addresses = [ip('10.1.0.1')];
  const store = storeOf(workload('K//Pod/ns/old', { addresses }), workload('K//Pod/ns/new', { addresses }));
  assert.is(store.workloadByAddress('', ip('10.1.0.1'))?.uid, 'K//Pod/ns/new');
});

test('host-network workloads are never found by their node’s address', () => {
  const store = storeOf(workload('a', { addresses: [ip('10.1.0.1')], hostNetwork: true }), service());
  assert.is(store.workloadByAddress('', ip('10.1.0.1')), undefined);
  assert.equal(endpoints(store), ['a']);
});

test('ZT-ST-29 ALLOW_ALL keeps unhealthy endpoints, also when it comes later', () => {
  const store = storeOf(service({ loadBalancing: ALLOW_ALL }), workload('a', { healthy: false }));
  assert.equal(endpoints(store), ['a']);
  store.applyAddresses(up(service()), []);
  assert.equal(endpoints(store), []);
  store.applyAddresses(up(service({ loadBalancing: ALLOW_ALL })), []);
  assert.equal(endpoints(store), ['a']);
});

test('ZT-ST-30 removing a service cleans what was staged for it', () => {
  const store = storeOf(workload('a'));
  store.applyAddresses([], [KEY]);
  assert.equal([...store.staged()], []);
  store.applyAddresses(up(service()), []);
  assert.equal(endpoints(store), []);
});

test('a removal that names nothing known changes nothing, nor does an empty batch', () => {
  const store = storeOf(service(), workload('a'));
  const { version } = store;
  store.applyAddresses([], ['nobody', `${KEY}/more`, 'ns/other']);
  store.applyPolicies([], ['ns/nothing']);
  assert.is(store.version, version);
});

const policy = (name: string, changes: Partial<Policy> = {}): Policy => ({
  name,
  namespace: 'ns',
  scope: 'NAMESPACE',
  action: 'ALLOW',
  dryRun: false,
  rules: [],
  listeners: [],
  ...changes,
});
const names = (policies: readonly Policy[]): string[] => policies.map((one) => one.name);

test('policies of a workload: its namespace’s, global ones, those it names and that are known', () => {
  const store = new MeshStore();
  store.applyPolicies(
    [
      policy('global', { scope: 'GLOBAL', namespace: 'istio-system' }),
      policy('here'),
      policy('elsewhere', { namespace: 'other' }),
      policy('selected', { scope: 'WORKLOAD_SELECTOR' }),
      policy('not-selected', { scope: 'WORKLOAD_SELECTOR' }),
    ],
    [],
  );
  const one = workload('a', { authorizationPolicies: ['ns/selected', 'ns/unknown'] });
  assert.equal(names(store.policiesFor(one)), ['here', 'global', 'selected']);
  store.applyPolicies([], ['ns/here', 'istio-system/global', 'ns/selected']);
  assert.equal(names(store.policiesFor(one)), []);
});

test('ZT-RB-16 a policy that turns from NAMESPACE to WORKLOAD_SELECTOR no longer applies to the namespace', () => {
  const store = new MeshStore();
  store.applyPolicies([policy('p')], []);
  assert.equal(names(store.policiesFor(workload('a'))), ['p']);
  store.applyPolicies([policy('p', { scope: 'WORKLOAD_SELECTOR' })], []);
  assert.equal(names(store.policiesFor(workload('a'))), []);
  assert.equal(names(store.policiesFor(workload('a', { authorizationPolicies: ['ns/p'] }))), ['p']);
});

test.run();
