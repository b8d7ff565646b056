import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@ambit/common/telemetry/log';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeListener } from '@ambit/common/codec/listener';
import { startAdsClient } from '@ambit/common/xds/ads-client';
import {
  ADDRESS,
  AUTHORIZATION,
  L7_BACKEND,
  L7_CREDENTIAL,
  L7_LISTENER,
  L7_POLICY,
  L7_PROXY,
} from '@ambit/common/xds/type-urls';
import type { KubeObject } from './collections/object.ts';
import { ObjectStore } from './collections/object-store.ts';
import { type ControlPlane, startControlPlane, type TokenSubject } from './controlplane.ts';
import { FolderSource } from './files/folder-source.ts';

interface Context {
  root: string;
  store: ObjectStore;
  source: FolderSource;
  plane: ControlPlane;
  stop: () => void;
}

const test = suite<Context>('control plane');

async function open(root: string): Promise<Omit<Context, 'root'>> {
  const store = new ObjectStore();
  const source = new FolderSource({
    folders: [join(root, 'mesh')],
    stateDir: join(root, 'state'),
    store,
    admit: (object) =>
      object.kind === 'Service'
        ? { ...object, spec: { clusterIP: '10.96.0.77', clusterIPs: ['10.96.0.77'], ...object.spec } }
        : object,
  });
  source.start({ watch: false });
  const abort = new AbortController();
  const plane = await startControlPlane({
    store,
    writer: source,
    stateDir: join(root, 'state'),
    listen: { hosts: ['127.0.0.1'], port: 0 },
    clusterDomain: 'cluster.local',
    nodeName: 'node',
    provision: { waypointCommand: ['ambit-waypoint'], env: { XDS_ADDRESS: '10.244.0.1:15012' } },
    push: { quietMs: 5, maxMs: 50 },
    log: createLogger({ level: 'error', format: 'plain' }),
    signal: abort.signal,
  });
  return { store, source, plane, stop: () => abort.abort() };
}

test.before.each(async (context) => {
  const root = mkdtempSync(join(tmpdir(), 'ambit-plane-'));
  mkdirSync(join(root, 'mesh'));
  Object.assign(context, { root }, await open(root));
});
test.after.each(({ root, stop, source }) => {
  stop();
  source.close();
  rmSync(root, { recursive: true, force: true });
});

const WAYPOINT = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: istio-egress}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
`;
const ENTRY = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin, namespace: istio-egress, labels: {istio.io/use-waypoint: waypoint}}
spec:
  hosts: [httpbin.org]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
`;
const waypointPod = (ready: boolean, name = 'waypoint-1', uid = 'pod-uid', gateway = 'waypoint'): KubeObject[] => [
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'istio-egress',
      uid,
      labels: { 'gateway.networking.k8s.io/gateway-name': gateway },
    },
    spec: { containers: [{ name: 'istio-proxy' }], serviceAccountName: 'waypoint', nodeName: 'node' },
    status: { podIP: '10.244.0.18', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  },
];

const condition = (
  store: ObjectStore,
  [kind, namespace, name]: readonly [string, string, string],
  type: string,
): unknown => {
  const conditions = store.get(kind, namespace, name)?.status?.['conditions'];
  const found: unknown = Array.isArray(conditions)
    ? conditions.find((one: { type: string }) => one.type === type)
    : undefined;
  return found;
};

test('CP-002, CP-061: a waypoint Gateway becomes pods to run, and is programmed once one is ready', async ({
  source,
  store,
  plane,
}) => {
  source.apply(WAYPOINT, 'gateway.yaml');
  await plane.settled();
  for (const kind of ['ServiceAccount', 'Deployment', 'Service'])
    assert.ok(store.get(kind, 'istio-egress', 'waypoint'), kind);
  assert.is(store.get('Gateway', 'istio-egress', 'waypoint')?.status?.['addresses'], undefined);
  store.apply(waypointPod(true));
  await plane.settled();
  assert.equal(store.get('Gateway', 'istio-egress', 'waypoint')?.status?.['addresses'], [
    { type: 'IPAddress', value: '10.96.0.77' },
    { type: 'Hostname', value: 'waypoint.istio-egress.svc.cluster.local' },
  ]);
  store.apply(waypointPod(false));
  await plane.settled();
  assert.is(plane.mesh?.bindings.waypoints.all.get('istio-egress/waypoint')?.address?.port, 15_008, 'never removed');
  await source.delete('Gateway', 'istio-egress', 'waypoint');
  await plane.settled();
  for (const kind of ['ServiceAccount', 'Deployment', 'Service'])
    assert.is(store.get(kind, 'istio-egress', 'waypoint'), undefined, kind);
});

