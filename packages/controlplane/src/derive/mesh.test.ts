import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeAuthorization } from '@ambit/common/codec/authorization';
import type { Service } from '@ambit/common/model/service';
import { ingestPod } from '../ingest/pod.ts';
import type { Mesh } from './mesh.ts';
import {
  meshOf,
  namespace,
  pod,
  service,
  WEB,
  entry,
  gateway,
  policy,
  peers,
  workload,
  serviceOf,
  conditions,
  boundTo,
  USE,
} from './mesh.fixture.ts';

test('CP-026: pods without address, succeeded or failed are no workloads; pending ones with an address are', () => {
  const rows: [string, boolean][] = [
    ['podIP: 10.0.0.1, phase: Pending', true],
    ['phase: Running', false],
    ['podIP: 10.0.0.1, phase: Succeeded', false],
    ['podIP: 10.0.0.1, phase: Failed', false],
    ['podIPs: [{ip: 10.0.0.1}, {ip: nonsense}]', false],
  ];
  for (const [status, expected] of rows)
    assert.is(meshOf(pod('p', { status })).workloads.size, expected ? 1 : 0, status);
});

test('CP-025, 027, 028: readiness, deletion, capture and host network of a pod', () => {
  const plain = workload(meshOf(pod('p')), '/p');
  assert.is(plain.uid, 'Kubernetes//Pod/apps/p');
  assert.equal(
    [plain.healthy, plain.protocol, plain.hostNetwork, plain.serviceAccount],
    [true, 'TCP', false, 'default'],
  );
  assert.is(workload(meshOf(pod('p', { status: 'podIP: 10.0.0.1' })), '/p').healthy, false);
  const captured = pod('p', { meta: ', annotations: {ambient.istio.io/redirection: enabled}' });
  assert.is(workload(meshOf(captured), '/p').protocol, 'HBONE');
  const native = workload(meshOf(pod('p', { labels: 'networking.istio.io/tunnel: http' })), '/p');
  assert.equal([native.protocol, native.nativeTunnel], ['HBONE', true]);
  assert.is(workload(meshOf(pod('p', { spec: ', hostNetwork: true' })), '/p').hostNetwork, true);
});

test('names of a workload come from labels, then from its controller', () => {
  const named = (
    owner: string,
    name: string,
    labels: Record<string, string>,
    generateName: string | undefined = 'x-',
  ): unknown => {
    const ownerReferences = [{ apiVersion: 'v1', kind: owner, name, uid: 'u', controller: true }];
    const metadata = {
      name: 'p',
      namespace: 'apps',
      labels,
      ownerReferences,
      ...(generateName !== '' && { generateName }),
    };
    return ingestPod({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { containers: [{ name: 'c' }] },
      status: { podIP: '10.0.0.1' },
    })?.workloadName;
  };
  assert.is(named('ReplicaSet', 'web-5d9c', { 'pod-template-hash': '5d9c' }), 'web');
  assert.is(named('ReplicaSet', 'web-5d9c', { 'pod-template-hash': 'other' }), 'web-5d9c');
  assert.is(named('ReplicaSet', 'web-7f', { 'rollouts-pod-template-hash': '7f' }), 'web');
  assert.is(named('Job', 'nightly-28500000', {}), 'nightly');
  assert.is(named('Job', 'once-1234', {}), 'once-1234');
  assert.is(named('StatefulSet', 'db', {}), 'db');
  assert.is(named('StatefulSet', 'db', {}, ''), 'p');
  assert.is(named('StatefulSet', 'db', { 'service.istio.io/workload-name': 'said' }), 'said');
  const { canonicalName, canonicalRevision } = workload(meshOf(pod('p', { labels: 'app: a, version: v2' })), '/p');
  assert.equal([canonicalName, canonicalRevision], ['a', 'v2']);
});

test('CP-029: a named target port is found in each pod, and left out of a pod that lacks it', () => {
  const named = service('web', 'selector: {app: web}, ports: [{port: 80, targetPort: web, name: http}]');
  const mesh = meshOf(
    named,
    pod('a', { container: ', ports: [{name: web, containerPort: 8081}]' }),
    pod('b', { status: 'podIP: 10.244.0.6' }),
  );
  const key = 'apps/web.apps.svc.cluster.local';
  assert.equal([...(workload(mesh, '/a').services.get(key) ?? [])], [[80, 8081]]);
  assert.equal([...(workload(mesh, '/b').services.get(key) ?? [])], []);
  assert.equal(serviceOf(mesh, key).ports, [{ servicePort: 80, targetPort: 0, appProtocol: 'HTTP11' }]);
});

test('CP-030, CP-031: endpoints of a service without selector are pods, and workloads of their own', () => {
  const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: apps, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 9000, protocol: TCP}, {name: dns, port: 53, protocol: UDP}]
