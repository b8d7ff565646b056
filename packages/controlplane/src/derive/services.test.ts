import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeAddress, encodeService } from '@ambit/common/codec/address';
import type { LoadBalancing, Service } from '@ambit/common/model/service';
import { entry, meshOf, pod, service, serviceOf, workload } from './mesh.fixture.ts';

const WEB = 'apps/web.apps.svc.cluster.local';
const DISTRIBUTION = 'networking.istio.io/traffic-distribution';
const annotated = (word: string): string => `, annotations: {${DISTRIBUTION}: ${word}}`;
const NAMESPACE = `{apiVersion: v1, kind: Namespace, metadata: {name: apps, annotations: {${DISTRIBUTION}: PreferSameNode}}}`;

/** A service as it reaches a node agent. */
function received(derived: Service): Service {
  const decoded = decodeAddress(encodeService(derived));
  assert.ok(decoded.kind === 'service');
  return decoded.service;
}
const shown = ({ mode, preferences, healthPolicy }: LoadBalancing): string =>
  [mode, preferences.at(-1) ?? 'anywhere', healthPolicy].join(' ');

for (const [what, texts, key, expected] of [
  ['its own field', [service('web', 'trafficDistribution: PreferClose'), NAMESPACE], WEB, 'FAILOVER ZONE ONLY_HEALTHY'],
  [
    'its field before its annotation',
    [service('web', 'trafficDistribution: PreferSameNode', annotated('PreferClose'))],
    WEB,
    'FAILOVER NODE ONLY_HEALTHY',
  ],
  [
    'its annotation before the namespace',
    [service('web', '', annotated('preferclose')), NAMESPACE],
    WEB,
    'FAILOVER ZONE ONLY_HEALTHY',
  ],
  ['the namespace', [service('web', ''), NAMESPACE], WEB, 'FAILOVER NODE ONLY_HEALTHY'],
  [
    'an unknown word, which is no wish',
    [service('web', '', annotated('Nearby')), NAMESPACE],
    WEB,
    'STANDARD anywhere ONLY_HEALTHY',
  ],
  [
    'a local policy before any wish',
    [service('web', 'internalTrafficPolicy: Local, trafficDistribution: PreferClose')],
    WEB,
    'STRICT NODE ONLY_HEALTHY',
  ],
  [
    'a wish, and pods that are not ready',
    [service('web', 'trafficDistribution: PreferClose, publishNotReadyAddresses: true')],
    WEB,
    'FAILOVER ZONE ALLOW_ALL',
  ],
  [
    'pods that are not ready alone',
    [service('web', 'publishNotReadyAddresses: true')],
    WEB,
    'STANDARD anywhere ALLOW_ALL',
  ],
  [
    'an annotated ServiceEntry',
    [entry('out', 'hosts: [a.test], resolution: DNS', annotated('PreferClose'))],
    'apps/a.test',
    'FAILOVER ZONE ONLY_HEALTHY',
  ],
  [
    'a ServiceEntry of a namespace',
    [entry('out', 'hosts: [a.test], resolution: DNS'), NAMESPACE],
    'apps/a.test',
    'FAILOVER NODE ONLY_HEALTHY',
  ],
  [
    'a ServiceEntry without resolution',
    [entry('out', 'hosts: [a.test]', annotated('PreferClose')), NAMESPACE],
    'apps/a.test',
    'PASSTHROUGH anywhere ALLOW_ALL',
  ],
] as const)
  test(`CP-034..036: node agents balance by ${what}`, () => {
    assert.is(shown(received(serviceOf(meshOf(...texts), key)).loadBalancing), expected);
  });

test('CP-032, CP-037: a dual-stack Service has both addresses; a headless one has none and keeps its endpoints', () => {
  const dual = received(
    serviceOf(meshOf(service('web', 'clusterIPs: [10.96.0.5, "fd00:96::5"], ipFamilies: [IPv4, IPv6]')), WEB),
  );
  assert.equal([dual.vips.map(({ ip }) => ip), dual.ipFamilies], [['10.96.0.5', 'fd00:96::5'], 'DUAL']);
  const mesh = meshOf(
    service('web', 'clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: web, name: http}]'),
    pod('a', { container: ', ports: [{name: web, containerPort: 8081}]' }),
    pod('two', { status: 'podIPs: [{ip: 10.244.0.6}, {ip: "fd00::6"}], conditions: [{type: Ready, status: "True"}]' }),
  );
  assert.equal(received(serviceOf(mesh, WEB)).vips, []);
  assert.equal([...(workload(mesh, '/a').services.get(WEB) ?? [])], [[80, 8081]]);
  assert.equal(workload(mesh, '/two').addresses, ['10.244.0.6', 'fd00::6']);
});

test('a named target port is found in containers, then in sidecars of the init list, and only if TCP', () => {
  const named = service('web', 'selector: {app: web}, ports: [{port: 80, targetPort: web, name: http}]');
  const ports = (containers: string, init: string): unknown => {
    const mesh = meshOf(named, pod('a', { container: containers, spec: `, initContainers: [{name: i${init}}]` }));
    return [...(workload(mesh, '/a').services.get(WEB) ?? [])];
  };
  const web = ', ports: [{name: web, containerPort: 1}]';
  const always = ', restartPolicy: Always, ports: [{name: web, containerPort: 2}]';
  assert.equal(ports(web, always), [[80, 1]]);
  assert.equal(ports('', always), [[80, 2]]);
  assert.equal(ports('', ', ports: [{name: web, containerPort: 2}]'), [], 'an init container is gone by then');
  assert.equal(ports(', ports: [{name: web, containerPort: 1, protocol: UDP}]', ''), []);
});

test('a ServiceEntry with a selector but without resolution has no endpoints: the destination is kept', () => {
  const selecting = (resolution: string): number => {
    const spec = `hosts: [a.test], ports: [{number: 80, name: http}], workloadSelector: {labels: {app: web}}${resolution}`;
    return workload(meshOf(entry('out', spec), pod('a')), '/a').services.size;
  };
  assert.equal([selecting(', resolution: STATIC'), selecting('')], [1, 0]);
});

test.run();
