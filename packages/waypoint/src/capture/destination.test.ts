import type { MeshView } from '@ambit/common/mesh/view';
import type { Listener } from '@ambit/common/model/listener';
import type { Service } from '@ambit/common/model/service';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import type { Workload } from '@ambit/common/model/workload';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ip, listenerOf, meshOf, workloadAt } from '../waypoint.fixture.ts';
import { findDestination, type WaypointSelf } from './destination.ts';

const SELF: WaypointSelf = {
  name: 'waypoint',
  namespace: 'egress',
  network: '',
  addresses: [ip('10.0.0.9'), ip('fd00::9')],
};
const LISTENER: Listener = {
  ...listenerOf('HTTP'),
  addresses: [
    { network: '', ip: ip('240.240.0.2') },
    { network: '', ip: ip('2001:2::2') },
  ],
};
const byHostname = (hostname: string, namespace = 'egress'): GatewayAddress => ({
  destination: { kind: 'hostname', namespace, hostname },
  port: 15_008,
});
const byAddress = (address: string): GatewayAddress => ({
  destination: { kind: 'address', address: { network: '', ip: ip(address) } },
  port: 15_008,
});

const WORKLOADS: readonly Workload[] = [
  workloadAt('10.244.0.1', byHostname('waypoint.egress.svc.cluster.local')),
  workloadAt('10.244.0.2', byHostname('other.egress.svc.cluster.local')),
  workloadAt('10.244.0.3', byHostname('waypoint.elsewhere.svc.cluster.local', 'elsewhere')),
  workloadAt('10.244.0.4', undefined),
  workloadAt('10.244.0.5', byAddress('10.0.0.9')),
  workloadAt('10.244.0.6', byAddress('10.96.0.50')),
  workloadAt('10.0.0.9', undefined),
];
const OWN_SERVICE: Pick<Service, 'namespace' | 'hostname'> = {
  namespace: 'egress',
  hostname: 'waypoint.egress.svc.cluster.local',
};
const MESH: MeshView = meshOf(WORKLOADS, { '10.96.0.50': OWN_SERVICE });

const find = (authority: string): ReturnType<typeof findDestination> =>
  findDestination(
    authority,
    SELF,
    { byAddress: (_, one) => (LISTENER.addresses.some(({ ip }) => ip === one) ? LISTENER : undefined) },
    MESH,
  );

const SERVED: readonly (readonly [authority: string, kind: string])[] = [
  ['240.240.0.2:80', 'service'],
  ['[2001:2::2]:80', 'service'],
  ['[2001:2:0::0:2]:80', 'service'],
  ['10.244.0.1:1', 'workload'],
  ['10.244.0.5:65535', 'workload'],
  ['10.244.0.6:8080', 'workload'],
];
const REFUSED: readonly (readonly [authority: string, status: number, detail: RegExp])[] = [
  ['240.240.0.2:81', 404, /httpbin\.org at 240\.240\.0\.2:81 has no such port; it declares: 80/],
  ['240.240.0.3:80', 404, /no address of a service bound to this waypoint/],
  ['203.0.113.1:443', 404, /no address of a service bound/],
  ['10.244.0.2:80', 404, /not bound to this waypoint/],
  ['10.244.0.3:80', 404, /not bound to this waypoint/],
  ['10.244.0.4:80', 404, /not bound to this waypoint/],
  ['10.0.0.9:15008', 404, /this waypoint itself/],
  ['[fd00::9]:15000', 404, /this waypoint itself/],
  ['127.0.0.1:15000', 404, /no address of a service bound/],
  ['httpbin.org:80', 404, /is a host name/],
  ['240.240.0.2', 400, /not ip:port/],
  ['240.240.0.2:0', 400, /not ip:port/],
  ['', 400, /not ip:port/],
];

for (const [authority, kind] of SERVED) {
  test(`serves ${authority}`, () => assert.is(find(authority).kind, kind));
}

for (const [authority, status, detail] of REFUSED) {
  test(`refuses ${authority || 'an empty authority'}`, () => {
    const destination = find(authority);
    assert.is(destination.kind, 'refused');
    assert.is(destination.status, status);
    assert.match(destination.detail, detail);
  });
}

test.run();