endpoints:
- {addresses: [10.244.0.5], targetRef: {kind: Pod, name: p, namespace: apps, uid: uid-p}}
- {addresses: [192.0.2.1], conditions: {ready: false}}
`;
  const mesh = meshOf(service('web', 'ports: [{port: 80, targetPort: 8080, name: http}]'), pod('p'), slice);
  const key = 'apps/web.apps.svc.cluster.local';
  assert.equal([...(workload(mesh, '/p').services.get(key) ?? [])], [[80, 8080]]);
  const outside = workload(mesh, 'EndpointSlice/apps/web-1/192.0.2.1');
  assert.equal([outside.healthy, outside.hostNetwork, ...(outside.services.get(key) ?? [])], [false, true, [80, 9000]]);
});

test('CP-032..037: what a Service says about its addresses, balancing and families', () => {
  const key = 'apps/web.apps.svc.cluster.local';
  const of = (spec: string, meta = '', ...more: string[]): Service =>
    serviceOf(meshOf(service('web', spec, meta), ...more), key);
  assert.equal(of('clusterIP: None').vips, [], 'headless');
  assert.is(meshOf(service('web', 'type: ExternalName, externalName: a.example')).services.size, 0);
  assert.equal(of('internalTrafficPolicy: Local').loadBalancing, {
    mode: 'STRICT',
    preferences: ['NODE'],
    healthPolicy: 'ONLY_HEALTHY',
  });
  assert.equal(of('trafficDistribution: PreferClose').loadBalancing.preferences, ['NETWORK', 'REGION', 'ZONE']);
  assert.equal(
    of('', ', annotations: {networking.istio.io/traffic-distribution: prefersamenode}').loadBalancing.preferences.at(
      -1,
    ),
    'NODE',
  );
  const inherited = of(
    '',
    '',
    '{apiVersion: v1, kind: Namespace, metadata: {name: apps, annotations: {networking.istio.io/traffic-distribution: PreferClose}}}',
  );
  assert.is(inherited.loadBalancing.mode, 'FAILOVER');
  assert.is(of('publishNotReadyAddresses: true').loadBalancing.healthPolicy, 'ALLOW_ALL');
  assert.is(of('ports: []').loadBalancing.healthPolicy, 'ONLY_HEALTHY', 'not shared with another service');
  assert.equal(
    ['[IPv4, IPv6]', '[IPv6]', '[]'].map((families) => of(`ipFamilies: ${families}`).ipFamilies),
    ['DUAL', 'IPV6', 'AUTOMATIC'],
  );
});

test('protocols come from appProtocol, then from the port name, then from well-known ports', () => {
  const rows: [string, string][] = [
    ['port: 1, name: http-web', 'HTTP11'],
    ['port: 1, name: GRPC', 'GRPC'],
    ['port: 1, name: http, appProtocol: kubernetes.io/h2c', 'HTTP2'],
    ['port: 1, name: http, appProtocol: tcp', 'TCP'],
    ['port: 1, name: https', 'TLS'],
    ['port: 1, name: web', 'UNKNOWN'],
    ['port: 3306, name: db', 'TCP'],
    ['port: 1, name: http, protocol: UDP', 'UNKNOWN'],
  ];
  for (const [port, expected] of rows)
    assert.is(
      serviceOf(meshOf(service('web', `ports: [{${port}}]`)), 'apps/web.apps.svc.cluster.local').ports[0]?.appProtocol,
      expected,
      port,
    );
});

test('CP-038: endpoints of ServiceEntries by resolution', () => {
  const ports = 'ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]';
  const fixed = meshOf(
    entry(
      'e',
      `hosts: [a.b, c.d], resolution: STATIC, ${ports}, endpoints: [{address: 192.0.2.1, ports: {http: 9090}, weight: 5}, {address: 192.0.2.2}]`,
    ),
  );
  const first = workload(fixed, '/e/192.0.2.1');
  assert.equal(
    [...first.services],
    [
      ['apps/a.b', new Map([[80, 9090]])],
      ['apps/c.d', new Map([[80, 9090]])],
    ],
  );
  assert.equal([first.capacity, workload(fixed, '/e/192.0.2.2').capacity, first.hostname], [5, 1, '']);
  const dns = meshOf(entry('e', `hosts: [a.b, c.d], resolution: DNS, ${ports}`));
  assert.equal(
    [...workload(dns, '/e/a.b').services.keys()],
    ['apps/a.b'],
    'an implicit endpoint serves its own host only',
  );
  assert.equal([workload(dns, '/e/c.d').hostname, workload(dns, '/e/c.d').addresses], ['c.d', []]);
  const none = meshOf(entry('e', `hosts: [a.b], addresses: [192.0.2.0/24], ${ports}`));
  assert.is(none.workloads.size, 0);
  assert.equal(serviceOf(none, 'apps/a.b').loadBalancing, {
    mode: 'PASSTHROUGH',
    preferences: [],
    healthPolicy: 'ALLOW_ALL',
  });
  assert.is(serviceOf(none, 'apps/a.b').cidrVips.length, 1);
});

test('CP-039: a ServiceEntry selects WorkloadEntries and pods', () => {
  const vm =
    '{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vm, namespace: apps}, spec: {address: 192.0.2.7, labels: {app: web}, serviceAccount: vm}}';
  const selecting = entry(
    'e',
    'hosts: [a.b], resolution: STATIC, workloadSelector: {labels: {app: web}}, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]',
  );
  const mesh = meshOf(vm, pod('p', { container: ', ports: [{name: http, containerPort: 7070}]' }), selecting, WEB);
  assert.equal([...(workload(mesh, 'WorkloadEntry/apps/vm').services.get('apps/a.b') ?? [])], [[80, 8080]]);
  assert.ok(workload(mesh, 'WorkloadEntry/apps/vm').services.has('apps/web.apps.svc.cluster.local'));
  assert.equal(
    [...(workload(mesh, '/p').services.get('apps/a.b') ?? [])],
    [[80, 7070]],
    'the container port of that name',
  );
  assert.is(workload(mesh, 'WorkloadEntry/apps/vm').serviceAccount, 'vm');
});

test('the same host twice: a Service wins, then the oldest entry; one of several namespaces is canonical', () => {
  const spec = 'hosts: [a.b], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]';
  const mesh = meshOf(
    entry('first', spec),
    entry('second', spec),
    entry('other', spec).replace('namespace: apps', 'namespace: other'),
  );
  assert.equal(
    [...mesh.services.values()].map(({ namespace, name, canonical }) => [namespace, name, canonical]),
    [
      ['apps', 'first', true],
      ['other', 'other', false],
    ],
  );
  assert.is([...mesh.workloads.values()].filter((one) => one.name === 'second').length, 0, 'a loser has no endpoints');
  const shadowed = meshOf(entry('e', 'hosts: [web.apps.svc.cluster.local], resolution: DNS'), WEB);
  assert.is(serviceOf(shadowed, 'apps/web.apps.svc.cluster.local').name, 'web');
});

test('CP-003, 004, 009, 010: who is bound to which waypoint', () => {
  const key = 'apps/web.apps.svc.cluster.local';
  const web = (meta: string): string => service('web', 'clusterIP: 10.96.0.5', meta);
  const enrolled = namespace('apps', 'istio.io/use-waypoint: waypoint');
  const hostname = (name: string): unknown => ({
    kind: 'hostname',
    namespace: 'apps',
    hostname: `${name}.apps.svc.cluster.local`,
  });
  assert.equal(boundTo(meshOf(enrolled, gateway('waypoint'), web('')), key), hostname('waypoint'), 'inherited');
  assert.equal(
    boundTo(meshOf(enrolled, gateway('waypoint'), gateway('own'), web(', labels: {istio.io/use-waypoint: own}')), key),
    hostname('own'),
  );
  assert.is(
    boundTo(meshOf(enrolled, gateway('waypoint'), web(', labels: {istio.io/use-waypoint: none}')), key),
    undefined,
    'opted out',
  );
  assert.is(
    boundTo(meshOf(enrolled, gateway('waypoint'), web(', labels: {istio.io/use-waypoint: lost}')), key),
    undefined,
    'no fallback',
  );
  assert.is(
    boundTo(meshOf(enrolled, gateway('waypoint'), web(', labels: {gateway.istio.io/managed: x}')), key),
    undefined,
    'its own service',
  );
  assert.equal(conditions(meshOf(enrolled, gateway('waypoint'), web('')), 'Service', 'web'), [
    'istio.io/WaypointBound True WaypointAccepted: Successfully attached to waypoint apps/waypoint',
  ]);
  const ingress = meshOf(
    gateway('waypoint'),
    web(', labels: {istio.io/use-waypoint: waypoint, istio.io/ingress-use-waypoint: "true"}'),
  );
  assert.match(
    conditions(ingress, 'Service', 'web')[0] ?? '',
    'apps/waypoint. Traffic of ingress gateways goes through it',
  );
  assert.equal(conditions(meshOf(web(', labels: {istio.io/use-waypoint: none}')), 'Service', 'web'), []);
});

test('CP-005, 006, 007: why something is not bound', () => {
  const entryUsing = (labels: string): string => entry('e', 'hosts: [a.b], resolution: DNS', `, labels: {${labels}}`);
  const reason = (...texts: string[]): string => conditions(meshOf(...texts), 'ServiceEntry', 'e')[0] ?? '';
  const mine = entryUsing('istio.io/use-waypoint: waypoint');
  assert.match(
    reason(mine),
    'istio.io/WaypointBound False WaypointIsNotReady: waypoint "apps/waypoint" is not ready: there is no such',
  );
  assert.match(
    reason(mine, gateway('waypoint', { address: '' })),
    'WaypointIsNotReady: waypoint "apps/waypoint" is not ready: its Gateway has no address',
  );
  assert.match(
    reason(mine, gateway('waypoint', { meta: ', labels: {istio.io/waypoint-for: workload}' })),
    'UnsupportedTrafficType: waypoint "apps/waypoint" does not handle service traffic',
  );
  const theirs = entryUsing('istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: egress');
  assert.match(reason(theirs, gateway('waypoint', { in: 'egress' })), 'AttachmentDenied: waypoint "egress/waypoint"');
  const routes = (text: string): string =>
    reason(
      theirs,
      namespace('apps', 'team: a'),
      gateway('waypoint', { in: 'egress', routes: `, allowedRoutes: {namespaces: {${text}}}` }),
    );
  assert.match(routes('from: All'), 'WaypointAccepted: Successfully attached to waypoint egress/waypoint');
  assert.match(routes('from: Selector, selector: {matchLabels: {team: a}}'), 'WaypointAccepted');
  assert.match(routes('from: Selector, selector: {matchLabels: {team: b}}'), 'AttachmentDenied');
});

test('CP-008: a pod that only inherits a service waypoint has none, and no complaint', () => {
  const labelled = namespace('apps', 'istio.io/use-waypoint: waypoint');
  assert.is(workload(meshOf(labelled, gateway('waypoint'), pod('p')), '/p').waypoint, undefined);
  const all = gateway('waypoint', { meta: ', labels: {istio.io/waypoint-for: all}' });
  assert.is(workload(meshOf(labelled, all, pod('p')), '/p').waypoint?.port, 15_008);
  const own = pod('p', { labels: 'gateway.networking.k8s.io/gateway-name: waypoint' });
  assert.is(workload(meshOf(labelled, all, own), '/p').waypoint, undefined, 'a pod of the waypoint');
});

test('CP-041: a wildcard entry without a waypoint says that it needs one', () => {
  const wildcard = entry(
    'e',
    'hosts: ["*.a.b"], resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: HTTP}]',
  );
  assert.match(
    conditions(meshOf(wildcard), 'ServiceEntry', 'e')[0] ?? '',
    'istio.io/WaypointMissing True NoWaypointForWildcardService',
  );
  const bound = meshOf(wildcard.replace('namespace: apps', `namespace: apps${USE}`), gateway('waypoint'));
  assert.match(conditions(bound, 'ServiceEntry', 'e').join(), 'WaypointBound True');
  assert.not.match(conditions(bound, 'ServiceEntry', 'e').join(), 'WaypointMissing');
});

test('CP-014, CP-015: which policies the node agent gets, and which workloads they select', () => {
  const rules = 'rules: [{from: [{source: {principals: ["cluster.local/ns/a/sa/b"]}}]}]';
  const mesh = meshOf(
    policy('wide', rules, { in: 'istio-system' }),
    policy('namespace', rules),
    policy('mine', `selector: {matchLabels: {app: web}}, ${rules}`),
    policy('roots', `selector: {matchLabels: {app: web}}, ${rules}`, { in: 'istio-system' }),
    policy('others', `selector: {matchLabels: {app: web}}, ${rules}`, { in: 'other' }),
    policy('targeted', `targetRefs: [{kind: Service, group: "", name: web}], ${rules}`),
    pod('p'),
  );
  assert.equal(mesh.authorizations.map(({ name, scope }) => `${name} ${scope}`).sort(), [
    'mine WORKLOAD_SELECTOR',
    'namespace NAMESPACE',
    'others WORKLOAD_SELECTOR',
    'roots WORKLOAD_SELECTOR',
    'wide GLOBAL',
  ]);
  assert.equal(workload(mesh, '/p').authorizationPolicies, ['apps/mine', 'istio-system/roots']);
});

test('CP-013, CP-016: HTTP in policies for the node agent', () => {
  const l4 = '{from: [{source: {namespaces: [a]}}]}';
  const l7 = '{from: [{source: {namespaces: [a]}}], to: [{operation: {paths: [/x], ports: ["80"]}}]}';
  const only = '{from: [{source: {namespaces: [a]}}], to: [{operation: {methods: [GET]}}]}';
  const shape = (spec: string, meta = ''): [number, string] => {
    const mesh = meshOf(policy('p', spec, { meta }));
    for (const one of mesh.authorizations) encodeAuthorization(one);
    return [mesh.authorizations[0]?.rules.length ?? -1, conditions(mesh, 'AuthorizationPolicy', 'p')[0] ?? ''];
  };
  assert.equal(shape(`rules: [${l4}]`), [1, 'ZtunnelAccepted True Accepted: attached to ztunnel']);
  assert.equal(shape(''), [0, 'ZtunnelAccepted True Accepted: attached to ztunnel'], 'allow nothing');
  const [kept, allowed] = shape(`rules: [${l4}, ${l7}]`);
  assert.is(kept, 1, 'an ALLOW rule with HTTP is dropped whole');
  assert.match(
    allowed,
    'ZtunnelAccepted True UnsupportedValue: ztunnel does not support HTTP attributes (found: paths). In an ALLOW',
  );
  assert.match(shape(`action: DENY, rules: [${l7}]`)[1], 'may deny more than it says');
  assert.match(shape(`action: DENY, rules: [${only}]`)[1], '(found: methods). This DENY policy has nothing left');
  assert.match(shape(`action: AUDIT, rules: [${l4}]`)[1], 'ZtunnelAccepted False UnsupportedValue');
  assert.is(shape(`action: AUDIT, rules: [${l4}]`)[0], -1, 'not sent');
  assert.equal(shape(`rules: [${l4}]`, ', annotations: {istio.io/dry-run: "true"}').map(String), [
    '-1',
    'ZtunnelAccepted False UnsupportedValue: ztunnel does not support dry run',
  ]);
  assert.is(
    shape('rules: [{from: [{source: {trustDomains: [a]}}]}]')[0],
    0,
    'trust domains cannot be checked there: never wider than written',
  );
});

test('CP-018..024: PeerAuthentication as policies', () => {
  const STRICT = 'istio-system/istio_converted_static_strict';
  const attached = (...texts: string[]): readonly string[] =>
    workload(meshOf(pod('p'), ...texts), '/p').authorizationPolicies;
  const select = 'selector: {matchLabels: {app: web}}';
  const root = (mode: string): string => peers('mesh', `mtls: {mode: ${mode}}`, 'istio-system');
  assert.equal(meshOf(pod('p')).authorizations, []);
  assert.equal(attached(root('PERMISSIVE')), []);
  assert.equal(attached(root('STRICT')), [STRICT]);
  assert.equal(attached(root('STRICT'), peers('ns', 'mtls: {mode: PERMISSIVE}')), []);
  assert.equal(attached(root('STRICT'), peers('ns', 'mtls: {mode: DISABLE}')), []);
  assert.equal(attached(root('STRICT'), peers('ns', 'mtls: {mode: UNSET}')), [STRICT]);
  assert.equal(
    attached(peers('a', 'mtls: {mode: STRICT}'), peers('b', 'mtls: {mode: PERMISSIVE}')),
    [STRICT],
    'the oldest wins',
  );
  const port = (mode: string, other: string): string =>
    peers('w', `${select}, mtls: {mode: ${mode}}, portLevelMtls: {"8080": {mode: ${other}}}`);
  const converted = ['apps/converted_peer_authentication_w'];
  assert.equal(attached(port('STRICT', 'STRICT')), [STRICT]);
  assert.equal(attached(port('STRICT', 'PERMISSIVE')), converted);
  assert.equal(attached(port('PERMISSIVE', 'STRICT')), converted);
  assert.equal(attached(port('PERMISSIVE', 'DISABLE')), []);
  assert.equal(attached(root('STRICT'), port('UNSET', 'DISABLE')), [STRICT], 'inherited, only PERMISSIVE opens a port');
  assert.equal(attached(root('STRICT'), port('UNSET', 'PERMISSIVE')), converted, 'merged with the mesh');
  assert.equal(
    attached(root('STRICT'), peers('ns', 'mtls: {mode: UNSET}'), port('UNSET', 'PERMISSIVE')),
    converted,
    'and through an unset namespace',
  );
  assert.equal(attached(port('UNSET', 'STRICT')), converted);
  const rules = (mode: string, other: string): string =>
    JSON.stringify(
      meshOf(port(mode, other))
        .authorizations.find((one) => one.name.startsWith('converted'))
        ?.rules.map((rule) =>
          rule.clauses.flatMap((clause) =>
            clause.matches.flatMap((match) =>
              match.conditions.map((one) => [one.attribute, one.values.length, one.notValues.length]),
            ),
          ),
        ),
    );
  assert.is(rules('STRICT', 'PERMISSIVE'), '[[["source.principal",0,1],["destination.port",0,1]]]');
  assert.is(rules('PERMISSIVE', 'STRICT'), '[[["source.principal",0,1],["destination.port",1,0]]]');
});

test('CP-012: where policies with targets are in force', () => {
  const bound = service('web', 'clusterIP: 10.96.0.5', USE);
  const world = [gateway('waypoint'), bound, service('lone', 'clusterIP: 10.96.0.6')];
  const accepted = (refs: string, ns = 'apps'): string =>
    conditions(
      meshOf(...world, policy('p', `targetRefs: [${refs}]`, { in: ns }), CLASS),
      'AuthorizationPolicy',
      'p',
    ).join();
  assert.is(accepted('{kind: Service, name: web}'), 'WaypointAccepted True Accepted: bound to apps/waypoint');
  assert.is(
    accepted('{kind: Service, name: lone}'),
    'WaypointAccepted False AncestorNotBound: Service apps/lone is not bound to a waypoint',
  );
  assert.is(
    accepted('{kind: Service, name: lost}'),
    'WaypointAccepted False TargetNotFound: Service apps/lost was not found',
  );
  assert.is(
    accepted('{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}'),
    'WaypointAccepted True Accepted: bound to apps/waypoint',
  );
  assert.match(
    accepted('{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}'),
    'WaypointAccepted False Invalid',
  );
  assert.is(
    accepted('{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}', 'istio-system'),
    'WaypointAccepted True Accepted: bound to istio-waypoint',
  );
  assert.is(
    accepted('{kind: Service, name: web}, {kind: Service, name: lost}'),
    'WaypointAccepted True PartiallyInvalid: not bound: Service.core:apps/lost',
  );
  assert.match(
    accepted('{kind: Service, name: lone}, {kind: Service, name: lost}'),
    'WaypointAccepted False Invalid: not bound: Service.core:apps/lone, Service.core:apps/lost',
  );
});

const CLASS =
  '{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: istio-waypoint}, spec: {controllerName: istio.io/mesh-controller}}';

test('WP-098..100, 103: a waypoint gets the policies of its services, its Gateway and its class', () => {
  const httpbin = entry('httpbin', 'hosts: [a.b, c.d], resolution: DNS', USE);
  const mesh = meshOf(
    CLASS,
    gateway('waypoint'),
    gateway('idle', { address: '' }),
    httpbin,
    policy('entry', 'targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: httpbin}], rules: [{}]'),
    policy(
      'gateway',
      'targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}, {kind: ServiceEntry, group: networking.istio.io, name: httpbin}]',
    ),
    policy('class', 'targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint}]', {
      in: 'istio-system',
    }),
    policy('selected', 'selector: {matchLabels: {app: web}}'),
  );
  assert.equal(
    mesh.policies.map(({ waypoint, name, value }) => `${waypoint} ${name} ${value.listeners.join('+')}`).sort(),
    [
      'apps/idle istio-system/class ',
      'apps/waypoint apps/entry apps/a.b+apps/c.d',
      'apps/waypoint apps/gateway ',
      'apps/waypoint istio-system/class ',
    ],
  );
});

test('every field of a rule reaches the waypoint, with aliases of the trust domain', () => {
  const config =
    '{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "trustDomain: corp\\ntrustDomainAliases: [old]\\n"}}';
  const rule = `{from: [{source: {principals: [cluster.local/ns/a/sa/b, "*"], notNamespaces: ["a*b", "x*"], ipBlocks: [10.0.0.0/8], remoteIpBlocks: [192.0.2.1], requestPrincipals: ["i/*"], trustDomains: [corp]}}, {source: {serviceAccounts: [sa, other/sa]}}],
    to: [{operation: {hosts: ["*.Example"], methods: [GET], paths: ["/a/{*}", /b*, "*.js"], notPorts: ["80"]}}],
    when: [{key: "request.headers[X-A]", values: [v]}, {key: "request.auth.claims[a][b]", notValues: [c]}, {key: connection.sni, values: [s]}, {key: destination.ip, values: [10.0.0.1]}]}`;
  const mesh = meshOf(
    config,
    gateway('waypoint'),
    policy('p', `targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}], rules: [${rule}]`),
  );
  const clauses = mesh.policies[0]?.value.rules[0]?.clauses ?? [];
  const text = clauses.map(({ origin, matches }) => {
    const conditions = matches.map((match) =>
      match.conditions
        .map(
          (one) =>
            `${one.attribute}${one.key && `[${one.key}]`} ${show(one.values)}${one.notValues.length > 0 ? `!${show(one.notValues)}` : ''}`,
        )
        .join(' & '),
    );
    return `${origin}: ${conditions.join(' | ')}`;
  });
  assert.equal(text, [
    'from: source.principal exact:corp/ns/a/sa/b,exact:old/ns/a/sa/b,presence & source.namespace !glob:a*b,prefix:x & source.ip 10.0.0.0/8 & source.trustDomain exact:corp & remote.ip 192.0.2.1/32 & request.auth.principal prefix:i/ | source.serviceAccount apps/sa,other/sa',
    'to: destination.port !80 & request.host suffix:.Example & request.method exact:GET & request.path template:/a/{*},prefix:/b,suffix:.js',
    'when: request.header[x-a] exact:v',
    'when: request.auth.claims[a\0b] !exact:c',
    'when: connection.sni exact:s',
    'when: destination.ip 10.0.0.1/32',
  ]);
});

type Value = NonNullable<
  Mesh['policies'][number]['value']['rules'][number]['clauses'][number]['matches'][number]['conditions'][number]['values']
>[number];

const show = (values: readonly Value[]): string =>
  values
    .map((value) => {
      if (value.kind === 'cidr') return `${value.cidr.ip}/${value.cidr.length}`;
      if (value.kind === 'port') return String(value.port);
      if (value.kind === 'serviceAccount') return `${value.namespace}/${value.serviceAccount}`;
      return value.kind === 'presence' ? 'presence' : `${value.kind}:${value.value}`;
    })
    .join(',');

const HTTPBIN = entry(
  'httpbin',
  'hosts: [httpbin.org], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}, {number: 443, name: tls, protocol: TLS}]',
  USE,
  'addresses: [{value: 240.240.0.1, host: httpbin.org}, {value: "2001:2::1", host: httpbin.org}]',
);
const rule = (name: string, spec: string, ns = 'apps'): string =>
  `{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: ${name}, namespace: ${ns}}, spec: {${spec}}}`;

test('CP-040: a bound ServiceEntry is a listener with its addresses, and a backend', () => {
  const mesh = meshOf(gateway('waypoint'), HTTPBIN);
  assert.equal(mesh.listeners, [
    {
      waypoint: 'apps/waypoint',
      name: 'apps/httpbin.org',
      value: {
        namespace: 'apps',
        hostname: 'httpbin.org',
        name: 'httpbin',
        kind: 'ServiceEntry',
        addresses: [
          { network: '', ip: '240.240.0.1' },
          { network: '', ip: '2001:2::1' },
        ],
        cidrAddresses: [],
        ports: [
          { port: 80, name: 'http', protocol: 'HTTP' },
          { port: 443, name: 'tls', protocol: 'TLS' },
        ],
      },
    },
  ]);
  const backend = mesh.backends[0]?.value;
  assert.equal(
    [backend?.resolution, backend?.external, backend?.ports[0]?.targetPort, backend?.ports[0]?.tls],
    ['DNS', true, 443, undefined],
  );
  assert.is(meshOf(gateway('waypoint'), HTTPBIN.replace(USE, '')).listeners.length, 0, 'nothing that is not bound');
});

test('WP-058, 059, 062, 063: a DestinationRule says how to talk to each port', () => {
  const port = (spec: string, i = 0): unknown =>
    meshOf(gateway('waypoint'), HTTPBIN, rule('r', `host: httpbin.org, trafficPolicy: {${spec}}`)).backends[0]?.value
      .ports[i];
  assert.match(
    JSON.stringify(port('tls: {mode: SIMPLE, sni: s, subjectAltNames: [n], caCertificates: /ca.pem}')),
    '"tls":{"mode":"SIMPLE","sni":"s","subjectAltNames":["n"],"caCertificates":"/ca.pem","clientCertificate":"","privateKey":"","credential":"","insecureSkipVerify":false}',
  );
  const levels =
    'tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 443}, tls: {mode: DISABLE}, loadBalancer: {simple: ROUND_ROBIN}}]';
  assert.match(JSON.stringify(port(levels, 0)), '"mode":"SIMPLE"');
  assert.not.match(JSON.stringify(port(levels, 1)), '"mode":"SIMPLE"');
  assert.match(JSON.stringify(port(levels, 1)), '"loadBalancer":"ROUND_ROBIN"');
  assert.not.match(JSON.stringify(port('tls: {mode: ISTIO_MUTUAL}')), '"mode"');
  assert.match(
    JSON.stringify(
      port(
        'connectionPool: {tcp: {maxConnections: 7, connectTimeout: 1.5s}, http: {h2UpgradePolicy: UPGRADE, idleTimeout: 1m}}',
      ),
    ),
    '"maxConnections":7,"connectTimeoutMs":1500,"maxPendingRequests":0,"maxRequests":0,"maxRequestsPerConnection":0,"idleTimeoutMs":60000,"h2Upgrade":"UPGRADE"',
  );
});

test('rules are looked up by the waypoint namespace, the service namespace and the root; exact before wildcard before age', () => {
  const cross = HTTPBIN.replace(
    USE,
    ', labels: {istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: egress}',
  );
  const open = gateway('waypoint', { in: 'egress', routes: ', allowedRoutes: {namespaces: {from: All}}' });
  const sni = (name: string, host = 'httpbin.org', ns = 'apps', more = ''): string =>
    rule(name, `host: "${host}", trafficPolicy: {tls: {mode: SIMPLE, sni: ${name}}}${more}`, ns);
  const chosen = (...rules: string[]): string | undefined =>
    meshOf(open, cross, ...rules).backends[0]?.value.ports[0]?.tls?.sni;
  assert.is(
    chosen(sni('root', 'httpbin.org', 'istio-system'), sni('service'), sni('proxy', 'httpbin.org', 'egress')),
    'proxy',
  );
  assert.is(chosen(sni('root', 'httpbin.org', 'istio-system'), sni('service')), 'service');
  assert.is(chosen(sni('root', 'httpbin.org', 'istio-system')), 'root');
  assert.is(chosen(sni('wild', '*.org'), sni('exact')), 'exact');
  assert.is(chosen(sni('any', '*'), sni('wild', '*.org')), 'wild');
  assert.is(chosen(sni('old'), sni('young')), 'old');
  assert.is(chosen(sni('private', 'httpbin.org', 'apps', ', exportTo: ["."]')), undefined);
  assert.is(chosen(sni('elsewhere', 'httpbin.org', 'third')), undefined);
});

test("a short host means a Service of the rule's own namespace", () => {
  const mesh = meshOf(
    gateway('waypoint'),
    WEB.replace('namespace: apps', `namespace: apps${USE}`),
    rule('r', 'host: web, trafficPolicy: {tls: {mode: SIMPLE, sni: s}}'),
  );
  assert.is(mesh.backends[0]?.value.ports[0]?.tls?.sni, 's');
});

test('WP-033: a credential comes from the namespace of the waypoint, and only what is named is sent', () => {
  const b64 = (text: string): string => Buffer.from(text).toString('base64');
  const secret = (name: string, ns: string, data: string): string =>
    `{apiVersion: v1, kind: Secret, metadata: {name: ${name}, namespace: ${ns}}, data: {${data}}}`;
  const mutual = rule('r', 'host: httpbin.org, trafficPolicy: {tls: {mode: MUTUAL, credentialName: client}}');
  const mesh = meshOf(
    gateway('waypoint'),
    HTTPBIN,
    mutual,
    secret('client', 'apps', `tls.crt: ${b64('C')}, tls.key: ${b64('K')}`),
    secret('client-cacert', 'apps', `cacert: ${b64('R')}`),
    secret('other', 'apps', `tls.key: ${b64('no')}`),
  );
  assert.is(mesh.backends[0]?.value.ports[0]?.tls?.credential, 'apps/client');
  assert.equal(mesh.credentials, [
    {
      waypoint: 'apps/waypoint',
      name: 'apps/client',
      value: { namespace: 'apps', name: 'client', certificateChain: 'C', privateKey: 'K', caCertificates: 'R' },
    },
  ]);
  assert.equal(
    meshOf(gateway('waypoint'), HTTPBIN, mutual, secret('client', 'other', `tls.key: ${b64('K')}`)).credentials,
    [],
  );
});

test('mesh configuration reaches every waypoint; what is wrong or without effect is said', () => {
  const config = (yaml: string): Mesh =>
    meshOf(
      gateway('waypoint'),
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: ${JSON.stringify(yaml)}\n`,
    );
  const proxy = (mesh: Mesh): unknown => mesh.proxies[0]?.value;
  assert.equal(proxy(meshOf(gateway('waypoint'))), {
    namespace: 'apps',
    name: 'waypoint',
    trustDomain: 'cluster.local',
    trustDomainAliases: [],
    accessLog: 'TEXT',
    pathNormalization: 'BASE',
    serverHeader: 'istio-envoy',
  });
  const set = config(
    'accessLogFile: /dev/stdout\naccessLogEncoding: JSON\npathNormalization: {normalization: MERGE_SLASHES}\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n',
  );
  assert.match(JSON.stringify(proxy(set)), '"accessLog":"JSON","pathNormalization":"MERGE_SLASHES"');
  assert.match(
    set.inputs.mesh.problems.join(),
    'mesh.outboundTrafficPolicy: outboundTrafficPolicy is accepted but has no effect here',
  );
  assert.match(JSON.stringify(proxy(config('accessLogFile: ""\n'))), '"accessLog":"OFF"');
  assert.match(
    config('accessLogEncoding: XML\n').inputs.mesh.problems.join(),
    'mesh.accessLogEncoding: expected one of TEXT, JSON',
  );
  assert.match(config('a: [\n').inputs.mesh.problems.join(), 'mesh: line');
});

test.run();
