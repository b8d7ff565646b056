import { chmodSync, rmSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { FolderSource } from '@ambit/controlplane/files/folder-source';
import { ValidationErrors } from '@ambit/controlplane/files/validate';
import type { Pod } from '../pod/pod.ts';
import { ApiError, failureStatus, readText, sendJson, statusObject } from './answer.ts';
import type { MeshStatus } from './contract.ts';
import { ExecRoute, type ExecOptions, needPod } from './exec.ts';
import { sendLog } from './log.ts';
import { ObjectRoutes, type ObjectRoutesOptions } from './objects.ts';
import { parseObjectPath } from './paths.ts';
import { proxyGet } from './proxy.ts';

export interface ApiServerOptions extends ObjectRoutesOptions, ExecOptions {
  readonly socketPath: string;
  readonly source: Pick<FolderSource, 'merge' | 'delete' | 'apply'>;
  readonly status: () => MeshStatus;
  /** Asked for by `POST /ambit/v1/stop`. */
  readonly stop: () => void;
  readonly log: ScopedLogger;
}

export interface ApiServer {
  readonly close: () => void;
}

const MAX_YAML_BYTES = 16 * 1024 * 1024;
const MAX_CONNECTIONS = 256;

/** Serves the mesh's API on a unix socket that only its user may open. Rejects when the socket cannot be made. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const routes = new Routes(options);
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    routes.handle(request, response).catch((error: unknown) => fail(error, request, response, options.log));
  });
  server.maxConnections = MAX_CONNECTIONS;
  rmSync(options.socketPath, { force: true });
  await listen(server, options.socketPath);
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

class Routes {
  readonly #options: ApiServerOptions;
  readonly #objects: ObjectRoutes;
  readonly #exec: ExecRoute;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#objects = new ObjectRoutes(options);
    this.#exec = new ExecRoute(options);
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.parse(request.url ?? '', 'http://ambit');
    if (url === null) throw new ApiError(400, 'the path cannot be read');
    const own = `${request.method ?? ''} ${url.pathname}`;
    switch (own) {
      case 'POST /ambit/v1/apply':
        return this.#apply(await readText(request, MAX_YAML_BYTES), response, url.searchParams);
      case 'GET /ambit/v1/status':
        return sendJson(response, 200, this.#options.status());
      case 'POST /ambit/v1/stop':
        sendJson(response, 202, statusObject(202, 'stopping'));
        return this.#options.stop();
      case 'POST /ambit/v1/exec':
        return this.#exec.handle(request, response);
      case 'GET /ambit/v1/proxy':
        return proxyGet(
          this.#pod(url.searchParams.get('namespace'), url.searchParams.get('pod')),
          response,
          url.searchParams,
        );
      default:
        return this.#object(url, request, response);
    }
  }

  async #object(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = parseObjectPath(url.pathname);
    if (path === undefined) throw new ApiError(404, `there is nothing at ${url.pathname}`);
    if (path.kind.kind === 'Pod' && path.subresource === 'log')
      return sendLog(this.#pod(path.namespace, path.name), response, url.searchParams);
    return this.#objects.handle(path, request, response, url.searchParams);
  }

  #pod(namespace: string | null | undefined, name: string | null | undefined): Pod {
    return needPod(this.#options.find, namespace ?? 'default', name ?? '');
  }

  #apply(yaml: string, response: ServerResponse, query: URLSearchParams): void {
    const file = query.get('file') ?? 'standard input';
    try {
      const results = this.#options.source.apply(yaml, file, { dryRun: query.get('dryRun') === 'true' });
      sendJson(response, 200, { results });
    } catch (error) {
      if (!(error instanceof ValidationErrors)) throw error;
      sendJson(response, 422, { errors: error.errors });
    }
  }
}

function fail(error: unknown, request: IncomingMessage, response: ServerResponse, log: ScopedLogger): void {
  const { status, message } =
    error instanceof ValidationErrors ? { status: 422, message: error.message } : failureStatus(error);
  if (status >= 500) log.warn('request failed', { method: request.method, path: request.url, error: message });
  if (response.headersSent) return void response.destroy();
  // the rest of a refused body is not read
  response.setHeader('connection', 'close');
  sendJson(response, status, statusObject(status, message));
}

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const refuse = (error: unknown): void =>
      reject(
        new MeshError('CONFIG', `the API cannot listen on ${path}: ${asMeshError(error).message}`, { cause: error }),
      );
    server.once('error', refuse);
    // made with no rights for others from its first moment, not only after chmod
    const mask = process.umask(0o177);
    server.listen(path, () => {
      server.off('error', refuse);
      chmodSync(path, 0o600);
      resolve();
    });
    process.umask(mask);
  });
