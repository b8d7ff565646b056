import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { podField } from './downward.ts';
import { type FindObject, resolveEnvironment } from './environment.ts';
import { quote } from './launch-script.ts';
import { type ContainerSpec, type PodSpec, readPodSpec } from './spec.ts';

const pod = (spec: Record<string, unknown>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-1', namespace: 'shop', uid: 'u', labels: { app: 'web' }, annotations: { note: 'n' } },
  spec: { nodeName: 'local', serviceAccountName: 'web', ...spec },
  status: { podIP: '10.244.0.2', podIPs: [{ ip: '10.244.0.2' }, { ip: 'fd00:10:244::2' }], hostIP: '10.244.0.1' },
});
const container = (change: Record<string, unknown>): Record<string, unknown> => ({
  name: 'main',
  image: 'x',
  command: ['run'],
  ...change,
});
const read = (change: Record<string, unknown>, spec: Record<string, unknown> = {}): PodSpec =>
  readPodSpec(pod({ containers: [container(change)], ...spec }));
const only = (spec: PodSpec): ContainerSpec => spec.containers[0] ?? assert.unreachable('a container') ?? only(spec);

test('what cannot run is said in one sentence', () => {
  const cases: readonly (readonly [spec: PodSpec, problem: RegExp])[] = [
    [readPodSpec(pod({ containers: [] })), /containers is empty/],
    [read({ command: undefined, args: ['x'] }), /names the image x but no command/],
    [read({ volumeMounts: [{ name: 'v', mountPath: '/v' }] }), /mounts "v", which spec.volumes does not have/],
    [
      read({ volumeMounts: [{ name: 'v', mountPath: 'v' }] }, { volumes: [{ name: 'v', emptyDir: {} }] }),
      /mountPath "v" is not absolute/,
    ],
    [read({}, { volumes: [{ name: 'v', nfs: {} }] }), /volume "v" is of a kind that is not supported/],
  ];
  for (const [spec, problem] of cases) assert.match(spec.problems.join('; '), problem);
  assert.equal(read({}).problems, []);
});

test('defaults are Kubernetes’', () => {
  const spec = read({
    readinessProbe: { httpGet: { port: 'http' } },
    ports: [{ name: 'http', containerPort: 81 }],
    resources: { limits: { cpu: 1 } },
  });
  assert.equal(
    [spec.restartPolicy, spec.terminationGraceMs, spec.hostname, spec.serviceAccount],
    ['Always', 30_000, 'web-1', 'web'],
  );
  assert.equal(only(spec).readiness, {
    check: { kind: 'http', port: 81, path: '/', https: false, headers: [] },
    initialDelayMs: 0,
    periodMs: 10_000,
    timeoutMs: 1000,
    failureThreshold: 3,
    successThreshold: 1,
  });
  assert.equal(spec.notes, ['resources are not enforced']);
});

test('volumes come from all their sources', () => {
  const spec = read(
    {},
    {
      volumes: [
        { name: 'a', configMap: { name: 'c', items: [{ key: 'k', path: 'p' }] } },
        { name: 'b', secret: { secretName: 's', defaultMode: 256 } },
        {
          name: 'c',
          projected: { sources: [{ serviceAccountToken: { path: 't', audience: 'x' } }, { configMap: { name: 'c' } }] },
        },
        { name: 'd', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        { name: 'e', hostPath: { path: '/srv' } },
      ],
    },
  );
  assert.equal(spec.problems, []);
  assert.equal(spec.volumes.get('a'), {
    kind: 'files',
    mode: 0o644,
    sources: [{ kind: 'ConfigMap', name: 'c', optional: false, items: [{ key: 'k', path: 'p' }] }],
  });
  assert.equal(spec.volumes.get('b'), {
    kind: 'files',
    mode: 0o400,
    sources: [{ kind: 'Secret', name: 's', optional: false, items: undefined }],
  });
  const projected = spec.volumes.get('c');
  assert.equal(projected?.kind === 'files' && projected.sources.map((one) => one.kind), ['token', 'ConfigMap']);
  assert.equal(spec.volumes.get('e'), { kind: 'host', path: '/srv' });
});

test('the downward API knows the pod', () => {
  const object = pod({});
  const cases: readonly (readonly [path: string, value: string | undefined])[] = [
    ['metadata.name', 'web-1'],
    ["metadata.labels['app']", 'web'],
    ["metadata.annotations['missing']", ''],
    ['metadata.labels', 'app="web"'],
    ['status.podIPs', '10.244.0.2,fd00:10:244::2'],
    ['status.hostIP', '10.244.0.1'],
    ['spec.nodeName', 'local'],
    ['spec.made.up', undefined],
  ];
  for (const [path, value] of cases) assert.is(podField(object, path), value, path);
});

const objects: Readonly<Record<string, KubeObject>> = {
  'ConfigMap/shop/settings': {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'settings' },
    data: { a: '1', b: '2' },
  },
  'Secret/shop/key': {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'key' },
    data: { word: Buffer.from('sesame').toString('base64') },
  },
};
const find: FindObject = (kind, namespace, name) => objects[`${kind}/${namespace ?? ''}/${name}`];
const environment = (
  env: readonly unknown[],
  change: Record<string, unknown> = {},
): ReturnType<typeof resolveEnvironment> =>
  resolveEnvironment(pod({}), only(read({ env, ...change })), { PATH: '/bin' }, find);

test('variables come from values, fields, keys and whole objects', () => {
  const ready = environment(
    [
      { name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'a' } } },
      { name: 'WORD', valueFrom: { secretKeyRef: { name: 'key', key: 'word' } } },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'BOTH', value: '$(A) $(X_b) $$(A) $(UNKNOWN)' },
      { name: 'NONE', valueFrom: { configMapKeyRef: { name: 'absent', key: 'a', optional: true } } },
    ],
    { envFrom: [{ prefix: 'X_', configMapRef: { name: 'settings' } }], command: ['run', '$(IP)'] },
  );
  assert.equal(ready, {
    kind: 'ready',
    env: { PATH: '/bin', X_a: '1', X_b: '2', A: '1', WORD: 'sesame', IP: '10.244.0.2', BOTH: '1 2 $(A) $(UNKNOWN)' },
    command: ['run', '10.244.0.2'],
  });
});

test('what is missing has a name', () => {
  const cases: readonly (readonly [valueFrom: unknown, message: RegExp])[] = [
    [{ configMapKeyRef: { name: 'absent', key: 'a' } }, /variable V: ConfigMap "absent" not found in namespace "shop"/],
    [{ secretKeyRef: { name: 'key', key: 'x' } }, /variable V: Secret "key" has no key "x"/],
    [{ fieldRef: { fieldPath: 'no' } }, /there is no pod field "no"/],
  ];
  for (const [valueFrom, message] of cases) {
    const result = environment([{ name: 'V', valueFrom }]);
    assert.match(result.kind === 'missing' ? result.message : '', message);
  }
});

test('no word leaves its quotes', () => {
  assert.is(quote("a'b; $(c)"), "'a'\\''b; $(c)'");
});

test.run();
