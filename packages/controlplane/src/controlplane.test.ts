import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@ambit/common/telemetry/log';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ObjectStore } from './collections/object-store.ts';
import { type ControlPlane, startControlPlane } from './controlplane.ts';
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
const waypointPod = (ready: boolean): Parameters<ObjectStore['apply']>[0] => [
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'waypoint-1',
      namespace: 'istio-egress',
      uid: 'pod-uid',
      labels: { 'gateway.networking.k8s.io/gateway-name': 'waypoint' },
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
