import type { IncomingMessage, ServerResponse } from 'node:http';
import { isRecord, text, texts } from '../fields.ts';
import type { Container } from '../pod/container.ts';
import type { Pod } from '../pod/pod.ts';
import { type Exit, execProcess, killGroup } from '../pod/process.ts';
import { type ContainerRoomDeps, containerEnvironment } from '../pod/room.ts';
import { ApiError } from './answer.ts';
import { STREAM, encodeFrame } from './frames.ts';
import { parseJson } from './objects.ts';

export interface ExecOptions {
  readonly room: ContainerRoomDeps;
  readonly find: (namespace: string, name: string) => Pod | undefined;
}

const MAX_HEAD_BYTES = 256 * 1024;
const MAX_EXECS = 64;
/** How long output may follow the end of the command: what it wrote last is still in the pipes. */
const LAST_OUTPUT_MS = 500;

/** Runs commands in containers: the first line of the body says what, the rest is standard input. */
export class ExecRoute {
  readonly #options: ExecOptions;
  #running = 0;

  constructor(options: ExecOptions) {
    this.#options = options;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { head, rest } = await readHead(request);
    const { pod, container, command } = this.#target(head);
    if (this.#running >= MAX_EXECS) throw new ApiError(429, `${MAX_EXECS} commands are being run already`);
    const environment = containerEnvironment(this.#options.room, pod, container.spec, this.#options.room.volumes.find);
    const child = execProcess({
      pid: container.process?.pid ?? 0,
      command,
      env: environment.kind === 'ready' ? environment.env : this.#options.room.baseEnv,
      workingDir: container.spec.workingDir,
      path: this.#options.room.path,
    });
    this.#running += 1;
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    response.flushHeaders();
    response.once('close', () => killGroup(child.pid, 'SIGKILL'));
    // EPIPE: the command does not read its input
    child.stdin?.on('error', () => {});
    child.stdin?.write(rest);
    if (child.stdin !== null) request.pipe(child.stdin);
    const outputs = [forward(child.stdout, STREAM.stdout, response), forward(child.stderr, STREAM.stderr, response)];
    try {
      const exit: Exit = await child.exit;
      await Promise.race([Promise.all(outputs), new Promise((resolve) => setTimeout(resolve, LAST_OUTPUT_MS))]);
      response.end(encodeFrame(STREAM.end, Buffer.from(JSON.stringify({ exitCode: exit.code }))));
    } finally {
      this.#running -= 1;
      request.unpipe();
      request.resume();
    }
  }

  #target(head: string): { pod: Pod; container: Container; command: readonly string[] } {
    const wanted = parseJson(head);
    if (!isRecord(wanted)) throw new ApiError(400, 'the first line is a JSON object');
    const command = texts(wanted['command']);
    if (command.length === 0) throw new ApiError(400, 'no command was given');
    const pod = needPod(this.#options.find, text(wanted['namespace']) ?? 'default', text(wanted['pod']) ?? '');
    const container = needContainer(pod, text(wanted['container']));
    if (container.process === undefined) {
      const { state } = container.status;
      const why =
        state.kind === 'running' ? '' : `: ${state.reason}${state.message === '' ? '' : ` (${state.message})`}`;
      throw new ApiError(
        409,
        `container "${container.spec.name}" of pod "${pod.object.metadata.name}" is not running${why}`,
      );
    }
    return { pod, container, command };
  }
}

/** The pod that runs, or 404 that says where it was looked for. */
export function needPod(find: ExecOptions['find'], namespace: string, name: string): Pod {
  const pod = find(namespace, name);
  if (pod === undefined) throw new ApiError(404, `pod "${name}" not found in namespace "${namespace}"`);
  return pod;
}

/** The container by name, else the one the pod calls its default, else its first. */
export function needContainer(pod: Pod, name: string | undefined): Container {
  const wanted =
    name ??
    pod.object.metadata.annotations?.['kubectl.kubernetes.io/default-container'] ??
    pod.spec.containers[0]?.name ??
    '';
  const container = pod.containers.get(wanted);
  if (container === undefined)
    throw new ApiError(
      404,
      `pod "${pod.object.metadata.name}" has no container "${wanted}"; it has: ${[...pod.containers.keys()].join(', ')}`,
    );
  return container;
}

function readHead(request: IncomingMessage): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const done = (): void => {
      request.off('data', onData);
      request.off('end', onEnd);
      request.pause();
    };
    const onEnd = (): void => reject(new ApiError(400, 'the body ended before its first line did'));
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf(0x0a);
      if (end < 0 && seen.length <= MAX_HEAD_BYTES) return;
      done();
      if (end < 0) reject(new ApiError(413, `the first line is longer than ${MAX_HEAD_BYTES} bytes`));
      else resolve({ head: seen.subarray(0, end).toString(), rest: seen.subarray(end + 1) });
    };
    request.on('data', onData);
    request.once('end', onEnd);
    request.once('error', reject);
  });
}

/** Sends output on in frames and lets the command wait while the reader is slow. Resolves at the end of the output. */
function forward(output: NodeJS.ReadableStream | null, stream: number, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (output === null) return resolve();
    output.on('data', (chunk: Buffer) => {
      if (response.write(encodeFrame(stream, chunk))) return;
      output.pause();
      response.once('drain', () => output.resume());
    });
    output.once('end', () => resolve());
    output.once('error', () => resolve());
  });
}
