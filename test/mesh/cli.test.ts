// deadline: 120s
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const MAIN = new URL('../../packages/cli/src/main.ts', import.meta.url).pathname;
const FOLDER = mkdtempSync(join(tmpdir(), 'ambit-cli-'));
const STATE = join(FOLDER, 'state');
const YAML = join(FOLDER, 'mesh');
const COMMAND_DEADLINE_MS = 60_000;

const MESH = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: client, namespace: shop, labels: { app: client } }
spec:
  replicas: 1
  selector: { matchLabels: { app: client } }
  template:
    metadata: { labels: { app: client } }
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{ name: main, image: example/client:1, command: [sh, -c, "echo hello from the client; exec sleep 600"] }]
`;
const ENTRY = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api, namespace: shop }
spec:
  hosts: [api.example.org]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP }]
`;

interface Ran {
  readonly code: number | null;
  readonly bytes: Buffer;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the CLI as a process; `until` ends it when its output matches, as Ctrl-C would. */
async function ambit(words: string, options: { input?: string | Buffer; until?: RegExp } = {}): Promise<Ran> {
  const split = words.indexOf(' -- ');
  const own = (split < 0 ? words : words.slice(0, split)).split(' ');
  const rest = split < 0 ? [] : ['--', 'sh', '-c', words.slice(split + 4)];
  const child = spawn(process.execPath, [MAIN, ...own, ...rest], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, AMBIT_STATE: STATE },
    timeout: COMMAND_DEADLINE_MS,
    cwd: FOLDER,
  });
  const chunks: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (options.until?.test(Buffer.concat(chunks).toString()) === true) child.kill('SIGINT');
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => undefined); // EPIPE: a command that does not read its input
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const bytes = Buffer.concat(chunks);
  return { code, bytes, stdout: bytes.toString(), stderr };
}

/** One row of a table of command lines: exit code, what stdout and stderr look like. */
type Row = readonly [words: string, code: number, stdout: RegExp, stderr?: RegExp | undefined, input?: string];

async function check(rows: readonly Row[]): Promise<void> {
  for (const [words, code, stdout, stderr, input] of rows) {
    const ran = await ambit(words, input === undefined ? {} : { input });
    assert.is(ran.code, code, `ambit ${words}: ${ran.stdout}${ran.stderr}`);
    assert.match(ran.stdout, stdout, `ambit ${words}: ${ran.stderr}`);
    assert.match(ran.stderr, stderr ?? /^$/, `ambit ${words}`);
  }
}

const NOTHING = /^$/;
const isRoot = process.getuid?.() === 0;

