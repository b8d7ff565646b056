// deadline: 120s
import { setTimeout as sleep } from 'node:timers/promises';
import { stopMesh } from '@ambit/standalone/down';
import { PROGRAMS } from '@ambit/standalone/programs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findBelow, memoryOf } from '../../bench/processes.ts';
import { Bench, kind, readyPod, until } from './standalone-scenario.ts';

/** What the node agent and a waypoint may hold when nothing happens, pages of the Node binary included. */
const LIMIT_MB = 90;
/** The garbage of a start is gone a few seconds after it. */
const IDLE_MS = 15_000;

const pod = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: example/${name}:1, command: [sleep, infinity] }]`;

const OBJECTS = [
  `apiVersion: v1
kind: Namespace
metadata: { name: default, labels: { istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint } }`,
  `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: default }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }`,
  `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: example, namespace: default }
spec:
  hosts: [example.org]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{ address: 203.0.113.10 }]
  ports: [{ number: 80, name: http, protocol: HTTP }]`,
  ...['one', 'two', 'three', 'four'].map(pod),
].join('\n---\n');

const bench = new Bench(OBJECTS);

test.after(async () => {
  await stopMesh({ stateDir: bench.stateDir });
  bench.remove();
});

for (const start of ['first', 'second'])
  test(`after its ${start} start an idle mesh needs at most ${LIMIT_MB} MB per program`, async () => {
    const mesh = await bench.start();
    await readyPod(mesh.api, 'default', 'waypoint');
    await until('capture of all pods', async () =>
      (await mesh.api.list(kind('pods'), 'default'))
        .filter(({ metadata }) => !metadata.name.startsWith('waypoint'))
        .every(({ metadata }) => metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled'),
    );
    await sleep(IDLE_MS);
    for (const program of ['ztunnel', 'waypoint'] as const) {
      const [pid] = findBelow(mesh.pid, PROGRAMS[program]);
      assert.ok(pid !== undefined, `a process of ${program}`);
      const { rss, anonymous } = memoryOf(pid ?? 0);
      const measured = `${program}: ${rss.toFixed(1)} MB resident, ${anonymous.toFixed(1)} of them its own`;
      console.log(measured);
      assert.ok(rss <= LIMIT_MB, `${measured}; at most ${LIMIT_MB} MB`);
    }
    await stopMesh({ stateDir: bench.stateDir });
  });

test.run();
