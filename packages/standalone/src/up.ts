import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, openSync, readFileSync, readSync, closeSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MeshError, asMeshError } from '@ambit/common/errors';
import { ApiClient, type MeshStatus } from './api/client.ts';
import { readMachineEnv } from './config.ts';
import { endProcess } from './down.ts';
import { connectInternet, hostNameServers, internetProblems } from './internet.ts';
import { launchMesh } from './launch.ts';
import { removeLeftovers } from './leftovers.ts';
import { identify, passLock, takeLock } from './lock.ts';
import { nameServers } from './pod/resolv-conf.ts';
import { preflight, thisMachine } from './rootless.ts';
import { parseUpstream } from './services/cluster-dns.ts';

export interface StartOptions {
  /** Files and folders of YAML. */
  readonly folders: readonly string[];
  readonly stateDir: string;
  /** Lend pods this machine's way to the internet; needs root. */
  readonly internet?: boolean;
  /** Name servers for names outside the cluster; with `internet` this machine's by default, else none. */
  readonly dns?: readonly string[];
  /** Leave the mesh running when this process ends. Otherwise it ends with it, however it ends. */
  readonly detach?: boolean;
  readonly logLevel?: string;
  readonly version?: string;
  /** Called when what is waited for changes. */
  readonly onProgress?: (progress: Progress) => void;
  /** Ends the attempt, and the mesh with it. */
  readonly signal?: AbortSignal;
}

export interface Progress {
  readonly message: string;
  readonly elapsedMs: number;
}

/** A mesh that was started by this process. */
export interface StartedMesh {
  readonly pid: number;
  readonly api: ApiClient;
  /** Its state when everything ran or had a verdict. */
  readonly status: MeshStatus;
  /** What was left of an earlier mesh and has been removed, as sentences. */
  readonly removed: readonly string[];
  /** Resolves when the mesh has ended and nothing of it is left; `clean` is false when it failed or was ended by force. */
  readonly ended: Promise<{ readonly clean: boolean; readonly message: string }>;
  /** Ends it, gracefully at first, within 10 s. */
  stop(): Promise<void>;
}

/** Linux' limit for the path of a unix socket, less the longest name the mesh adds. */
const MAX_STATE_PATH = 107 - '/run/ztunnel.sock'.length;
const POLL_MS = 100;
const API_DEADLINE_MS = 30_000;
const SETTLE_DEADLINE_MS = 120_000;

/**
 * Starts a mesh and waits until its node agent is ready and every pod runs or has a verdict.
 * @throws MeshError CONFIG with one sentence for each thing this machine lacks; then nothing is left behind.
 */
export async function startMesh(options: StartOptions): Promise<StartedMesh> {
  const started = performance.now();
  const { path, logLevel } = readMachineEnv();
  const machine = thisMachine(path);
  const stateDir = resolve(options.stateDir);
  const folders = options.folders.map((folder) => resolve(folder));
  const problems = [
    ...preflight(machine),
    ...folderProblems(stateDir, folders),
    ...dnsProblems(options.dns ?? []),
    ...(options.internet === true ? await lendingProblems(machine.privileged) : []),
  ];
  if (problems.length > 0) throw new MeshError('CONFIG', problems.join('\n'));
  const upstreamDns = options.dns ?? (options.internet === true ? hostNameServers(nameServers) : []);
  const removed = await takeFolder(stateDir);
  const mesh = new Starting({ options, stateDir, started, removed });
  try {
    const config = {
      folders,
      stateDir,
      upstreamDns,
      rootless: !machine.privileged,
      logLevel: options.logLevel ?? logLevel,
      lifeline: options.detach !== true,
      notes: removed,
      version: options.version ?? '',
    };
    return await mesh.run(() => launchMesh({ config, path, logFile: mesh.logFile }));
  } catch (error) {
    await mesh.abandon();
    throw error;
  }
}

/** /run is covered by an empty folder inside. */
const isHidden = (path: string): boolean => /^(\/var)?\/run(\/|$)/.test(path);

function folderProblems(stateDir: string, folders: readonly string[]): string[] {
  const problems = folders
    .filter((folder) => !existsSync(folder))
    .map((folder) => `${folder} does not exist: name a folder or a file of YAML`);
  for (const folder of folders.filter(isHidden))
    problems.push(`${folder} lies under /run, which the mesh does not see: name a folder elsewhere`);
  if (isHidden(stateDir))
    problems.push(`the state folder ${stateDir} lies under /run, which pods get anew: choose another with --state`);
  if (Buffer.byteLength(stateDir) > MAX_STATE_PATH)
    problems.push(
      `the state folder's path is longer than ${MAX_STATE_PATH} bytes, too long for sockets in it: choose another with --state`,
    );
  return problems;
}

const dnsProblems = (servers: readonly string[]): string[] =>
  servers
    .filter((server) => parseUpstream(server) === undefined)
    .map((server) => `--dns ${server} is not an IP address: expected one such as 9.9.9.9`);

async function lendingProblems(privileged: boolean): Promise<string[]> {
  if (!privileged)
    return ["--internet needs root, because it changes this machine's network: run with sudo, or without it"];
  return internetProblems();
}

/** Makes the state folder and takes it for this process; leftovers of a dead mesh are removed. */
async function takeFolder(stateDir: string): Promise<string[]> {
  try {
    mkdirSync(join(stateDir, 'logs'), { recursive: true, mode: 0o700 });
    chmodSync(stateDir, 0o700);
  } catch (error) {
    const why = asMeshError(error).message;
    throw new MeshError('CONFIG', `the state folder ${stateDir} cannot be used (${why}): choose another with --state`, {
      cause: error,
    });
  }
  const removed = await removeLeftovers(stateDir);
  const self = identify(process.pid);
  const holder = self === undefined ? undefined : takeLock(stateDir, self);
  if (holder !== undefined)
    throw new MeshError(
      'CONFIG',
      `a mesh is already running with the state folder ${stateDir} (process ${holder.pid}): "ambit down" ends it, --state chooses another folder`,
    );
  return removed;
}

