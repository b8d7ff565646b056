import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findKind, type Kind } from '@ambit/common/model/kinds';
import type { ApiClient, KubeObject } from '@ambit/standalone/api/client';
import { startMesh, type StartedMesh } from '@ambit/standalone/up';

export const kind = (word: string): Kind => {
  const found = findKind(word);
  if (found === undefined) throw new Error(`no kind ${word}`);
  return found;
};

/** A folder of YAML and a state folder, both gone at the end. */
export class Bench {
  readonly root: string = mkdtempSync(join(tmpdir(), 'ambit-mesh-'));
  readonly stateDir: string = join(this.root, 'state');

  constructor(yaml: string) {
    // also when the mesh could not start: then no hook runs
    process.once('exit', () => this.remove());
    writeFileSync(join(this.root, 'objects.yaml'), yaml);
  }

  start(options: { detach?: boolean } = {}): Promise<StartedMesh> {
    return startMesh({ folders: [join(this.root, 'objects.yaml')], stateDir: this.stateDir, ...options });
  }

  files(): string[] {
    return readdirSync(this.stateDir).sort();
  }

  /** Command lines of living processes that mention the state folder. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((name) => {
        try {
          return readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
        } catch {
          return []; // ENOENT: it ended meanwhile
        }
      })
      .filter((line) => line.includes(this.stateDir));
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What a command in a pod printed and how it ended. */
export async function run(
  api: ApiClient,
  pod: KubeObject,
  command: readonly string[],
  stdin?: NodeJS.ReadableStream,
): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await api.exec({
    namespace: pod.metadata.namespace ?? 'default',
    pod: pod.metadata.name,
    command,
    onStdout: (chunk) => (out += Buffer.from(chunk).toString()),
    onStderr: (chunk) => (err += Buffer.from(chunk).toString()),
    ...(stdin === undefined ? {} : { stdin }),
  });
  return { code, out, err };
}

/** Waits until a check gives something, and fails with what it waited for. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  withinMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  let problem = '';
  while (Date.now() < deadline) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      problem = error instanceof Error ? `: ${error.message}` : '';
    }
    await sleep(50);
  }
  throw new Error(`${what}: not within ${withinMs / 1000} s${problem}`);
}

const parts = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};

export const statusOf = (object: KubeObject): Record<string, unknown> => parts(object.status);

export const isReady = (pod: KubeObject): boolean => {
  const conditions: unknown = statusOf(pod)['conditions'];
  return (
    Array.isArray(conditions) &&
    conditions.some((one) => parts(one)['type'] === 'Ready' && parts(one)['status'] === 'True')
  );
};

/** The first ready pod whose name begins so. */
export const readyPod = (api: ApiClient, namespace: string, prefix: string): Promise<KubeObject> =>
  until(`a ready pod ${namespace}/${prefix}*`, async () =>
    (await api.list(kind('pods'), namespace)).find((pod) => pod.metadata.name.startsWith(prefix) && isReady(pod)),
  );
