/**
 * A real mesh for a test: every process, namespace and packet of `ambit up`, in a temporary folder, with the demo's outside
 * world when asked for. What it leaves behind when it ends is told, thing by thing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { findKind, type Kind } from '@ambit/common/model/kinds';
import { ApiClient, type ApplyResult, type KubeObject } from '@ambit/standalone/api/client';
import { stopMesh } from '@ambit/standalone/down';
import { startMesh, type StartedMesh } from '@ambit/standalone/up';
import { createWorld, OUTSIDE_DNS, type OutsideWorld } from '../../demo/outside/world.ts';
import { alive, type KnownProcess, machineTraces, meshProcesses, processesNaming } from './leftovers.ts';

export const REPOSITORY: string = join(import.meta.dirname, '../..');
const CLI = join(REPOSITORY, 'packages/cli/src/main.ts');
const POLL_MS = 60;

export interface TestMeshOptions {
  /** Files and folders of YAML, relative to the repository. */
  readonly folders?: readonly string[];
  /** More YAML, in a file of the test's own that it may change: `mesh.yamlFile`. */
  readonly yaml?: string;
  /** Start the demo's outside world: DNS, HTTP and HTTPS at 203.0.113.0/24. */
  readonly outside?: boolean;
}

/** What a command printed and how it ended. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What curl got. */
export interface HttpReply extends Ran {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export class TestMesh {
  readonly root: string = mkdtempSync(join(tmpdir(), 'ambit-test-'));
  readonly stateDir: string = join(this.root, 'state');
  readonly yamlFile: string = join(this.root, 'yaml', 'objects.yaml');
  readonly world: OutsideWorld | undefined;
  readonly #folders: readonly string[];
  readonly #before: readonly string[] = machineTraces();

  constructor(options: TestMeshOptions) {
    this.world =
      options.outside === true
        ? createWorld(join(this.root, 'world'), join(REPOSITORY, 'demo/outside/main.ts'))
        : undefined;
    mkdirSync(join(this.root, 'yaml'));
    if (options.yaml !== undefined) writeFileSync(this.yamlFile, options.yaml);
    this.#folders = [
      ...(options.folders ?? []).map((folder) => join(REPOSITORY, folder)),
      ...(options.yaml === undefined ? [] : [join(this.root, 'yaml')]),
      ...(this.world === undefined ? [] : [join(this.world.folder, 'outside.yaml')]),
    ];
  }

  get api(): ApiClient {
    return new ApiClient(join(this.stateDir, 'api.sock'));
  }

  /** The first process of the mesh, as its lock says. */
  get pid(): number {
    return Number(at(JSON.parse(readFileSync(join(this.stateDir, 'lock'), 'utf8')), 'pid'));
  }

  /** Starts the mesh as this process; it ends with it. */
  async start(): Promise<StartedMesh> {
    try {
      return await startMesh({
        folders: this.#folders,
        stateDir: this.stateDir,
        ...(this.world === undefined ? {} : { dns: [OUTSIDE_DNS] }),
      });
    } catch (error) {
      // uvu says nothing of what a hook throws
      console.error(error);
      throw error;
    }
  }