interface StartingOptions {
  readonly options: StartOptions;
  readonly stateDir: string;
  readonly started: number;
  readonly removed: readonly string[];
}

class Starting {
  readonly logFile: string;
  readonly #context: StartingOptions;
  readonly #api: ApiClient;
  readonly #logStart: number;
  #child: ChildProcess | undefined;
  #exit: { code: number | undefined; signal: string | undefined } | undefined;
  #lastMessage = '';

  constructor(context: StartingOptions) {
    this.#context = context;
    this.logFile = join(context.stateDir, 'logs', 'mesh.log');
    this.#api = new ApiClient(join(context.stateDir, 'api.sock'));
    this.#logStart = existsSync(this.logFile) ? statSync(this.logFile).size : 0;
  }

  async run(launch: () => ChildProcess): Promise<StartedMesh> {
    const { stateDir, options, removed } = this.#context;
    this.#progress('starting the mesh');
    const child = launch();
    this.#child = child;
    const exited = new Promise<void>((done) => {
      child.once('error', () => done());
      child.once('exit', (code, signal) => {
        this.#exit = { code: code ?? undefined, signal: signal ?? undefined };
        done();
      });
    });
    const pid = child.pid;
    const holder = pid === undefined ? undefined : identify(pid);
    if (pid === undefined || holder === undefined) throw new MeshError('CONFIG', this.#failure());
    passLock(stateDir, holder);
    if (options.internet === true) await connectInternet(stateDir, await this.#firstProcess(pid));
    const status = await this.#settled();
    const ended = exited.then(async () => {
      await removeLeftovers(stateDir);
      const clean = this.#exit?.code === 0;
      return { clean, message: clean ? 'the mesh has ended' : this.#failure() };
    });
    const stop = async (): Promise<void> => {
      await endProcess(this.#api, holder);
      await ended;
    };
    return { pid, api: this.#api, status, removed, ended, stop };
  }

  /** After a failure: ends what was started and removes what it left. */
  async abandon(): Promise<void> {
    const pid = this.#child?.pid;
    const holder = pid === undefined ? undefined : identify(pid);
    if (holder !== undefined) await endProcess(this.#api, holder);
    passLock(this.#context.stateDir, { pid: 0, startTime: '', bootId: '' });
    await removeLeftovers(this.#context.stateDir);
  }

  /** The first process inside the namespaces, once they are there: `unshare`'s child. */
  async #firstProcess(pid: number): Promise<number> {
    for (let tries = 0; tries < 50; tries++) {
      const [child] = readChildren(pid);
      if (child !== undefined) return child;
      await sleep(POLL_MS);
    }
    throw new MeshError('CONFIG', this.#failure());
  }

  async #settled(): Promise<MeshStatus> {
    const { started, options } = this.#context;
    let status: MeshStatus | undefined;
    for (;;) {
      options.signal?.throwIfAborted();
      if (this.#exit !== undefined) throw new MeshError('CONFIG', this.#failure());
      status = await this.#api.status().catch(() => status);
      const elapsed = performance.now() - started;
      if (status?.settled === true) return status;
      if (status === undefined && elapsed > API_DEADLINE_MS)
        throw new MeshError(
          'TIMEOUT',
          `the mesh did not start within ${API_DEADLINE_MS / 1000} s; see ${this.logFile}`,
        );
      if (status !== undefined && elapsed > SETTLE_DEADLINE_MS) return status;
      if (status !== undefined) this.#progress(`waiting for ${status.waitingFor.join(', ')}`);
      await sleep(POLL_MS);
    }
  }

  #progress(message: string): void {
    if (message === this.#lastMessage) return;
    this.#lastMessage = message;
    this.#context.options.onProgress?.({ message, elapsedMs: performance.now() - this.#context.started });
  }

  /** The last error that the mesh logged, which says why it ended. */
  #failure(): string {
    if (this.#exit?.signal !== undefined) return `the mesh was ended by ${this.#exit.signal}`;
    const lines = readFrom(this.logFile, this.#logStart)
      .split('\n')
      .filter((line) => line.trim() !== '');
    const error = lines
      .findLast((line) => /^\S+\terror\t/.test(line))
      ?.split('\t')
      .slice(3)
      .join(' ');
    const last = error ?? lines.at(-1);
    if (last?.startsWith('unshare:') === true)
      return `this machine does not let us make namespaces (${last.trim()}): run as root, and in a container with the rights for it (--privileged)`;
    return last === undefined || last.trim() === ''
      ? `the mesh ended with exit code ${this.#exit?.code ?? 'unknown'}`
      : last.trim();
  }
}

function readChildren(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .split(' ')
      .map(Number)
      .filter((one) => one > 0);
  } catch {
    return []; // ENOENT: it has ended, which the next look at it tells
  }
}

const MAX_TAIL_BYTES = 64 * 1024;

function readFrom(file: string, start: number): string {
  if (!existsSync(file)) return '';
  const fd = openSync(file, 'r');
  try {
    const size = statSync(file).size;
    const from = Math.max(start, size - MAX_TAIL_BYTES, 0);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    readSync(fd, buffer, 0, buffer.length, from);
    return buffer.toString();
  } finally {
    closeSync(fd);
  }
}
