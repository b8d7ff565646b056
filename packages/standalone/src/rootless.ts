import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the preflight looks at; a parameter so that every lack can be tested. */
export interface MachineView {
  readonly platform: string;
  /** Root with the rights of root; a root without them, as in many containers, is served like any user. */
  readonly privileged: boolean;
  readonly path: string;
  /** Content of a file under /proc, or undefined. */
  readonly read: (file: string) => string | undefined;
  readonly executable: (file: string) => boolean;
}

/** Tools that the mesh calls, with the package that brings them on common distributions. */
const TOOLS: readonly (readonly [tool: string, packages: string])[] = [
  ['ip', 'iproute2'],
  ['nft', 'nftables'],
  ['unshare', 'util-linux'],
  ['nsenter', 'util-linux'],
  ['mount', 'mount (util-linux)'],
];

/** One sentence for each thing that the machine lacks: what is missing and how to get it. Empty when the mesh can run. */
export function preflight(machine: MachineView = thisMachine('')): string[] {
  if (machine.platform !== 'linux')
    return [
      `this machine runs ${machine.platform}, but pods are Linux network namespaces: use a Linux machine or virtual machine`,
    ];
  const problems: string[] = [];
  const missing = TOOLS.filter(([tool]) => findTool(machine, tool) === undefined);
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(([, name]) => name.split(' ')[0]))].join(' ');
    const names = missing.map(([tool]) => `"${tool}"`).join(', ');
    problems.push(
      `${names} not found in PATH or sbin: install with "sudo apt-get install ${packages}" (or dnf, apk, pacman)`,
    );
  }
  const lack = machine.privileged ? undefined : userNamespaceLack(machine);
  if (lack !== undefined) problems.push(lack);
  return problems;
}

/** The view of the machine this program runs on. */
export function thisMachine(path: string): MachineView {
  return {
    platform: process.platform,
    privileged: isPrivileged(readText('/proc/self/status') ?? ''),
    path,
    read: readText,
    executable: (file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false; // ENOENT or EACCES: not there for us
      }
    },
  };
}

const readText = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);

const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

/** Whether /proc/self/status tells of user 0 with the rights to make namespaces and networks. */
export function isPrivileged(status: string): boolean {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  const effective = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return uid === '0' && [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((bit) => (effective & (1n << bit)) !== 0n);
}

/** Directories searched besides PATH: users without root often lack the sbin ones. */
const SBIN = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/** The search path every program of the mesh gets: the user's, then the sbin directories. */
export const searchPath = (path: string): string =>
  [...new Set([...path.split(':').filter((part) => part !== ''), ...SBIN])].join(':');

/**
 * The command that gives what follows its own network, mount and process namespaces; without root also its own user namespace,
 * in which the user is root. When the first process inside dies, the kernel ends all others and removes every namespace.
 */
export function unshareCommand(privileged: boolean): string[] {
  const user = privileged ? [] : ['--user', '--map-root-user'];
  return [
    'unshare',
    ...user,
    '--net',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--propagation',
    'private',
  ];
}

function findTool(machine: MachineView, tool: string): string | undefined {
  return searchPath(machine.path)
    .split(':')
    .map((folder) => join(folder, tool))
    .find((file) => machine.executable(file));
}

function userNamespaceLack(machine: MachineView): string | undefined {
  const value = (file: string): number | undefined => {
    const content = machine.read(file)?.trim();
    return content === undefined ? undefined : Number(content);
  };
  if (value('/proc/sys/user/max_user_namespaces') === undefined)
    return 'this kernel has no user namespaces: run as root, or use a kernel with CONFIG_USER_NS';
  if (value('/proc/sys/kernel/unprivileged_userns_clone') === 0)
    return 'user namespaces are off for users without root: run as root, or "sudo sysctl kernel.unprivileged_userns_clone=1"';
  if (value('/proc/sys/user/max_user_namespaces') === 0)
    return 'no user namespaces are allowed: run as root, or "sudo sysctl user.max_user_namespaces=10000"';
  if (value('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === 1)
    return 'AppArmor forbids user namespaces to programs without a profile: run as root, or "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"';
  return undefined;
}
