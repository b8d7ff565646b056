import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { number, record, text } from './fields.ts';

/** Who holds a state folder: a process by its id, its start time and the boot it was started in, so that a reused id is not taken for it. */
export interface LockHolder {
  readonly pid: number;
  readonly startTime: string;
  readonly bootId: string;
}

const lockFile = (stateDir: string): string => join(stateDir, 'lock');

/** Names this start of the machine. */
export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** The process that is known by this id now; undefined when there is none. */
export function identify(pid: number): LockHolder | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the name in parentheses may hold spaces; the 22nd field is the start time, a zombie has ended
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { pid, startTime: fields[19] ?? '', bootId: bootId() };
  } catch {
    return undefined; // ENOENT or ESRCH: there is no such process
  }
}

/** Takes the state folder for a process. @returns the one that holds it, when it lives; a lock of the dead is taken over. */
export function takeLock(stateDir: string, holder: LockHolder): LockHolder | undefined {
  for (let tries = 0; tries < 3; tries++) {
    try {
      writeFileSync(lockFile(stateDir), `${JSON.stringify(holder)}\n`, { flag: 'wx', mode: 0o600 });
      return undefined;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const living = livingHolder(stateDir);
    if (living !== undefined) return living;
    rmSync(lockFile(stateDir), { force: true });
  }
  return livingHolder(stateDir);
}

/** Hands a lock that is held over to another process. */
export function passLock(stateDir: string, holder: LockHolder): void {
  writeFileSync(lockFile(stateDir), `${JSON.stringify(holder)}\n`, { mode: 0o600 });
}

/** The living process that holds the folder. */
export function livingHolder(stateDir: string): LockHolder | undefined {
  const held = readLock(stateDir);
  if (held === undefined) return undefined;
  const now = identify(held.pid);
  return now?.startTime === held.startTime && now.bootId === held.bootId ? held : undefined;
}

/** The process that the lock names, alive or not. */
export const lockedPid = (stateDir: string): number | undefined => readLock(stateDir)?.pid;

export function removeLock(stateDir: string): boolean {
  const there = readLock(stateDir) !== undefined;
  rmSync(lockFile(stateDir), { force: true });
  return there;
}

function readLock(stateDir: string): LockHolder | undefined {
  try {
    const value = record(JSON.parse(readFileSync(lockFile(stateDir), 'utf8')));
    return {
      pid: number(value['pid']) ?? 0,
      startTime: text(value['startTime']) ?? '',
      bootId: text(value['bootId']) ?? '',
    };
  } catch {
    return undefined; // ENOENT: nobody holds it; SyntaxError: written half by a machine that went down
  }
}
