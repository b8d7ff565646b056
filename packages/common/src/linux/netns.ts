import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { MeshError } from '../errors.ts';
import { libc, must, systemCallError } from './libc.ts';

/** An open network namespace; equal dev and ino mean the same one. */
export interface Netns {
  readonly fd: number;
  readonly dev: bigint;
  readonly ino: bigint;
  /** Lets go of the namespace; sockets inside live on. Calling it again does nothing. */
  close(): void;
}

const CLONE_NEWNET = 0x4000_0000;
/** ioctl on a namespace file: which kind it is. */
const NS_GET_NSTYPE = 0xb703;

/**
 * Opens a namespace by path, such as /proc/1234/ns/net or /run/netns/name.
 * @throws MeshError CONFIG when there is none at the path.
 */
export function openNetns(path: string): Netns {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MeshError('CONFIG', `cannot open the network namespace ${path}: ${why}`, { cause });
  }
  return netnsFromFd(fd, path);
}

/**
 * Takes a descriptor over: it is closed by the Netns, and at once if it is no network namespace.
 * @throws MeshError CONFIG when it is something else.
 */
export function netnsFromFd(fd: number, origin: string = `descriptor ${fd}`): Netns {
  if (libc().ioctl(fd, NS_GET_NSTYPE) !== CLONE_NEWNET) {
    closeSync(fd);
    throw new MeshError('CONFIG', `${origin} is not a network namespace`);
  }
  const { dev, ino } = fstatSync(fd, { bigint: true });
  let open = true;
  return {
    fd,
    dev,
    ino,
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

export const sameNetns = (a: Netns, b: Netns): boolean => a.dev === b.dev && a.ino === b.ino;

/**
 * Runs a synchronous function with this thread inside a namespace, or where it is when undefined. Always comes back; a
 * process that cannot come back would mix up pods, so it kills itself.
 */
export function inNetns<T>(netns: Netns | undefined, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  if (netns === undefined) return fn();
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    must('enter the network namespace', libc().setns(netns.fd, CLONE_NEWNET));
    try {
      return fn();
    } finally {
      goBack(home);
    }
  } finally {
    closeSync(home);
  }
}

function goBack(home: number): void {
  const result = libc().setns(home, CLONE_NEWNET);
  if (result === 0) return;
  writeSync(2, `cannot return from a network namespace: ${systemCallError(result).message}; ending the process\n`);
  // Not exit(): in a worker thread that would end the thread only.
  process.kill(process.pid, 'SIGKILL');
}