  /** `ambit up --detach` in a process of its own: nobody watches the mesh, or cleans up when it dies. */
  up(): Promise<Ran> {
    const dns = this.world === undefined ? [] : ['--dns', OUTSIDE_DNS];
    return this.cli('up', ...this.#folders, '--detach', ...dns);
  }

  /** `ambit up` in the foreground of a process of its own. */
  upInForeground(): ChildProcess {
    const env = { ...process.env, AMBIT_STATE: this.stateDir, NO_COLOR: '1' };
    return spawn(process.execPath, [CLI, 'up', ...this.#folders], { env, stdio: 'ignore' });
  }

  /** The command line program, as a user runs it. */
  async cli(...words: string[]): Promise<Ran> {
    const child = spawn(process.execPath, [CLI, ...words], {
      cwd: REPOSITORY,
      env: { ...process.env, AMBIT_STATE: this.stateDir, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? 1)));
    return { code, out, err };
  }

  /** The newest ready pod whose name begins so: `default/curl`. */
  async pod(target: string): Promise<KubeObject> {
    const { namespace, name } = parts(target);
    const pods = (await this.api.list(kind('pods'), namespace)).filter(
      (pod) => pod.metadata.name.startsWith(name) && pod.metadata.deletionTimestamp === undefined,
    );
    const found = pods.findLast(isReady) ?? pods.at(-1);
    if (found === undefined) throw new Error(`no pod ${target}`);
    return found;
  }

  async exec(target: string, command: readonly string[], stdin?: string): Promise<Ran> {
    const pod = await this.pod(target);
    const out: Uint8Array[] = [];
    let err = '';
    const code = await this.api.exec({
      namespace: parts(target).namespace,
      pod: pod.metadata.name,
      command,
      onStdout: (chunk) => void out.push(chunk),
      onStderr: (chunk) => (err += Buffer.from(chunk).toString()),
      ...(stdin === undefined ? {} : { stdin: Readable.from([stdin]) }),
    });
    return { code, out: Buffer.concat(out).toString(), err };
  }

  /** `curl -i` in a pod; informational responses are left out. */
  async curl(target: string, ...args: string[]): Promise<HttpReply> {
    const ran = await this.exec(target, ['curl', '-sS', '-m', '8', '-i', ...args]);
    return { ...ran, ...readReply(ran.out) };
  }

  apply(yaml: string): Promise<ApplyResult[]> {
    return this.api.apply(yaml, { file: 'test.yaml' });
  }

  applyFile(file: string): Promise<Ran> {
    return this.cli('apply', '-f', file);
  }

  label(
    plural: string,
    namespace: string | undefined,
    name: string,
    labels: Record<string, string | null>,
  ): Promise<unknown> {
    return this.api.merge(kind(plural), namespace, name, { metadata: { labels } });
  }

  /** The whole log of a pod. */
  async log(target: string): Promise<string> {
    const pod = await this.pod(target);
    let text = '';
    await this.api.logs({
      namespace: parts(target).namespace,
      pod: pod.metadata.name,
      onText: (part) => (text += part),
    });
    return text;
  }

  /** The newest line of a pod's log, from `since` on, that fits; waits for it. */
  async logLine(target: string, line: RegExp, since = 0): Promise<string> {
    let text = '';
    return until(
      `a line ${line} in the log of ${target}`,
      async () => {
        text = (await this.log(target)).slice(since);
        return text.split('\n').findLast((one) => line.test(one));
      },
      8000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; last lines:\n${text.split('\n').slice(-6).join('\n')}`, { cause: error });
    });
  }

  /** Ends the mesh, removes its folder, and gives what was left behind, empty when nothing was. */
  async stop(): Promise<string[]> {
    const processes = existsSync(join(this.stateDir, 'lock')) ? meshProcesses(this.pid) : [];
    const result = await stopMesh({ stateDir: this.stateDir });
    const left = [
      ...(result.forced ? ['the mesh had to be ended by force'] : []),
      ...result.removed,
      ...(await this.#settledProcesses(processes)),
      ...stateFiles(this.stateDir).filter((file) => /^(run|api\.sock|lock)$/.test(file)),
    ];
    rmSync(this.root, { recursive: true, force: true });
    const added = machineTraces().filter((trace) => !this.#before.includes(trace));
    return [...left, ...added];
  }

  /** The kernel needs a moment to end the processes of a dead namespace. */
  async #settledProcesses(processes: readonly KnownProcess[]): Promise<string[]> {
    let living: string[] = [];
    for (let tries = 0; tries < 20; tries++) {
      living = [...alive(processes), ...processesNaming(this.root)];
      if (living.length === 0) return [];
      await sleep(POLL_MS);
    }
    return living;
  }
}

/** Waits until a check gives something, and fails with what it waited for and the last error. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  withinMs = 12_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  let problem = '';
  while (Date.now() < deadline) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      problem = '';
    } catch (error) {
      problem = error instanceof Error ? `: ${error.message}` : '';
    }
    await sleep(POLL_MS);
  }
  throw new Error(`${what}: not within ${withinMs / 1000} s${problem}`);
}

export const kind = (word: string): Kind => {
  const found = findKind(word);
  if (found === undefined) throw new Error(`no kind ${word}`);
  return found;
};

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};

/** The value at a path of an object, `status.addresses.0.value`; undefined where it ends early. */
export const at = (value: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((inner, name) => record(inner)[name], value);

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** The conditions of an object, at `status.conditions` or at another path. */
export function conditions(object: unknown, path = 'status.conditions'): Condition[] {
  const list = at(object, path);
  if (!Array.isArray(list)) return [];
  return list.map((one: unknown) => ({
    type: String(at(one, 'type')),
    status: String(at(one, 'status')),
    reason: String(at(one, 'reason')),
    message: String(at(one, 'message')),
  }));
}

export const isReady = (pod: KubeObject): boolean =>
  conditions(pod).some((one) => one.type === 'Ready' && one.status === 'True');

/** The fields of a waypoint's access log line. */
export type AccessFields = Readonly<Record<string, string>>;

const ACCESS_LINE = new RegExp(
  [
    String.raw`^\[(?<start>[^\]]+)\] "(?<method>\S+) (?<path>\S+) (?<protocol>[^"]+)" (?<status>\S+) (?<flags>\S+) (?<details>\S+)`,
    String.raw`(?<termination>\S+) "(?<failure>[^"]*)" (?<received>\S+) (?<sent>\S+) (?<duration>\S+) (?<serviceTime>\S+)`,
    String.raw`"(?<forwardedFor>[^"]*)" "(?<userAgent>[^"]*)" "(?<requestId>[^"]*)" "(?<authority>[^"]*)" "(?<upstream>[^"]*)"`,
    String.raw`(?<cluster>\S+) (?<upstreamLocal>\S+) (?<downstreamLocal>\S+) (?<downstreamRemote>\S+) (?<sni>\S+) (?<route>\S+)$`,
  ].join(' '),
);

/** Takes a line in Istio's default text format apart. */
export function accessFields(line: string): AccessFields {
  const groups = ACCESS_LINE.exec(line)?.groups;
  if (groups === undefined) throw new Error(`not an access log line: ${line}`);
  return groups;
}

/** The `key=value` and `key="value"` fields of a line in ztunnel's plain format. */
export function agentFields(line: string): AccessFields {
  return Object.fromEntries(
    [...line.matchAll(/([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g)].map((match) => [
      match[1],
      match[2] ?? match[3] ?? '',
    ]),
  );
}

function parts(target: string): { namespace: string; name: string } {
  const [namespace = 'default', name = ''] = target.split('/');
  return { namespace, name };
}

function readReply(output: string): { status: number; headers: Map<string, string>; body: string } {
  let rest = output;
  let head: string[] = [];
  do {
    const end = rest.indexOf('\r\n\r\n');
    head = rest.slice(0, Math.max(end, 0)).split('\r\n');
    rest = end < 0 ? '' : rest.slice(end + 4);
  } while (/^HTTP\/\S+ 1\d\d/.test(head[0] ?? '') && !/^HTTP\/\S+ 101/.test(head[0] ?? ''));
  const headers = new Map<string, string>();
  for (const line of head.slice(1)) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(/^HTTP\/\S+ (\d{3})/.exec(head[0] ?? '')?.[1] ?? 0), headers, body: rest };
}

function stateFiles(stateDir: string): string[] {
  try {
    return readdirSync(stateDir);
  } catch {
    return []; // ENOENT: the mesh was never started
  }
}
