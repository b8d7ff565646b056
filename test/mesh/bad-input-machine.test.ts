// deadline: 90s
/** Machines that lack something, and things that are in use: one sentence that says what and how to get it, and nothing is left. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { machineTraces, processesNaming } from '../harness/leftovers.ts';
import { REPOSITORY, TestMesh } from '../harness/mesh.ts';
import { namespace } from './traffic-scenario.ts';

const CLI = join(REPOSITORY, 'packages/cli/src/main.ts');
const FOLDER = join(REPOSITORY, 'examples/bookshop');

const root = mkdtempSync(join(tmpdir(), 'ambit-test-'));
const before = machineTraces();

test.after(() => {
  rmSync(root, { recursive: true, force: true });
});

interface Lack {
  readonly name: string;
  /** What stands before `node`: the machine that lacks something. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly folder?: string;
  readonly state?: string;
  readonly sentence: RegExp;
  readonly code: number;
  /** Why it cannot be tried here. */
  readonly skip?: string | undefined;
}

const isRoot = process.getuid?.() === 0;
const userNamespaces = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true']).status === 0;
const needsRoot = isRoot ? undefined : 'needs root';
const namespaces = [...(isRoot ? [] : ['--user', '--map-root-user']), '--mount', '--net'];
const machine = (setUp: string): readonly string[] => [
  'unshare',
  ...namespaces,
  'sh',
  '-c',
  `${setUp} && exec "$@"`,
  'machine',
];
/** Covers a program by a file that cannot be run. */
const without = (tool: string): readonly string[] =>
  machine(`mount --bind /dev/null $(PATH=$PATH:/usr/sbin:/sbin command -v ${tool})`);
/** A user who is none but in name, on a machine that allows no user namespaces. */
const POWERLESS = 'unshare --user --map-root-user sh -c'
  .split(' ')
  .concat([
    'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
    'machine',
    'setpriv',
    '--bounding-set=-all',
    '--inh-caps=-all',
  ]);

const LACKS: readonly Lack[] = [
  {
    name: 'not Linux',
    env: { NODE_OPTIONS: `--import=data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})` },
    sentence: /this machine runs darwin, but pods are Linux network namespaces: use a Linux machine or virtual machine/,
    code: 1,
  },
  {
    name: 'no nft',
    prefix: without('nft'),
    sentence: /"nft" not found in PATH or sbin: install with "sudo apt-get install nftables"/,
    code: 1,
    skip: userNamespaces || isRoot ? undefined : 'needs namespaces',
  },
  {
    name: 'no ip',
    prefix: without('ip'),
    sentence: /"ip" not found in PATH or sbin: install with "sudo apt-get install iproute2"/,
    code: 1,
    skip: userNamespaces || isRoot ? undefined : 'needs namespaces',
  },
  {
    name: 'no user namespaces for a user without root',
    prefix: POWERLESS,
    sentence: /no user namespaces are allowed: run as root, or "sudo sysctl user\.max_user_namespaces=10000"/,
    code: 1,
    skip: userNamespaces ? undefined : 'needs user namespaces',
  },
  {
    name: 'an address range in use, for --internet',
    prefix: machine('ip link add other type bridge && ip addr add 169.254.244.9/24 dev other && ip link set other up'),
    flags: ['--internet'],
    sentence: /the range 169\.254\.244\.0\/30, .* is in use here: 169\.254\.244\.0\/24 dev other/,
    code: 1,
    skip: needsRoot,
  },
  {
    name: 'the link of another mesh, for --internet',
    prefix: machine('ip link add ambit-host type bridge'),
    flags: ['--internet'],
    sentence: /the link ambit-host exists already: .*"ip link del ambit-host"/,
    code: 1,
    skip: needsRoot,
  },
  {
    name: 'a folder that does not exist',
    folder: join(root, 'nowhere'),
    sentence: /nowhere does not exist: name a folder or a file of YAML/,
    code: 1,
  },
  {
    name: 'a state folder that pods cannot see',
    state: '/run/ambit-test-state',
    sentence: /the state folder \/run\/ambit-test-state lies under \/run.*: choose another with --state/,
    code: 1,
  },
  {
    name: 'a state folder with too long a path',
    state: join(root, 'x'.repeat(90)),
    sentence: /path is longer than \d+ bytes, too long for sockets in it: choose another with --state/,
    code: 1,
  },
];

