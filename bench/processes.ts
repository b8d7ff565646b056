import { readFileSync, readdirSync } from 'node:fs';

/** What the kernel says of a process's memory, in MB. */
export interface Memory {
  /** Everything resident, also pages of the binary that all Node processes of the machine share. */
  readonly rss: number;
  /** The part that is its own. */
  readonly anonymous: number;
}

/** @throws Error ENOENT when the process has ended. */
export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return { rss: megabytes('VmRSS'), anonymous: megabytes('RssAnon') };
}

/** Clock ticks of /proc are hundredths of a second on every Linux. */
const MS_PER_TICK = 10;

/** User and system time of a process so far. */
export function cpuMsOf(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

/** The processes below `ancestor`, however deep, whose command line begins so, oldest first. */
export function findBelow(ancestor: number, command: readonly string[]): number[] {
  const start = command.map((word) => `${word}\0`).join('');
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid)) parents.set(pid, Number(unlessGone(() => statOf(pid))?.[1] ?? 0));
  }
  const isBelow = (pid: number): boolean => pid > 1 && (pid === ancestor || isBelow(parents.get(pid) ?? 0));
  return [...parents.keys()].filter(isBelow).filter((pid) => commandLine(pid).startsWith(start));
}

const commandLine = (pid: number): string => unlessGone(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '';

/** Fields of /proc/PID/stat from the state on: index 0 is field 3 of proc(5). */
const statOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // ENOENT or ESRCH: it ended meanwhile
  }
}
