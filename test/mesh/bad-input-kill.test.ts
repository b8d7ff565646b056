// deadline: 150s
/** `kill -9` of every process in the middle of things, and machines that were rebooted. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { at, kind, REPOSITORY, TestMesh, until } from '../harness/mesh.ts';
import { alive, meshProcesses, processesNaming, processNamed } from '../harness/leftovers.ts';

const STEPS = join(REPOSITORY, 'examples/egress/steps');
const URL = 'http://httpbin.org/get';
const mesh = new TestMesh({ folders: ['examples/egress'], outside: true });

test.before(async () => {
  const ran = await mesh.up();
  if (ran.code !== 0) console.error(ran.err);
  await mesh.label('namespaces', undefined, 'default', { 'istio.io/dataplane-mode': 'ambient' });
  await mesh.cli('waypoint', 'apply', '--enroll-namespace', '--wait', '-n', 'istio-egress');
  await mesh.applyFile(join(STEPS, '4-httpbin.yaml'));
  await viaWaypoint();
});
test.after(async () => {
  assert.equal(await mesh.stop(), [], 'left behind');
});

const viaWaypoint = (): Promise<void> =>
  until(
    'the whole way through the mesh',
    async () => {
      const reply = await mesh.curl('default/curl', URL);
      return reply.status === 200 && reply.headers.get('server') === 'istio-envoy';
    },
    20_000,
  ).then(() => undefined);

function kill(program: string): void {
  const pid = processNamed(mesh.pid, program);
  if (pid === undefined) throw new Error(`no process ${program}`);
  process.kill(pid, 'SIGKILL');
}

/** What must be the same after whatever happens. */
async function lasting(): Promise<unknown> {
  const entry = await mesh.api.get(kind('serviceentries'), 'istio-egress', 'httpbin');
  const service = await mesh.api.get(kind('services'), 'apps', 'echo');
  const root = await mesh.api.get(kind('configmaps'), 'default', 'istio-ca-root-cert');
  return {
    vips: at(entry, 'status.addresses'),
    ips: service.spec?.['clusterIPs'],
    root: root.data?.['root-cert.pem'],
    uid: entry.metadata.uid,
  };
}

/** Kills the mesh as a whole, in one of its processes, and waits until the kernel has ended the rest. */
async function killMesh(pid: number): Promise<void> {
  const processes = meshProcesses(mesh.pid);
  process.kill(pid, 'SIGKILL');
  await until('the end of every process', async () => {
    const living = [...alive(processes), ...processesNaming(mesh.stateDir)];
    if (living.length > 0) throw new Error(living.join('; '));
    return true;
  });
}

const leftovers = (): string[] => ['run', 'api.sock', 'lock'].filter((name) => existsSync(join(mesh.stateDir, name)));

test('the node agent: it is started again, pods stay captured, status counts the restart', async () => {
  kill('ztunnel/src/main.ts');
  await viaWaypoint();
  const status = await until('a ready agent', async () => {
    const now = await mesh.api.status();
    return now.programs.find((one) => one.name === 'ztunnel' && one.ready && one.restarts === 1);
  });
  assert.ok(status);
  const pods = await mesh.api.list(kind('pods'), 'default');
  assert.ok(pods.every((pod) => pod.metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled'));
});

test('the waypoint: it is started again in its pod, and no traffic passes it by', async () => {
  const before = await mesh.pod('istio-egress/waypoint');
  kill('waypoint/src/main.ts');
  const seen: string[] = [];
  await until('the waypoint', async () => {
    const reply = await mesh.curl('default/curl', '-m', '3', URL);
    if (reply.status === 200) seen.push(reply.headers.get('server') ?? '');
    return reply.status === 200;
  });
  assert.equal([...new Set(seen)], ['istio-envoy'], 'never directly');
  const after = await mesh.pod('istio-egress/waypoint');
  assert.is(after.metadata.uid, before.metadata.uid);
  assert.is(at(after, 'status.containerStatuses.0.restartCount'), 1);
});

test('an application: it is started again and stays captured', async () => {
  const pid = processNamed(mesh.pid, "require('node:http')");
  assert.ok(pid);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await until(
    'the restart',
    async () => at(await mesh.pod('apps/echo'), 'status.containerStatuses.0.restartCount') === 1,
  );
  await until('its answer', async () => (await mesh.curl('default/curl', 'http://echo.apps/')).status === 200);
});

test('the control plane and everything with it: the next up is the same mesh again', async () => {
  const before = await lasting();
  const pid = processNamed(mesh.pid, 'standalone/src/main.ts');
  assert.ok(pid);
  await killMesh(pid ?? 0);
  assert.ok(leftovers().length > 0, 'kill -9 leaves files');
  const { err } = await mesh.up();
  assert.match(err, /^removed .*socket/m);
  assert.match(err, `(${join(mesh.stateDir, 'run')})`);
  assert.equal(await lasting(), before);
  await viaWaypoint();
});

test('the first process: the kernel ends the rest, and down removes what is left and says so', async () => {
  const before = await lasting();
  await killMesh(mesh.pid);
  const down = await mesh.cli('down');
  assert.is(down.code, 0);
  assert.match(down.out, /^removed .*api\.sock/m);
  assert.match(down.out, /^removed .*lock of a mesh that is no longer running/m);
  assert.equal(leftovers(), []);
  assert.is((await mesh.cli('down')).out, 'no mesh was running, nothing was left of one\n');
  assert.not.match((await mesh.up()).err, /removed/);
  assert.equal(await lasting(), before);
  await viaWaypoint();
});

test('a rebooted machine: a lock of an earlier boot holds nobody, even if its process id is in use again', async () => {
  const before = await lasting();
  await killMesh(mesh.pid);
  const lock = join(mesh.stateDir, 'lock');
  const held: unknown = JSON.parse(readFileSync(lock, 'utf8'));
  const reused = {
    ...(typeof held === 'object' ? held : {}),
    pid: process.pid,
    bootId: '00000000-0000-4000-8000-000000000000',
  };
  writeFileSync(lock, JSON.stringify(reused));
  assert.match((await mesh.up()).err, /^removed .*lock/m);
  assert.equal(await lasting(), before);
});

test('a file that was half written when the power went does not keep the mesh from starting', async () => {
  const before = await lasting();
  await killMesh(mesh.pid);
  writeFileSync(join(mesh.stateDir, 'lock'), '{"pid": 12');
  const objects = join(mesh.stateDir, 'objects');
  const [name = ''] = readdirSync(objects);
  writeFileSync(join(objects, `${name}.tmp`), 'apiVersion: v1\nkind: Nam');
  assert.is((await mesh.up()).code, 0);
  assert.equal(await lasting(), before);
  await viaWaypoint();
});

test('ambit up in the foreground, killed while it starts and while it runs: the mesh ends with it', async () => {
  const before = await lasting();
  await mesh.cli('down');
  for (const moment of ['lock', 'run', 'api.sock']) {
    const up = mesh.upInForeground();
    await until(moment, async () => existsSync(join(mesh.stateDir, moment)));
    up.kill('SIGKILL');
    await until('the end of every process', async () => {
      const living = processesNaming(mesh.stateDir);
      if (living.length > 0) throw new Error(living.join('; '));
      return true;
    });
  }
  const { code, err } = await mesh.up();
  assert.is(code, 0, err);
  assert.equal(await lasting(), before);
  await viaWaypoint();
});

test.run();
