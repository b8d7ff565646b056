import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type KubeObject, objectKey } from '../collections/object.ts';
import { ObjectStore } from '../collections/object-store.ts';
import { inputReader, readInputs } from './inputs.ts';
import { deriveMesh, type Mesh, meshDeriver } from './mesh.ts';
import { entry, gateway, namespace, objectsOf, peers, pod, policy, service } from './mesh.fixture.ts';

const podAt = (name: string, address: string, labels: string): string =>
  pod(name, { labels, status: `podIP: ${address}, conditions: [{type: Ready, status: "True"}]` });
const slice = (uid: string): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bare-1, namespace: apps, labels: {kubernetes.io/service-name: bare}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, namespace: apps, name: ${uid}}}]
ports: [{name: http, port: 8080, protocol: TCP}]
`;
const config = (text: string): string =>
  `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: ${JSON.stringify(text)}}}`;
const node = (zone: string): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: ${zone}}}}`;

/** Versions of each object: one change sets one of them, or removes the object. */
const VERSIONS: readonly (readonly string[])[] = [
  [namespace('apps'), namespace('apps', 'istio.io/use-waypoint: waypoint')],
  [namespace('istio-system'), namespace('istio-system', 'topology.istio.io/network: blue')],
  [podAt('a', '10.0.0.1', 'app: web'), podAt('a', '10.0.0.2', 'app: other')],
  [podAt('b', '10.0.0.3', 'app: web'), podAt('b', '10.0.0.3', 'gateway.networking.k8s.io/gateway-name: waypoint')],
  [pod('c', { spec: ', nodeName: n1' })],
  [node('z1'), node('z2')],
  [
    service('web', 'selector: {app: web}, ports: [{port: 80, name: http}]'),
    service(
      'web',
      'selector: {app: web}, ports: [{port: 80, targetPort: 8080}]',
      ', labels: {istio.io/use-waypoint: none}',
    ),
  ],
  [service('bare', 'clusterIPs: [10.96.0.9], ports: [{port: 80, name: http}]')],
  [slice('a'), slice('b')],
  [gateway('waypoint', { meta: ', labels: {istio.io/waypoint-for: all}' }), gateway('waypoint', { address: '' })],
  [
    policy(
      'p',
      'selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]',
    ),
    policy('p', 'targetRefs: [{kind: Service, name: web}], rules: [{}]'),
  ],
  [
    peers('strict', 'mtls: {mode: STRICT}'),
    peers('strict', 'selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}'),
  ],
  [
    entry(
      'out',
      'hosts: [a.test], resolution: STATIC, ports: [{number: 80, name: http}], workloadSelector: {labels: {app: web}}',
    ),
    entry('out', 'hosts: [b.test], resolution: DNS, ports: [{number: 80, name: http}]'),
  ],
  [config('trustDomain: corp'), config('trustDomainAliases: [old]')],
];
const OBJECTS = VERSIONS.map((texts) => texts.flatMap((text) => objectsOf(text)));

interface Change {
  readonly object: number;
  /** Beyond the last version: removed. */
  readonly version: number;
}
const change: fc.Arbitrary<Change> = fc.record({ object: fc.nat(VERSIONS.length - 1), version: fc.nat(2) });

function make(store: ObjectStore, { object, version }: Change): void {
  const versions = OBJECTS[object] ?? [];
  const wanted: KubeObject | undefined = versions[version];
  if (wanted !== undefined) return store.apply([wanted]);
  const removed = versions.slice(0, 1).map(({ kind, metadata }) => objectKey(kind, metadata.namespace, metadata.name));
  store.apply([], removed);
}

const served = ({ inputs: _inputs, bindings, ...rest }: Mesh): unknown => [
  rest,
  [...bindings.services.bindings].map(([object, binding]) => [object.metadata.name, binding]),
  [...bindings.l4.outcomes.values()],
];

test('after any changes, a mesh derived step by step is the one derived from nothing', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 25 }), (changes) => {
      const store = new ObjectStore();
      store.apply(OBJECTS.flatMap((versions) => versions.slice(0, 1)));
      const [read, derive] = [inputReader(store, 'cluster.local'), meshDeriver()];
      derive(read());
      for (const one of changes) {
        make(store, one);
        assert.equal(served(derive(read())), served(deriveMesh(readInputs(store, 'cluster.local'))));
      }
    }),
    { numRuns: 40 },
  );
});

test('a changed pod leaves the workloads of all others as they are', () => {
  const store = new ObjectStore();
  store.apply(OBJECTS.flatMap((versions) => versions.slice(0, 1)));
  const [read, derive] = [inputReader(store, 'cluster.local'), meshDeriver()];
  const before = derive(read());
  make(store, { object: 2, version: 1 });
  const after = derive(read());
  const kept = [...after.workloads].filter(([uid, one]) => before.workloads.get(uid) === one).map(([uid]) => uid);
  assert.ok(kept.includes('Kubernetes//Pod/apps/b') && kept.includes('Kubernetes//Pod/apps/c'));
  assert.not(kept.includes('Kubernetes//Pod/apps/a'));
  assert.is(after.bindings.services, before.bindings.services);
});

test.run();