if (!isRoot) test.skip('the command line against a mesh (not root)', () => undefined);
else {
  test.before(async () => {
    mkdirSync(YAML);
    writeFileSync(join(YAML, 'mesh.yaml'), MESH);
    const { code, stdout, stderr } = await ambit(`up ${YAML} --detach`);
    assert.is(code, 0, stderr);
    assert.match(stdout, /^✔ the mesh runs: 2 of 2 pods ready, state in /);
  });

  test.after(async () => {
    const { code, stdout } = await ambit('down');
    rmSync(FOLDER, { recursive: true, force: true });
    assert.is(code, 0);
    assert.is(stdout, 'the mesh has ended\n');
  });

  test('help, version and words that are not understood', () =>
    check([
      ['--help', 0, /Commands:\n {2}up /],
      ['help waypoint apply', 0, /Usage:\n {2}ambit waypoint apply \[flags\]/],
      ['version -o json', 0, /"clientVersion": "[\d.]+",\n {2}"node": "v\d+.*",\n {2}"meshVersion"/],
      ['version -o name', 64, NOTHING, /expected wide\|json\|yaml/],
      ['stauts', 64, NOTHING, /did you mean "status"\?\nSee 'ambit --help'/],
      ['get podz', 64, NOTHING, /did you mean "pods" or "pod" or /],
      ['waypoint list extra', 64, NOTHING, /unexpected argument "extra"/],
      ['completion bash', 0, /complete -F _ambit ambit\n$/],
      ['completion tcsh', 64, NOTHING, /bash, zsh or fish, not "tcsh"/],
      ['up /nowhere/at/all --state other', 1, NOTHING, /does not exist/],
    ]));

  test('status', () =>
    check([
      ['status', 0, /^mesh [\d.]+, pid \d+, .*\n✔ control plane.*\n✔ ztunnel.*\n✔ pods: 2 of 2 ready\n✔ files: /],
      ['status -o json', 0, /"settled": true/],
      ['status --state /nowhere', 1, NOTHING, /no mesh is running here .*ambit up FOLDER/],
    ]));

  test('a mesh that is left running tells by its exit code that its YAML is refused or its pods fail', async () => {
    const state = join(FOLDER, 'second');
    const pod = `apiVersion: v1\nkind: Pod\nmetadata: { name: crash }\nspec: { containers: [{ name: a, image: x, command: [sh, -c, "echo boom; exit 3"] }] }\n`;
    writeFileSync(join(FOLDER, 'refused.yaml'), ENTRY.replace('[api.example.org]', 'x'));
    writeFileSync(join(FOLDER, 'crash.yaml'), pod);
    const hint = '"ambit status" shows how it is, "ambit down" ends it';
    await check([
      [
        `up refused.yaml -d --state ${state}`,
        65,
        /^✔ the mesh runs: 1 of 1/,
        /refused\.yaml:6:10: spec\.hosts: expected a list[^]*nothing of .* is in force yet/,
      ],
      [`up refused.yaml -d --state ${state}`, 1, NOTHING, /a mesh is already running with the state folder/],
      [`down --state ${state}`, 0, /^the mesh has ended\n$/, /^.*$/s],
      [
        `up crash.yaml -d --state ${state}`,
        1,
        /✘ pod default\/crash: CrashLoopBackOff, .*\n {4}\| boom\n$/,
        new RegExp(hint),
      ],
      [`status --state ${state}`, 1, /✘ pods: 1 of 2 ready/],
      [`down --state ${state}`, 0, /^the mesh has ended\n$/, /^.*$/s],
      [`down --state ${state}`, 0, /^no mesh was running, nothing was left of one\n$/],
    ]);
  });

  test('apply takes files, folders and standard input, whole or not at all', async () => {
    writeFileSync(join(FOLDER, 'entry.yaml'), ENTRY);
    mkdirSync(join(FOLDER, 'many'), { recursive: true });
    writeFileSync(join(FOLDER, 'many', '1.yaml'), ENTRY);
    await check([
      ['apply -f entry.yaml --dry-run', 0, /^serviceentry\/api created \(dry run\)\n$/],
      ['apply -f entry.yaml --dry-run=server -o name', 0, /^serviceentry\/api\n$/],
      ['apply -f entry.yaml', 0, /^serviceentry\/api created\n$/],
      ['apply -f many -o json', 0, /"action": "unchanged"/],
      ['apply -f -', 0, /^serviceentry\/api configured\n$/, undefined, ENTRY.replace('80', '8080')],
      [
        'apply -f - -o wide',
        0,
        /^NAMESPACE {3}NAME {15}ACTION\nshop {8}serviceentry\/api {3}configured\n$/,
        undefined,
        ENTRY,
      ],
      [
        'apply -f -',
        65,
        NOTHING,
        /^error: standard input:6:10: spec\.hosts: expected a list/,
        ENTRY.replace(/\[api.*\]/, 'x'),
      ],
      ['apply -f -', 65, NOTHING, /^error: standard input:\d+:\d+: /, 'a: ['],
      ['apply -f nothing.yaml', 1, NOTHING, /no such file or folder/],
      ['apply', 64, NOTHING, /name files with -f/],
    ]);
  });

  test('get shows objects in every form', async () => {
    await check([
      [
        'get pods -n shop',
        0,
        /^NAME +READY +STATUS +RESTARTS +AMBIENT +IP +AGE\nclient-\S+ +1\/1 +Running +0 +enabled /,
      ],
      ['get po -A -o wide', 0, /^NAMESPACE .* IPS +SERVICE ACCOUNT +IMAGE +AGE\n/],
      ['get pods -n shop -l app=client -o name', 0, /^pod\/client-\S+\n$/],
      ['get pods -n shop -l app=other', 0, NOTHING, /^No pods found in shop namespace\.\n$/],
      ['get se,deploy -A', 0, /serviceentry\/api[^]*\n\nNAMESPACE[^]*deployment\/client/],
      [
        'get se/api -n shop -o yaml',
        0,
        /^apiVersion: networking\.istio\.io\/v1\nkind: ServiceEntry\nmetadata:\n {2}name: api\n[^]*\nspec:\n {2}hosts:\n {2}- api/,
      ],
      ['get se,deploy -n shop -o json', 0, /^\{\n {2}"apiVersion": "v1",\n {2}"kind": "List",/],
      ['get se api', 1, NOTHING, /not found in namespace "default"; there is one in "shop": choose it with -n/],
      ['get se api -A', 64, NOTHING, /cannot be named across all namespaces/],
      ['get', 64, NOTHING, /name a kind/],
    ]);
    const events = /EVENT +NAMESPACE[^]*ADDED +shop +api[^]*MODIFIED +shop +api/;
    const watching = ambit('get se -A -w --output-watch-events', { until: events });
    const relabel = setInterval(() => void ambit(`label se api -n shop at=${Date.now()} --overwrite`), 500);
    const { stdout } = await watching;
    clearInterval(relabel);
    assert.match(stdout, events);
  });

  test('label sets, keeps and removes', () =>
    check([
      ['label se api -n shop tier=1', 0, /^serviceentry\/api labeled\n$/],
      ['label se/api -n shop tier=1', 0, /^serviceentry\/api not labeled\n$/],
      ['label se api -n shop tier=2', 1, NOTHING, /tier is "1" already; --overwrite replaces it/],
      ['label se api -n shop tier=2 --overwrite -o json', 0, /"action": "labeled"/],
      ['label se api -n shop tier-', 0, /^serviceentry\/api unlabeled\n$/],
      ['label se api -n shop', 64, NOTHING, /key=value or key-/],
      ['label ns nowhere a=b', 1, NOTHING, /namespaces "nowhere" not found/],
    ]));

  test('exec passes exit codes, bytes and standard input', async () => {
    await check([
      ['exec deploy/client -n shop -- echo out; echo err >&2; exit 7', 7, /^out\n$/, /^err\n$/],
      ['exec deploy/client -n shop -- kill -9 $$', 137, NOTHING],
      ['exec deploy/client -- true', 1, NOTHING, /did you mean "deploy\/client -n shop"\?/],
      ['exec deploy/client', 64, NOTHING, /behind --, a command/],
      ['exec -i deploy/client -n shop -- wc -c', 0, /^ *5\n$/, undefined, 'abcde'],
    ]);
    const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
    const ran = await ambit('exec -i deploy/client -n shop -- cat', { input: bytes });
    assert.is(ran.code, 0);
    assert.ok(ran.bytes.equals(bytes), `${ran.bytes.length} of ${bytes.length} bytes came back`);
  });

  test('logs and metrics', async () => {
    await check([
      ['logs deploy/client -n shop', 0, /^hello from the client\n$/],
      ['logs ztunnel --tail 1', 0, /^[^\n]*\n$/],
      ['logs nobody', 1, NOTHING, /no pod for "nobody"/],
      ['logs ztunnel --tail x', 64, NOTHING, /--tail is a number/],
      ['metrics ztunnel istio_build', 0, /^istio_build\{component="\w+",tag="[^"]+"\} 1\n$/],
      ['metrics ztunnel nothing_such', 0, NOTHING, /begins with "nothing_such"/],
    ]);
    const followed = await ambit('logs deploy/client -n shop -f', { until: /hello/ });
    assert.is(followed.stdout, 'hello from the client\n');
  });

  test('a waypoint comes, serves the services of its namespace, and goes', () =>
    check([
      ['waypoint list -A', 0, /^No waypoints found\.\n$/],
      [
        'waypoint generate -n shop --for all',
        0,
        /^apiVersion: gateway[^]*labels:\n {4}istio\.io\/waypoint-for: all\n[^]*protocol: HBONE\n$/,
      ],
      ['waypoint apply --for much', 64, NOTHING, /Valid options are: \[all none service workload\]/],
      [
        'waypoint apply -n shop --enroll-namespace --wait',
        0,
        /applied\n✅ waypoint shop\/waypoint is ready!\n✅ namespace shop labeled with "istio\.io\/use-waypoint: waypoint"\n$/,
        /^( *[\d.]+ s {2}waiting .*\n)*$/,
      ],
      ['waypoint apply -n shop', 0, /^✅ waypoint shop\/waypoint applied\n$/],
      [
        'waypoint apply -n shop --enroll-namespace --name other',
        0,
        /^⚠️ Warning: namespace \(shop\) already has an enrolled Waypoint\. Consider adding the `--overwrite` flag/,
      ],
      [
        'waypoint apply --enroll-namespace -n default',
        0,
        /^⚠️ Warning: namespace is not enrolled in ambient\. Consider running\t`ambit label namespace default /,
      ],
      ['waypoint delete waypoint', 0, /^waypoint default\/waypoint deleted\n$/],
      [
        'waypoint list -A',
        0,
        /^NAMESPACE {5}NAME {9}REVISION {5}TRAFFIC TYPE {5}PROGRAMMED\nshop {10}waypoint {5}default {6}service {10}True\n$/,
      ],
      ['waypoint list -n shop -o json', 0, /"services": 1\n/],
      [
        'waypoint status -n shop',
        0,
        /^NAME {9}STATUS {5}TYPE {11}REASON {9}MESSAGE\nwaypoint {5}True {7}Programmed {5}Programmed/,
      ],
      ['waypoint status nope -n shop', 1, NOTHING, /waypoint shop\/nope not found/],
      ['get waypoints -A', 0, /SERVICES +ADDRESS +AGE\nshop +waypoint +service +True +1 +10\./],
      ['get serviceentries -n shop', 0, /WAYPOINT +BOUND +AGE\napi .* shop\/waypoint +True /],
      ['metrics waypoint istio_build -n shop', 0, /^istio_build\{component="proxy"/],
      ['waypoint delete', 64, NOTHING, /must specify a waypoint name or delete all using --all/],
      ['waypoint delete --all -n shop', 0, /^waypoint shop\/waypoint deleted\n$/],
    ]));

  test('delete by name, by file, by label', () =>
    check([
      ['delete se/api -n shop', 0, /^serviceentry "api" deleted\n$/],
      ['delete se api -n shop', 1, NOTHING, /"api" not found in namespace "shop"/],
      ['delete se api -n shop --ignore-not-found', 0, NOTHING],
      ['apply -f entry.yaml', 0, /created/],
      ['delete -f entry.yaml -o name', 0, /^serviceentry\/api\n$/],
      ['apply -f entry.yaml', 0, /created/],
      ['delete se --all -n shop', 0, /^serviceentry "api" deleted\n$/],
      ['delete se', 64, NOTHING, /name a kind and an object/],
    ]));
}

test.run();
