import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatHostPort, parseAuthority } from '@ambit/common/address/host-port';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { Workload } from '@ambit/common/model/workload';
import type { InboundDecision } from '../decision.ts';
import { gateway, ip, mesh, service, workload } from '../mesh.fixture.ts';
import { classifyInbound } from './inbound.ts';

function decide(store: MeshStore, local: Workload, authority: string, network = ''): InboundDecision {
  const parsed = parseAuthority(authority);
  if (parsed === undefined) throw new Error(`${authority} is no authority`);
  const localIp = local.addresses[0] ?? ip('127.0.0.1');
  const ownPorts = new Set([15_001, 15_006, 15_008]);
  return classifyInbound({ view: store, local, localIp, network, ownPorts, localhostTunnel: true }, parsed);
}

/** `destination [loopback] [proxy to]`, or `status reason`. */
function text(decision: InboundDecision): string {
  if (decision.kind === 'need') return 'need';
  if (decision.kind === 'reject') return `${decision.status} ${decision.reason}`;
  const { destination, loopback, proxyTo } = decision;
  const proxy = proxyTo === undefined ? '' : ` proxy ${formatHostPort(proxyTo.ip, proxyTo.port)}`;
  return `${formatHostPort(destination.ip, destination.port)}${loopback ? ' loopback' : ''}${proxy}`;
}

const POD = workload({ name: 'pod', ips: ['10.0.0.2'], services: { 'default/a.b': { 80: 8080 } } });
const SERVICE = service({ hostname: 'a.b', vips: ['10.1.0.1', 'fd01::1'], ports: { 80: 80, 81: 0 } });
const STORE = mesh({ workloads: [POD, workload({ name: 'other', ips: ['10.0.0.3'] })], services: [SERVICE] });

for (const [title, authority, expected] of [
  ['ZT-IN-01 the pod’s own address is accepted', '10.0.0.2:1234', '10.0.0.2:1234'],
  ['ZT-IN-02 a host name is resolved to the target port', 'a.b:80', '10.0.0.2:8080'],
  ['ZT-IN-05 another pod’s address is refused', '10.0.0.3:80', '400 ip mismatch: 10.0.0.2 != 10.0.0.3'],
  ['an unknown address is refused', '10.9.9.9:80', '400 ip mismatch: 10.0.0.2 != 10.9.9.9'],
  ['an unknown host name is refused', 'x.y:80', '503 no service or workload for hostname: x.y'],
  [
    'a port that cannot be resolved is refused',
    'a.b:81',
    '503 requested service a.b:81 found, but cannot resolve port',
  ],
  ['a port of our own is refused', '10.0.0.2:15006', '503 attempted recursive call to ourselves: 10.0.0.2:15006'],
] as const) {
  test(title, () => assert.is(text(decide(STORE, POD, authority)), expected));
}

/** A waypoint in sandwich mode: `tunnel` says how it wants its bytes. */
const sandwich = (tunnel?: Workload['applicationTunnel']): Workload =>
  workload({
    name: 'waypoint',
    ips: ['10.0.0.9'],
    services: { 'default/wp.b': { 15008: 15008 } },
    applicationTunnel: tunnel,
  });
const WP_SERVICE = service({ hostname: 'wp.b', ports: { 15008: 15008 } });
const WP = gateway('default/wp.b:15008');

test('ZT-IN-03 a waypoint takes what names it as waypoint, by pod address or VIP', () => {
  const local = sandwich();
  const attached = workload({ name: 'pod', ips: ['10.0.0.2'], waypoint: WP });
  const store = mesh({ workloads: [local, attached], services: [WP_SERVICE, { ...SERVICE, waypoint: WP }] });
  assert.is(text(decide(store, local, '10.0.0.2:80')), '10.0.0.9:80');
  assert.is(text(decide(store, local, '10.1.0.1:80')), '10.0.0.9:80');
});

for (const authority of ['10.0.0.2:80', '10.1.0.1:80']) {
  test(`ZT-IN-04 a waypoint with a PROXY tunnel is dialled on its port and told ${authority}`, () => {
    const local = sandwich({ protocol: 'PROXY', port: 15_088 });
    const store = mesh({ workloads: [local, POD], services: [WP_SERVICE, SERVICE] });
    assert.is(text(decide(store, local, authority)), `10.0.0.9:15088 loopback proxy ${authority}`);
  });
}

test('a tunnel without PROXY only changes the port', () => {
  const local = sandwich({ protocol: 'NONE', port: 15_088 });
  assert.is(text(decide(mesh({ workloads: [local], services: [WP_SERVICE] }), local, '10.0.0.9:80')), '10.0.0.9:15088');
});

test('a host name under PROXY is told as a VIP, own network and IPv4 first', () => {
  const local = sandwich({ protocol: 'PROXY', port: 15_088 });
  const store = mesh({ workloads: [local, POD], services: [WP_SERVICE, SERVICE] });
  assert.is(text(decide(store, local, 'a.b:80')), '10.0.0.9:15088 loopback proxy 10.1.0.1:80');
  const vipless = mesh({ workloads: [local], services: [service({ hostname: 'a.b', ports: { 80: 80 } })] });
  assert.is(text(decide(vipless, local, 'a.b:80')), '503 requested service a.b found, but has no IP addresses');
});

test('ZT-IN-06 a waypoint refuses a pod that is not attached to it', () => {
  const local = sandwich();
  const store = mesh({ workloads: [local, POD], services: [WP_SERVICE] });
  assert.is(text(decide(store, local, '10.0.0.2:80')), '400 ip mismatch: 10.0.0.9 != 10.0.0.2');
});

test('ZT-IN-07 attached as workload only does not open the service’s address, nor the reverse', () => {
  const local = sandwich();
  const byWorkload = workload({
    name: 'pod',
    ips: ['10.0.0.2'],
    waypoint: WP,
    services: { 'default/a.b': { 80: 80 } },
  });
  const one = mesh({ workloads: [local, byWorkload], services: [WP_SERVICE, SERVICE] });
  assert.is(text(decide(one, local, '10.1.0.1:80')), '400 ip mismatch: 10.0.0.9 != 10.1.0.1');
  const two = mesh({ workloads: [local, POD], services: [WP_SERVICE, { ...SERVICE, waypoint: WP }] });
  assert.is(text(decide(two, local, '10.0.0.2:80')), '400 ip mismatch: 10.0.0.9 != 10.0.0.2');
});

test.run();
