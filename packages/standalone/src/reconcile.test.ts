import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { ObjectStore } from '@ambit/controlplane/collections/object-store';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { record } from './fields.ts';
import { Reconciler, templateHash } from './reconcile.ts';

const quiet: ScopedLogger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  trace: () => {},
  enabled: () => false,
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const deployment = (replicas: number, command: string): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    replicas,
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', command: [command] }] } },
  },
});

interface World {
  readonly store: ObjectStore;
  readonly statuses: Record<string, unknown>[];
  readonly pods: () => KubeObject[];
  readonly becomeReady: () => void;
}

function world(): World {
  const store = new ObjectStore();
  const statuses: Record<string, unknown>[] = [];
  const reconciler = new Reconciler({
    store,
    writer: {
      apply: async () => {},
      delete: async () => {},
      patchStatus: async (_kind, _namespace, _name, status) => void statuses.push(status),
    },
    removePod: async (namespace, name) => store.apply([], [`Pod/${namespace}/${name}`]),
    log: quiet,
  });
  reconciler.start();
  const pods = (): KubeObject[] => [...store.list('Pod')];
  const becomeReady = (): void =>
    store.apply(pods().map((pod) => ({ ...pod, status: { conditions: [{ type: 'Ready', status: 'True' }] } })));
  return { store, statuses, pods, becomeReady };
}

test('pods are shaped as Kubernetes shapes them through a ReplicaSet', async () => {
  const { store, pods } = world();
  store.apply([deployment(2, 'a')]);
  await turn();
  const hash = templateHash(deployment(2, 'a'));
  assert.is(pods().length, 2);
  for (const { metadata, spec } of pods()) {
    assert.match(metadata.name, new RegExp(`^web-${hash}-[a-z0-9]{5}$`));
    assert.is(metadata.generateName, `web-${hash}-`);
    assert.equal(metadata.labels, { app: 'web', 'pod-template-hash': hash });
    assert.equal(
      [metadata.ownerReferences?.[0]?.kind, metadata.ownerReferences?.[0]?.name],
      ['ReplicaSet', `web-${hash}`],
    );
    assert.equal([record(spec)['nodeName'], record(spec)['serviceAccountName']], ['local', 'default']);
  }
});

test('old pods go when new ones are ready', async () => {
  const { store, pods, becomeReady } = world();
  store.apply([deployment(1, 'a')]);
  await turn();
  becomeReady();
  await turn();
  store.apply([deployment(1, 'b')]);
  await turn();
  assert.is(pods().length, 2);
  becomeReady();
  await turn();
  await turn();
  assert.equal(
    pods().map((pod) => pod.metadata.labels?.['pod-template-hash']),
    [templateHash(deployment(1, 'b'))],
  );
});

test('a deployment that goes takes its pods with it', async () => {
  const { store, pods, statuses, becomeReady } = world();
  store.apply([deployment(2, 'a')]);
  await turn();
  becomeReady();
  await turn();
  assert.equal([statuses.at(-1)?.['readyReplicas'], statuses.at(-1)?.['unavailableReplicas']], [2, 0]);
  store.apply([], ['Deployment/shop/web']);
  await turn();
  assert.is(pods().length, 0);
});

test('the order of keys in a template is no change', () => {
  const a = { ...deployment(1, 'a'), spec: { template: { spec: { x: 1, y: 2 } } } };
  const b = { ...deployment(1, 'a'), spec: { template: { spec: { y: 2, x: 1 } } } };
  assert.is(templateHash(a), templateHash(b));
  assert.is.not(templateHash(a), templateHash(deployment(1, 'a')));
});

test('every namespace has its default service account', async () => {
  const { store } = world();
  store.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }]);
  await turn();
  assert.ok(store.get('ServiceAccount', 'shop', 'default'));
});

test.run();
