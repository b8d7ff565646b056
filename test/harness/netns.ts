/**
 * Runs a test file inside network, mount and process namespaces of its own, so that it may do what it likes and nothing
 * of it reaches the machine or a test beside it; the kernel removes everything when the file ends.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Netns, openNetns } from '@ambit/common/linux/netns';
import { test } from 'uvu';

/** `root` needs to be root; `rootless` makes a user namespace; `any` takes the first that works. */
export type NamespaceMode = 'root' | 'rootless' | 'any';

const INSIDE = 'AMBIT_TEST_INSIDE';
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
/** The shell stays process 1: it reaps, and Node keeps ordinary signals. A writable /run is where `ip netns` keeps names. */
const INIT =
  'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && "$@"; code=$?; [ $code -eq 0 ] || exit $code';
const PROBE =
  'ip link add probe0 type veth peer name probe1 && ip link add probe2 type bridge && nft list tables >/dev/null';

/**
 * Call first in a test file: `if (enterNamespaces(import.meta.url)) { test(…) … }`. True inside. Outside, runs the file
 * inside and ends this process as it ended; where neither root nor user namespaces are to be had, registers one skipped
 * test that says why, and gives false.
 */
export function enterNamespaces(url: string, mode: NamespaceMode = 'any'): boolean {
  if (process.env[INSIDE] !== undefined) return true;
  const reasons = mode === 'root' && process.getuid?.() !== 0 ? ['not root'] : [];
  for (const candidate of candidates(mode)) {
    const reason = probe(candidate);
    if (reason === undefined) runInside(candidate, fileURLToPath(url));
    else reasons.push(reason);
  }
  console.log(`skipped, no ${mode === 'any' ? 'usable' : mode} namespaces: ${reasons.join('; ')}`);
  test.skip(`needs ${mode} namespaces`, () => undefined);
  return false;
}

function candidates(mode: NamespaceMode): string[][] {
  const root = NAMESPACES;
  const rootless = ['--user', '--map-root-user', ...NAMESPACES];
  if (mode === 'rootless') return [rootless];
  if (mode === 'root') return process.getuid?.() === 0 ? [root] : [];
  return process.getuid?.() === 0 ? [root, rootless] : [rootless];
}

function probe(flags: readonly string[]): string | undefined {
  const result = spawnSync('unshare', [...flags, 'sh', '-c', `${INIT}; ${PROBE}`, 'probe', 'true'], {
    encoding: 'utf8',
  });
  if (result.error !== undefined) return result.error.message;
  if (result.status === 0) return undefined;
  return result.stderr.trim().split('\n', 1).join('') || `unshare ended with ${result.status}`;
}

function runInside(flags: readonly string[], file: string): never {
  const command = ['sh', '-c', INIT, 'init', process.execPath, file];
  const result = spawnSync('unshare', [...flags, ...command], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  process.exit(result.status ?? 1);
}

/** Runs a program to its end, in a named namespace or in the test's own. */
export function run(netns: string | undefined, ...command: string[]): string {
  const [program = '', ...rest] = netns === undefined ? command : ['ip', 'netns', 'exec', netns, ...command];
  return execFileSync(program, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** One machine with a bridge; pods hang on it. */
export interface TestPod {
  readonly name: string;
  readonly path: string;
  readonly netns: Netns;
  readonly ipv4: string;
  readonly ipv6: string;
}

export const BRIDGE = 'ambit0';

/** Makes the bridge 10.244.0.1, fd00:10:244::1. */
export function makeBridge(): void {
  run(undefined, 'ip', 'link', 'add', BRIDGE, 'type', 'bridge');
  run(undefined, 'ip', 'address', 'add', '10.244.0.1/24', 'dev', BRIDGE);
  run(undefined, 'ip', 'address', 'add', 'fd00:10:244::1/64', 'dev', BRIDGE, 'nodad');
  run(undefined, 'ip', 'link', 'set', BRIDGE, 'up');
}

/** Makes a pod: a namespace with eth0 on the bridge, 10.244.0.<number> and fd00:10:244::<number>. */
export function makePod(name: string, number: number): TestPod {
  const ipv4 = `10.244.0.${number}`;
  const ipv6 = `fd00:10:244::${number}`;
  run(undefined, 'ip', 'netns', 'add', name);
  run(undefined, 'ip', 'link', 'add', `v${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  run(undefined, 'ip', 'link', 'set', `v${number}`, 'master', BRIDGE, 'up');
  run(name, 'ip', 'link', 'set', 'lo', 'up');
  run(name, 'ip', 'link', 'set', 'eth0', 'up');
  run(name, 'ip', 'address', 'add', `${ipv4}/24`, 'dev', 'eth0');
  run(name, 'ip', 'address', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
  run(name, 'ip', 'route', 'add', 'default', 'via', '10.244.0.1');
  run(name, 'ip', '-6', 'route', 'add', 'default', 'via', 'fd00:10:244::1');
  const path = `/run/netns/${name}`;
  return { name, path, netns: openNetns(path), ipv4, ipv6 };
}
