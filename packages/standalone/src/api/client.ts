import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { MeshError, asMeshError } from '@ambit/common/errors';
import { type Kind, apiVersionOf } from '@ambit/common/model/kinds';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import type { ApplyResult, MeshStatus, SourceProblem, WatchEvent } from './contract.ts';
import { FrameReader, STREAM } from './frames.ts';
import {
  readApplyResults,
  readExitCode,
  readMeshStatus,
  readObject,
  readObjects,
  readProblems,
  readWatchEvent,
} from './replies.ts';

export type { KubeObject } from '@ambit/controlplane/collections/object';
export type {
  ApplyResult,
  MeshStatus,
  PodTrouble,
  ProgramStatus,
  SourceProblem,
  SourceStatus,
  WatchEvent,
} from './contract.ts';

const ANSWER_DEADLINE_MS = 30_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** YAML that the mesh refused; `errors` say what and where. */
export class ValidationFailure extends MeshError {
  readonly errors: readonly SourceProblem[];

  constructor(errors: readonly SourceProblem[]) {
    super('CONFIG', errors.map((one) => `${one.file}:${one.line}:${one.column}: ${one.message}`).join('\n'));
    this.errors = errors;
  }
}

export interface ExecRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container?: string;
  readonly command: readonly string[];
  readonly stdin?: NodeJS.ReadableStream;
  readonly onStdout: (chunk: Uint8Array) => void;
  readonly onStderr: (chunk: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

export interface LogRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container?: string;
  readonly follow?: boolean;
  readonly tailLines?: number;
  readonly onText: (text: string) => void;
  readonly signal?: AbortSignal;
}

export interface ProxyRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  readonly path: string;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Streams have no deadline for the whole, ordinary answers do. */
  readonly stream?: boolean;
}

/** Calls the API of a running mesh. Every failure is a MeshError with the mesh's own message, or says that no mesh is running. */
export class ApiClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async get(kind: Kind, namespace: string | undefined, name: string): Promise<KubeObject> {
    return readObject(await this.#text({ method: 'GET', path: objectPath(kind, namespace, name) }));
  }