test('CP-004, CP-005, CP-040: a ServiceEntry gets addresses, and its condition follows the waypoint', async ({
  source,
  store,
  plane,
}) => {
  source.apply(ENTRY, 'entry.yaml');
  await plane.settled();
  const id = ['ServiceEntry', 'istio-egress', 'httpbin'] as const;
  assert.equal(store.get(...id)?.status?.['addresses'], [
    { value: '240.240.0.1', host: 'httpbin.org' },
    { value: '2001:2::1', host: 'httpbin.org' },
  ]);
  assert.match(JSON.stringify(condition(store, id, 'istio.io/WaypointBound')), 'WaypointIsNotReady');
  source.apply(WAYPOINT, 'gateway.yaml');
  store.apply(waypointPod(true));
  await plane.settled();
  assert.match(
    JSON.stringify(condition(store, id, 'istio.io/WaypointBound')),
    'Successfully attached to waypoint istio-egress/waypoint',
  );
  assert.is(plane.mesh?.listeners[0]?.waypoint, 'istio-egress/waypoint');
});

test('CP-001: the GatewayClasses are there and accepted', async ({ store, plane }) => {
  await plane.settled();
  const gatewayClass = store.get('GatewayClass', undefined, 'istio-waypoint');
  assert.is(gatewayClass?.spec?.['controllerName'], 'istio.io/mesh-controller');
  assert.match(JSON.stringify(gatewayClass?.status), '"status":"True"');
});

test('CP-045: addresses survive a restart', async (context) => {
  const { source, plane, root } = context;
  source.apply(ENTRY, 'entry.yaml');
  source.apply(ENTRY.replaceAll('httpbin', 'other'), 'other.yaml');
  await plane.settled();
  await source.delete('ServiceEntry', 'istio-egress', 'httpbin');
  await plane.settled();
  context.stop();
  source.close();
  const again = await open(root);
  Object.assign(context, again);
  assert.match(JSON.stringify(again.store.get('ServiceEntry', 'istio-egress', 'other')?.status), '240.240.0.2');
});

/** A client that collects what it is sent, by the last part of the type URL. */
async function connect(
  plane: ControlPlane,
  pod: TokenSubject,
  gateway: string,
): Promise<{ got: Map<string, Uint8Array>; end: () => void }> {
  const got = new Map<string, Uint8Array>();
  const abort = new AbortController();
  const types = [ADDRESS, AUTHORIZATION, L7_LISTENER, L7_BACKEND, L7_POLICY, L7_CREDENTIAL, L7_PROXY].map(
    (typeUrl) => ({
      typeUrl,
      onUpdate: (
        resources: readonly { readonly name: string; readonly body: Uint8Array }[],
        removed: readonly string[],
      ): [] => {
        const type = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
        for (const { name, body } of resources) got.set(`${type} ${name}`, body);
        for (const name of removed) got.delete(`${type} ${name}`);
        return [];
      },
    }),
  );
  const client = startAdsClient({
    address: `127.0.0.1:${plane.port}`,
    roots: plane.rootCertificates,
    token: () => plane.issueToken(pod),
    clusterId: 'Kubernetes',
    node: { id: 'test', metadata: { NAMESPACE: pod.namespace, GATEWAY_NAME: gateway, NODE_NAME: 'node' } },
    types,
    signal: abort.signal,
    log: createLogger({ level: 'error', format: 'plain' }).scope('test'),
  });
  await client.synced;
  return { got, end: () => abort.abort() };
}

const POD: TokenSubject = {
  namespace: 'istio-egress',
  serviceAccount: 'waypoint',
  podName: 'waypoint-1',
  podUid: 'pod-uid',
};
const POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: istio-egress}
spec:
  targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: httpbin}]
  rules: [{to: [{operation: {methods: [GET]}}]}]
