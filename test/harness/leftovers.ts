/** What a mesh could leave on a machine, found without asking the mesh. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const numbers = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** A process and all that come from it. */
export function descendants(first: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of numbers()) {
    const parent = parentOf(pid);
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [first];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** The process under this one whose command line contains a text: `ztunnel/src/main.ts`. */
export const processNamed = (first: number, text: string): number | undefined =>
  // the innermost: shells that start a program name it, too
  descendants(first).findLast((pid) => commandLine(pid).includes(text));

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** A process that cannot be mistaken for a later one of the same id. */
export interface KnownProcess {
  readonly pid: number;
  readonly startTime: string;
}

/**
 * A mesh's first process and all that come from it. The first is the init of its process namespace: while none of these live, nothing
 * that they started later can. (Namespaces are no names to look for: the kernel gives their numbers to others at once.)
 */
export const meshProcesses = (first: number): KnownProcess[] =>
  descendants(first).flatMap((pid) => {
    const startTime = statOf(pid)?.[19];
    return startTime === undefined ? [] : [{ pid, startTime }];
  });

/** Those that live still, with their command lines. */
export const alive = (known: readonly KnownProcess[]): string[] =>
  known
    .filter(({ pid, startTime }) => {
      const stat = statOf(pid);
      return stat?.[19] === startTime && stat[0] !== 'Z';
    })
    .map(({ pid }) => `process ${pid}: ${commandLine(pid)}`);

/** Living processes whose command line names a folder. */
export const processesNaming = (folder: string): string[] =>
  numbers()
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(folder))
    .map((pid) => `process ${pid}: ${commandLine(pid)}`);

/** Links, named network namespaces and nftables tables of the machine that have one of our names. */
export function machineTraces(): string[] {
  const links = readdirSync('/sys/class/net').map((name) => `link ${name}`);
  const netns = list('/run/netns').map((name) => `network namespace ${name}`);
  const tables = run('nft', 'list', 'tables').split('\n').filter(Boolean);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes('ambit'))
    .map((line) => `mount ${line}`);
  return [...links, ...netns, ...tables, ...mounts].filter((trace) => /ambit|istio/.test(trace));
}

/** The fields of /proc/PID/stat behind the name: state, parent, …, start time as the 20th. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // ENOENT: it has ended
  }
}

const parentOf = (pid: number): number | undefined => {
  const parent = statOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
};

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // ENOENT: it has ended
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // ENOENT: no namespace was ever named
  }
}

function run(program: string, ...args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return ''; // EPERM without root: then there are none of ours either
  }
}