  /** All objects of a kind; `namespace` undefined means all namespaces. */
  async list(
    kind: Kind,
    namespace: string | undefined,
    options: { labelSelector?: string | undefined } = {},
  ): Promise<KubeObject[]> {
    return readObjects(
      await this.#text({
        method: 'GET',
        path: `${listPath(kind, namespace)}${search({ labelSelector: options.labelSelector })}`,
      }),
    );
  }

  /** First every present object as ADDED, then each change, until the signal aborts or the mesh ends. */
  async *watch(
    kind: Kind,
    namespace: string | undefined,
    options: { labelSelector?: string | undefined; signal?: AbortSignal } = {},
  ): AsyncGenerator<WatchEvent> {
    const query = search({ labelSelector: options.labelSelector, watch: 'true' });
    const answer = await this.#open({
      method: 'GET',
      path: `${listPath(kind, namespace)}${query}`,
      signal: options.signal,
      stream: true,
    });
    let rest = '';
    try {
      for await (const chunk of answer.setEncoding('utf8')) {
        const lines = `${rest}${String(chunk)}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line !== '') yield readWatchEvent(line);
      }
    } catch (error) {
      if (options.signal?.aborted !== true) throw asMeshError(error, 'UPSTREAM_CLOSED');
    } finally {
      answer.destroy();
    }
  }

  /** Applies a YAML stream as a whole. Rejects with ValidationFailure when anything in it is refused. */
  async apply(yaml: string, options: { file: string; dryRun?: boolean }): Promise<ApplyResult[]> {
    const query = search({ file: options.file, dryRun: options.dryRun === true ? 'true' : undefined });
    return readApplyResults(
      await this.#text({
        method: 'POST',
        path: `/ambit/v1/apply${query}`,
        contentType: 'application/yaml',
        body: yaml,
      }),
    );
  }

  /** Changes labels and annotations (RFC 7396: null removes) and gives the object as it is then. */
  async merge(kind: Kind, namespace: string | undefined, name: string, patch: unknown): Promise<KubeObject> {
    const body = JSON.stringify(patch);
    return readObject(
      await this.#text({
        method: 'PATCH',
        path: objectPath(kind, namespace, name),
        contentType: 'application/merge-patch+json',
        body,
      }),
    );
  }

  async delete(kind: Kind, namespace: string | undefined, name: string): Promise<void> {
    await this.#text({ method: 'DELETE', path: objectPath(kind, namespace, name) });
  }

  async status(): Promise<MeshStatus> {
    return readMeshStatus(await this.#text({ method: 'GET', path: '/ambit/v1/status' }));
  }

  /** Asks the mesh to end; answers when it has begun to. */
  async stop(): Promise<void> {
    await this.#text({ method: 'POST', path: '/ambit/v1/stop' });
  }

  /** Runs a command in a container and gives its exit code. */
  async exec(wanted: ExecRequest): Promise<number> {
    const { namespace, pod, container, command } = wanted;
    const head = `${JSON.stringify({ namespace, pod, container, command })}\n`;
    const call: Call = { method: 'POST', path: '/ambit/v1/exec', signal: wanted.signal, stream: true };
    const { sent, answer } = this.#start(call);
    sent.write(head);
    if (wanted.stdin === undefined) sent.end();
    else wanted.stdin.pipe(sent);
    try {
      return await readExec(await this.#checked(await answer), wanted);
    } finally {
      wanted.stdin?.unpipe(sent);
      sent.destroy();
    }
  }

  /** Passes log text on as it comes; ends at the end of the log, or with `follow` when the signal aborts. */
  async logs(wanted: LogRequest): Promise<void> {
    const query = search({
      container: wanted.container,
      follow: wanted.follow === true ? 'true' : undefined,
      tailLines: wanted.tailLines?.toString(),
    });
    const path = `/api/v1/namespaces/${encodeURIComponent(wanted.namespace)}/pods/${encodeURIComponent(wanted.pod)}/log${query}`;
    const answer = await this.#open({ method: 'GET', path, signal: wanted.signal, stream: true });
    try {
      for await (const chunk of answer.setEncoding('utf8')) wanted.onText(String(chunk));
    } catch (error) {
      if (wanted.signal?.aborted !== true) throw asMeshError(error, 'UPSTREAM_CLOSED');
    }
  }

  /** The body of a GET on a port of the pod. */
  async proxy(wanted: ProxyRequest): Promise<string> {
    const { namespace, pod, port, path } = wanted;
    return this.#text({
      method: 'GET',
      path: `/ambit/v1/proxy${search({ namespace, pod, port: String(port), path })}`,
    });
  }

  async #text(call: Call): Promise<string> {
    return readBody(await this.#open(call));
  }

  /** An answer that succeeded. */
  async #open(call: Call): Promise<IncomingMessage> {
    const { sent, answer } = this.#start(call);
    sent.end(call.body);
    return this.#checked(await answer);
  }

  #start(call: Call): { sent: ClientRequest; answer: Promise<IncomingMessage> } {
    const sent = request({
      socketPath: this.#socketPath,
      method: call.method,
      path: call.path,
      agent: false,
      headers: { host: 'ambit', ...(call.contentType === undefined ? {} : { 'content-type': call.contentType }) },
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      ...(call.stream === true ? {} : { timeout: ANSWER_DEADLINE_MS }),
    });
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.on('error', (error) => reject(this.#explain(error)));
      sent.once('timeout', () =>
        sent.destroy(
          new MeshError(
            'TIMEOUT',
            `the mesh did not answer ${call.method} ${call.path} in ${ANSWER_DEADLINE_MS / 1000} s`,
          ),
        ),
      );
    });
    return { sent, answer };
  }

  async #checked(answer: IncomingMessage): Promise<IncomingMessage> {
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const body = await readBody(answer);
    const problems = status === 422 ? readProblems(body) : [];
    if (problems.length > 0) throw new ValidationFailure(problems);
    throw new MeshError('CONFIG', errorMessage(body) ?? `the mesh answered ${status}`);
  }

  #explain(error: unknown): MeshError {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      return new MeshError(
        'CONNECT_REFUSED',
        `no mesh is running here (${this.#socketPath}): start one with "ambit up FOLDER", or name its state folder with --state`,
        { cause: error },
      );
    if (code === 'EACCES')
      return new MeshError('CONNECT_REFUSED', `the mesh at ${this.#socketPath} belongs to another user`, {
        cause: error,
      });
    return asMeshError(error, 'UPSTREAM_CLOSED');
  }
}

function listPath(kind: Kind, namespace: string | undefined): string {
  const base = kind.group === '' ? `/api/${apiVersionOf(kind)}` : `/apis/${apiVersionOf(kind)}`;
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${base}${scope}/${kind.plural}`;
}

const objectPath = (kind: Kind, namespace: string | undefined, name: string): string =>
  `${listPath(kind, namespace)}/${encodeURIComponent(name)}`;

function search(values: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value !== undefined) query.set(key, value);
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

async function readBody(answer: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of answer.setEncoding('utf8')) {
    body += String(chunk);
    if (body.length > MAX_ANSWER_BYTES)
      throw new MeshError('LIMIT', `the mesh answered with more than ${MAX_ANSWER_BYTES} bytes`);
  }
  return body;
}

function errorMessage(body: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) return String(parsed.message);
  } catch {
    // SyntaxError: the answer is plain text
  }
  return body.trim() === '' ? undefined : body.trim();
}

async function readExec(answer: IncomingMessage, wanted: ExecRequest): Promise<number> {
  let exitCode: number | undefined;
  const frames = new FrameReader((stream, data) => {
    if (stream === STREAM.stdout) wanted.onStdout(data);
    else if (stream === STREAM.stderr) wanted.onStderr(data);
    else exitCode = readExitCode(Buffer.from(data).toString());
  });
  for await (const chunk of answer) if (chunk instanceof Uint8Array) frames.push(chunk);
  if (exitCode === undefined)
    throw new MeshError('UPSTREAM_CLOSED', 'the connection to the mesh ended before the command did');
  return exitCode;
}