`;

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(holds(), what);
}

test('a waypoint receives what is meant for it over the wire, and every edit; other pods receive addresses only', async ({
  source,
  store,
  plane,
}) => {
  source.apply(`${WAYPOINT}---${ENTRY}---${POLICY}`, 'all.yaml');
  store.apply(waypointPod(true));
  store.apply(waypointPod(true, 'curious', 'c', 'another'));
  await plane.settled();
  const waypoint = await connect(plane, POD, 'waypoint');
  const curious = await connect(plane, { ...POD, podName: 'curious', podUid: 'c' }, 'waypoint');
  const key = 'istio-egress/httpbin.org';
  for (const name of [
    `Listener ${key}`,
    `Backend ${key}`,
    'Policy istio-egress/readers',
    'Proxy istio-egress/waypoint',
    `Address ${key}`,
  ])
    assert.ok(waypoint.got.has(name), `${name} among ${[...waypoint.got.keys()].join(', ')}`);
  assert.ok(curious.got.has(`Address ${key}`));
  assert.equal(
    [...curious.got.keys()].filter((name) => /^(Listener|Backend|Policy|Proxy|Credential) /.test(name)),
    [],
  );
  const listener = decodeListener(waypoint.got.get(`Listener ${key}`) ?? new Uint8Array());
  assert.equal(
    listener.addresses.map((one) => one.ip),
    ['240.240.0.1', '2001:2::1'],
  );
  const before = new Map(waypoint.got);
  source.apply(POLICY.replace('[GET]', '[GET, HEAD]'), 'policy.yaml');
  await until(
    () => waypoint.got.get('Policy istio-egress/readers') !== before.get('Policy istio-egress/readers'),
    'policy pushed',
  );
  const changed = [...waypoint.got].filter(([name, body]) => before.get(name) !== body).map(([name]) => name);
  assert.equal(changed, ['Policy istio-egress/readers'], 'nothing else was sent');
  source.merge('ServiceEntry', 'istio-egress', 'httpbin', { labels: { 'istio.io/use-waypoint': 'none' } });
  await until(
    () => !waypoint.got.has(`Listener ${key}`) && !waypoint.got.has('Policy istio-egress/readers'),
    'unbound',
  );
  waypoint.end();
  curious.end();
});

test('CP-046: the token of a pod that is gone opens nothing', async ({ store, plane }) => {
  store.apply(waypointPod(true));
  const first = await connect(plane, POD, 'waypoint');
  first.end();
  store.apply([], ['Pod/istio-egress/waypoint-1']);
  const abort = new AbortController();
  let reason: string | undefined;
  const client = startAdsClient({
    address: `127.0.0.1:${plane.port}`,
    roots: plane.rootCertificates,
    token: () => plane.issueToken(POD),
    clusterId: 'Kubernetes',
    node: { id: 'test', metadata: {} },
    types: [{ typeUrl: ADDRESS, onUpdate: () => [] }],
    signal: abort.signal,
    log: createLogger({ level: 'off', format: 'plain', write: () => undefined }).scope('test'),
  });
  await until(() => (reason = client.lastError) !== undefined, 'refused');
  assert.match(reason ?? '', 'authenticate');
  abort.abort();
});

test('another trust domain waits for a restart, as the certificates that are out carry the old one', async ({
  source,
  plane,
}) => {
  source.apply(
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: "trustDomain: corp"}\n',
    'mesh.yaml',
  );
  await plane.settled();
  assert.is(plane.mesh?.inputs.mesh.trustDomain, 'cluster.local');
  assert.match(plane.mesh?.inputs.mesh.problems.join() ?? '', 'mesh.trustDomain: corp takes effect after a restart');
});

test('a quiet control plane writes nothing', async ({ source, store, plane, root }) => {
  source.apply(`${WAYPOINT}---${ENTRY}`, 'all.yaml');
  store.apply(waypointPod(true));
  await plane.settled();
  let changes = 0;
  store.subscribe((batch) => (changes += batch.length));
  await plane.settled();
  writeFileSync(join(root, 'mesh', 'empty.yaml'), '# nothing\n');
  source.scan();
  await plane.settled();
  assert.is(changes, 0);
});

test.run();
