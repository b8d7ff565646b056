/** A real mesh to measure on: `ambit up`'s own start, pods with programs of this machine, loads run inside pods. */
import { existsSync, readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { stopMesh } from '@ambit/standalone/down';
import { PROGRAMS } from '@ambit/standalone/programs';
import type { StartedMesh } from '@ambit/standalone/up';
import { Bench, kind, readyPod, run, statusOf, until } from '../test/mesh/standalone-scenario.ts';
import { findBelow } from './processes.ts';

/** Debian's package for each tool that the loads need. */
const PACKAGES: Readonly<Record<string, string>> = { wrk: 'wrk', iperf3: 'iperf3', nginx: 'nginx-light' };

/** @throws Error naming every tool that is missing and the Debian package that has it. */
export function needTools(...tools: readonly string[]): void {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin'];
  const missing = tools.filter((tool) => !folders.some((folder) => existsSync(join(folder, tool))));
  if (missing.length > 0)
    throw new Error(
      `not found: ${missing.join(', ')}; install with "sudo apt-get install ${missing.map((tool) => PACKAGES[tool]).join(' ')}"`,
    );
}

/** A mesh that ends with its `close`, and the loads of it. */
export class MeshBed {
  readonly #bench: Bench;
  readonly #mesh: StartedMesh;

  private constructor(bench: Bench, mesh: StartedMesh) {
    this.#bench = bench;
    this.#mesh = mesh;
  }

  static async start(yaml: string): Promise<MeshBed> {
    const bench = new Bench(yaml);
    try {
      return new MeshBed(bench, await bench.start());
    } catch (error) {
      bench.remove();
      throw error;
    }
  }

  /** The process of one of our programs. */
  pidOf(program: 'ztunnel' | 'waypoint'): number {
    return this.pidsOf(PROGRAMS[program])[0] ?? fail(`no process of ${program}`);
  }

  pidsOf(command: readonly string[]): number[] {
    return findBelow(this.#mesh.pid, command);
  }

  /** Resolves when a pod is ready, with its IPv4 address. */
  async podAddress(name: string): Promise<string> {
    return String(statusOf(await readyPod(this.#mesh.api, 'default', name))['podIP']);
  }

  async captured(...names: readonly string[]): Promise<void> {
    for (const name of names)
      await until(`capture of ${name}`, async () => {
        const pod = await this.#mesh.api.get(kind('pods'), 'default', name);
        return pod.metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled';
      });
  }

  /** Runs a command in a pod. @throws Error with what it printed when it fails. */
  async exec(pod: string, command: readonly string[]): Promise<string> {
    const found = await readyPod(this.#mesh.api, 'default', pod);
    const { code, out, err } = await run(this.#mesh.api, found, command);
    if (code !== 0) throw new Error(`${command.join(' ')} in ${pod} ended with ${code}: ${out}${err}`);
    return out;
  }

  async close(): Promise<void> {
    await stopMesh({ stateDir: this.#bench.stateDir });
    this.#bench.remove();
  }
}

/** A pod whose containers run programs of this machine; `labels` and `annotations` are YAML. */
export const podYaml = (
  name: string,
  commands: readonly (readonly string[])[],
  { labels = '', annotations = '' }: { labels?: string; annotations?: string } = {},
): string => `apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name}, ${labels} }, annotations: { ${annotations} } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
${commands.map((command, index) => `    - { name: c${index}, image: bench, command: ${JSON.stringify(command)} }`).join('\n')}`;

/** Labels that leave a pod of a captured namespace uncaptured. */
export const UNCAPTURED = 'istio.io/dataplane-mode: none';

export const AMBIENT_NAMESPACE = `apiVersion: v1
kind: Namespace
metadata: { name: default, labels: { istio.io/dataplane-mode: ambient } }`;

/** nginx with one worker that answers eleven bytes. */
export const nginxConfig = (folder: string, port: number): string =>
  `daemon off; worker_processes 1; user root; pid ${folder}/nginx-${port}.pid; error_log stderr error;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder};`).join(' ')}
  server { listen ${port} backlog=4096; location / { return 200 "hello world"; } } }`;

export interface WrkResult {
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly errors: string;
}

/** Reads what `wrk --latency` prints. */
export function parseWrk(text: string): WrkResult {
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? fail(`wrk said: ${text}`)),
    p50: milliseconds(/50%\s+([\d.]+)(us|ms|s)/.exec(text)),
    p99: milliseconds(/99%\s+([\d.]+)(us|ms|s)/.exec(text)),
    errors: /(?:Socket errors|Non-2xx).*/.exec(text)?.[0] ?? '',
  };
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };
const milliseconds = (match: RegExpExecArray | null): number => Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? NaN);

/** Gigabits a second at the receiver, from `iperf3 --json`. */
export function parseIperf(text: string): number {
  const bits = [...text.matchAll(/"sum_received":\s*\{[^}]*"bits_per_second":\s*([\d.e+]+)/g)].at(-1)?.[1];
  return Number(bits ?? fail(`iperf3 said: ${text.slice(-500)}`)) / 1e9;
}

/** One line on the state of the machine, for the head of each table. */
export function machineLine(): string {
  const cpus = readFileSync('/proc/cpuinfo', 'utf8').match(/^processor/gm)?.length ?? 0;
  return `${cpus} cores, load average ${loadavg()[0]?.toFixed(2)} before the first row`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

export function fail(message: string): never {
  throw new Error(message);
}
