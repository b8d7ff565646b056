// deadline: 120s
/** Mistakes in files, and pods that do not run: each is told where it is, and everything else goes on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { at, kind, TestMesh, until } from '../harness/mesh.ts';
import { MISTAKES } from './bad-input-yaml.ts';
import { AMBIENT, deployment, namespace, service, yaml } from './traffic-scenario.ts';

const EXIT_DATA = 65;

const failing = (name: string, container: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: sick }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: example/${name}:1
      ${container}
`;

const entry = (port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: shop, namespace: egress }
spec:
  hosts: [shop.example.org]
  resolution: DNS
  ports: [{ number: ${port}, name: http, protocol: HTTP }]
`;

const OBJECTS = yaml(
  namespace('shop', AMBIENT),
  namespace('egress'),
  namespace('sick'),
  deployment('shop', 'client'),
  deployment('shop', 'server', true),
  service('shop', 'peer', 'server'),
  failing('ends', `command: [sh, -c, 'echo reading settings; echo no such file: settings.json >&2; exit 3']`),
  failing(
    'deaf',
    `command: [sh, -c, 'echo listening nowhere; sleep infinity']
      readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1, failureThreshold: 1 }`,
  ),
);

const mesh = new TestMesh({ yaml: yaml(OBJECTS, entry(80)) });

test.before(async () => {
  await mesh.start();
});
test.after(async () => {
  assert.equal(await mesh.stop(), [], 'left behind');
});

const port = async (): Promise<unknown> =>
  at(await mesh.api.get(kind('serviceentries'), 'egress', 'shop'), 'spec.ports.0.number');

for (const mistake of MISTAKES) {
  test(`apply refuses ${mistake.name}: exit 65, place, field and what was expected`, async () => {
    const file = join(mesh.root, 'mistake.yaml');
    // a good object before it: a file is taken whole or not at all
    const good = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: good, namespace: egress }\n---\n';
    writeFileSync(file, good + mistake.yaml);
    const ran = await mesh.cli('apply', '-f', file);
    assert.is(ran.code, EXIT_DATA, ran.out + ran.err);
    const line = mistake.line + good.split('\n').length - 1;
    const place = `${file}:${line}:${mistake.column}: ${mistake.field === '' ? '' : `${mistake.field}: `}`;
    const told = (ran.out + ran.err).split('\n').filter((text) => text.includes(file));
    assert.is(told.length, 1, `one sentence:\n${told.join('\n')}`);
    assert.ok(told[0]?.includes(place), `${told[0]} is not at ${place}`);
    assert.match(told[0] ?? '', mistake.expected);
    const maps = await mesh.api.list(kind('configmaps'), 'egress');
    assert.not(
      maps.some((one) => one.metadata.name === 'good'),
      'nothing of the file was taken',
    );
  });
}

test('all mistakes of a file are told at once', async () => {
  const file = join(mesh.root, 'mistakes.yaml');
  writeFileSync(
    file,
    MISTAKES.filter(({ line }) => line > 4)
      .map((one) => one.yaml)
      .join('---\n'),
  );
  const ran = await mesh.cli('apply', '-f', file);
  assert.is(ran.code, EXIT_DATA);
  const told = (ran.out + ran.err).split('\n').filter((text) => text.includes(file));
  assert.is(told.length, MISTAKES.filter(({ line }) => line > 4).length, told.join('\n'));
});

test('a mistake in the folder: status tells it, the last good version stays in force, and a correction is taken', async () => {
  writeFileSync(
    mesh.yamlFile,
    yaml(OBJECTS, entry(80).replace('DNS', 'SOMETIMES').replace('number: 80', 'number: 81')),
  );
  const line =
    readFileSync(mesh.yamlFile, 'utf8')
      .split('\n')
      .findIndex((text) => text.includes('SOMETIMES')) + 1;
  const status = await until('the mistake in the status', async () => {
    const ran = await mesh.cli('status');
    return ran.out.includes('SOMETIMES') && ran;
  });
  assert.is(status.code, 1);
  assert.match(status.out, `${mesh.yamlFile}:${line}:15: spec.resolution: expected one of NONE, STATIC, DNS`);
  assert.match(status.out, 'the last good version is in force');
  assert.is(await port(), 80);
  assert.is((await mesh.curl('shop/client', 'http://peer/')).status, 200);
  writeFileSync(mesh.yamlFile, yaml(OBJECTS, entry(82)));
  await until('the corrected file', async () => (await port()) === 82);
  assert.not.match((await mesh.cli('status')).out, /SOMETIMES|last good version/);
});

test('a process that exits at once is named with its exit code and last lines', async () => {
  const { out, code } = await until('the pod in trouble', async () => {
    const ran = await mesh.cli('status');
    return ran.out.includes('sick/ends') && ran;
  });
  assert.is(code, 1);
  assert.match(
    out,
    /✘ pod sick\/ends: (CrashLoopBackOff|Error), .*exited with 3\n( +\| .*\n)* +\| no such file: settings\.json\n/,
  );
  assert.match(out, / {4}\| reading settings\n/);
});

test('a pod that does not become ready is named with its probe and last lines', async () => {
  const { out } = await until(
    'the pod in trouble',
    async () => {
      const ran = await mesh.cli('status');
      return /✘ pod sick\/deaf/.test(ran.out) && ran;
    },
    40_000,
  );
  assert.match(out, /✘ pod sick\/deaf: NotReady, .*(probe|8080).*\n +\| listening nowhere/);
});

test('the rest of the mesh runs beside them', async () => {
  const reply = await mesh.curl('shop/client', 'http://peer/');
  assert.is(reply.status, 200, reply.err);
  assert.match(
    await mesh.log('istio-system/ztunnel'),
    /src\.workload="client-.*dst\.workload="server-.*direction="inbound"/,
  );
});

test('a second mesh with the same state folder is refused in one sentence, and the first goes on', async () => {
  const ran = await mesh.cli('up', 'examples/bookshop');
  assert.is(ran.code, 1, ran.out + ran.err);
  const told = ran.err
    .trim()
    .split('\n')
    .filter((line) => /already running/.test(line));
  assert.is(told.length, 1, ran.err);
  assert.match(told[0] ?? '', new RegExp(`${mesh.stateDir} \\(process ${mesh.pid}\\).*"ambit down" ends it`));
  assert.is((await mesh.curl('shop/client', 'http://peer/')).status, 200);
});

test.run();