for (const lack of LACKS) {
  const check = (): void => {
    const state = lack.state ?? join(root, 'state');
    const [program = '', ...words] = [
      ...(lack.prefix ?? []),
      process.execPath,
      CLI,
      'up',
      lack.folder ?? FOLDER,
      '--detach',
      ...(lack.flags ?? []),
    ];
    const ran = spawnSync(program, words, {
      encoding: 'utf8',
      env: { ...process.env, ...lack.env, AMBIT_STATE: state, NO_COLOR: '1' },
      timeout: 20_000,
    });
    const told = ran.stderr.trim().split('\n');
    assert.is(told.length, 1, `one sentence:\n${ran.stderr}${ran.stdout}`);
    assert.match(told[0] ?? '', lack.sentence);
    assert.is(ran.status, lack.code);
    assert.not(
      existsSync(join(state, 'lock')) || existsSync(join(state, 'run')) || existsSync(join(state, 'api.sock')),
    );
    assert.equal(processesNaming(state), []);
    assert.equal(machineTraces(), before);
  };
  if (lack.skip === undefined) test(`${lack.name}: one sentence, nothing left`, check);
  else test.skip(`${lack.name}: ${lack.skip}`, check);
}

test('YAML that is wrong from the start: the mesh runs without it, and up says where', async () => {
  const mesh = new TestMesh({
    yaml: `${namespace('shop')}---\napiVersion: v1\nkind: Service\nmetadata: { name: x, namespace: shop }\nspec: { ports: 7 }\n`,
  });
  try {
    const ran = await mesh.up();
    assert.is(ran.code, 65, ran.err);
    const lines = ran.err.split('\n').filter((line) => line.includes(mesh.yamlFile));
    assert.is(lines.length, 1, ran.err);
    assert.ok((await mesh.api.status()).programs.every((one) => one.ready));
    assert.match(lines[0] ?? '', `${mesh.yamlFile}:9:16: spec.ports: expected a list, found 7`);
  } finally {
    assert.equal(await mesh.stop(), [], 'left behind');
  }
});

test('ports that are in use on the machine do not matter: the mesh has its own', async () => {
  const servers = [15_008, 15_012, 15_020, 15_021, 15_053].map((port) =>
    createServer()
      .listen(port, '127.0.0.1')
      .on('error', () => undefined),
  );
  const mesh = new TestMesh({ yaml: namespace('shop') });
  try {
    await mesh.start();
    assert.ok((await mesh.api.status()).programs.every((one) => one.ready));
  } finally {
    for (const server of servers) server.close();
    assert.equal(await mesh.stop(), [], 'left behind');
  }
});

test('a state folder whose certificate authority is broken: one sentence that names the file, and the file stays', async () => {
  const mesh = new TestMesh({ yaml: namespace('shop') });
  try {
    await mesh.up();
    await mesh.cli('down');
    const ca = join(mesh.stateDir, 'ca');
    const [file = ''] = readdirSync(ca).filter((name) => name === 'ca.pem');
    writeFileSync(join(ca, file), 'not a certificate');
    const ran = await mesh.up();
    assert.is(ran.code, 1, ran.out);
    const told = ran.err.split('\n').filter((line) => line.includes(ca));
    assert.is(told.length, 1, ran.err);
    assert.ok(readdirSync(ca).includes(file));
  } finally {
    mkdirSync(mesh.stateDir, { recursive: true });
    assert.equal(await mesh.stop(), [], 'left behind');
  }
});

test.run();
