import { createLogger } from '@ambit/common/telemetry/log';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../collections/object.ts';
import { ObjectStore } from '../collections/object-store.ts';
import { Publisher } from '../publish.ts';
import { ResourceStore } from '../serve/resources.ts';
import { inputReader } from './inputs.ts';
import { meshDeriver } from './mesh.ts';

const PODS = 3000;
const SERVICES = 300;
const namespaceOf = (i: number): string => `ns-${i % 20}`;

const pod = (i: number, ready = 'True'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `pod-${i}`, namespace: namespaceOf(i), uid: `uid-${i}`, labels: { app: `app-${i % SERVICES}` } },
  spec: { serviceAccountName: `sa-${i % SERVICES}`, containers: [{ name: 'c' }] },
  status: { podIP: `10.244.${i >> 8}.${i & 255}`, conditions: [{ type: 'Ready', status: ready }] },
});
const service = (i: number): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: `svc-${i}`, namespace: namespaceOf(i) },
  spec: {
    selector: { app: `app-${i}` },
    clusterIPs: [`10.96.${i >> 8}.${i & 255}`],
    ports: [{ port: 80, name: 'http' }],
  },
});

test('one changed pod is served for a fraction of what the whole mesh costs, and touches nothing else', () => {
  const store = new ObjectStore();
  store.apply(Array.from({ length: PODS }, (_, i) => pod(i)));
  store.apply(Array.from({ length: SERVICES }, (_, i) => service(i)));
  const [read, derive, resources] = [inputReader(store, 'cluster.local'), meshDeriver(), new ResourceStore()];
  const publisher = new Publisher(resources, createLogger({ level: 'error', format: 'plain' }).scope('test'));
  let served = 0;
  resources.onCommit((names) => (served += [...names.values()].reduce((sum, one) => sum + one.size, 0)));
  const round = (): number => {
    const start = process.cpuUsage();
    publisher.publish(derive(read()));
    const { user, system } = process.cpuUsage(start);
    return user + system;
  };
  const whole = round();
  assert.is(served, PODS + SERVICES);
  served = 0;
  const changes = Array.from({ length: 9 }, (_, i) => {
    store.apply([pod(i, 'False')]);
    return round();
  });
  assert.is(served, changes.length, 'one resource per change');
  const usual = changes.sort((a, b) => a - b)[4] ?? whole;
  assert.ok(usual * 5 < whole, `a change took ${usual} µs, everything ${whole} µs`);
});

test.run();
