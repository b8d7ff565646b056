import { type ChildProcess, spawn } from 'node:child_process';
import { netnsPath } from '../cluster.ts';

/** How a process ended. `code` is what a shell would say: 128 + the number of the signal. */
export interface Exit {
  readonly code: number;
  readonly signal: string | undefined;
}

export interface RunningProcess {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Signals the whole process group; nothing happens when it is gone. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface ProcessOptions {
  /** Undefined: the node's network namespace. */
  readonly netns: string | undefined;
  readonly script: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The mesh's own search path, to find the tools that make the room. */
  readonly path: string;
  readonly onOutput: (chunk: Uint8Array) => void;
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Starts a container's command in its pod's network namespace and a room of its own. It leads a process group. */
export function startProcess(options: ProcessOptions): RunningProcess {
  const enter = options.netns === undefined ? [] : ['nsenter', `--net=${netnsPath(options.netns)}`];
  const words = [
    ...enter,
    'unshare',
    '--mount',
    '--uts',
    '--propagation',
    'private',
    'sh',
    '-c',
    options.script,
    'sh',
    ...options.command,
  ];
  const child = spawn(words[0] ?? '', words.slice(1), {
    detached: true,
    cwd: '/',
    env: { ...options.env, PATH: options.path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.on('data', options.onOutput);
  child.stderr.on('data', options.onOutput);
  const exited = ended(child).then((exit) => {
    killGroup(child.pid, 'SIGKILL');
    return exit;
  });
  return { pid: child.pid ?? 0, exited, kill: (signal) => killGroup(child.pid, signal) };
}

export interface ExecOptions {
  /** A process of the container: its namespaces and root folder are entered. */
  readonly pid: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly path: string;
}

/** Starts a command beside a running container, in the same room. */
export function execProcess(options: ExecOptions): ChildProcess & { exit: Promise<Exit> } {
  const containerPath = options.env['PATH'] ?? options.path;
  const words = [
    `--target=${options.pid}`,
    '--net',
    '--mount',
    '--uts',
    '--root',
    '--wd',
    'sh',
    '-c',
    'cd "$1" && export PATH="$2" && shift 2 && exec "$@"',
    'sh',
    options.workingDir,
    containerPath,
    ...options.command,
  ];
  const child = spawn('nsenter', words, {
    detached: true,
    cwd: '/',
    env: { ...options.env, PATH: options.path },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return Object.assign(child, { exit: ended(child) });
}

/** Signals a process group; nothing happens when it is gone. */
export function killGroup(pid: number | undefined, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined || pid <= 1) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: every process of the group has ended
  }
}

/** Resolves when the process has ended and its output is read, also when it could not be started. */
function ended(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: 127, signal: undefined }));
    // not 'close': a grandchild that keeps the pipe open must not hide that the container has ended
    child.once('exit', (code, signal) =>
      resolve(
        signal === null ? { code: code ?? 1, signal: undefined } : { code: 128 + (SIGNALS[signal] ?? 0), signal },
      ),
    );
  });
}
