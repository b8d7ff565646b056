import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MeshError } from '../errors.ts';
import { chooseEncoding, compress } from './compression.ts';

/** What a route is asked. Bodies of requests are read and thrown away. */
export interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** The Accept header, or nothing. */
  readonly accept: string;
}

export interface AdminReply {
  readonly status: number;
  /** `text/plain` when absent. */
  readonly contentType?: string;
  readonly body: string;
}

export type AdminHandler = (request: AdminRequest) => AdminReply | Promise<AdminReply>;

export interface AdminOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** By exact path; anything else is 404 with nothing in it. */
  readonly routes: Readonly<Record<string, AdminHandler>>;
}

export interface AdminServer {
  readonly port: number;
  /** Stops listening and cuts what is left. */
  close(): Promise<void>;
}

const HEADER_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 8192;
const MAX_BODY_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 256;

/**
 * Serves people and Prometheus: HTTP/1.1, bounded in time, header and body size; malformed input is 400.
 * @throws MeshError CONFIG when the address cannot be listened on.
 */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const server = createServer(
    {
      headersTimeout: HEADER_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      // Timeouts are noticed when this interval passes: the default of 30 s would make 2 s mean half a minute.
      connectionsCheckingInterval: 500,
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: 60_000,
    },
    (request, response) => void answer(options.routes, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, options);
  return { port: boundPort(server.address()), close: () => close(server) };
}

async function answer(
  routes: AdminOptions['routes'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  discardBody(request);
  const reply = await dispatch(routes, request);
  const encoding = chooseEncoding(request.headers['accept-encoding'] ?? '');
  const body = await compress(encoding, reply.body);
  response.statusCode = reply.status;
  response.setHeader('content-type', reply.contentType ?? 'text/plain');
  response.setHeader('vary', 'accept-encoding');
  if (body.encoding !== undefined) response.setHeader('content-encoding', body.encoding);
  response.end(body.bytes);
}

async function dispatch(routes: AdminOptions['routes'], request: IncomingMessage): Promise<AdminReply> {
  const url = URL.parse(request.url ?? '/', 'http://admin');
  if (url === null) return { status: 400, body: 'the request target is not a URL\n' };
  const handler = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
  if (handler === undefined) return { status: 404, body: '' };
  try {
    return await handler({
      method: request.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      accept: request.headers.accept ?? '',
    });
  } catch (error) {
    return { status: 500, body: `${error instanceof Error ? error.message : String(error)}\n` };
  }
}

/** A body has no meaning here; one that goes on and on ends the connection. */
function discardBody(request: IncomingMessage): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) request.destroy();
  });
}

async function listen(server: Server, { host, port }: AdminOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host, port }, resolve);
  try {
    await promise;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MeshError('CONFIG', `cannot listen on ${host} port ${port}: ${why}`, { cause });
  }
  server.removeListener('error', reject);
}

function boundPort(address: AddressInfo | string | null): number {
  return address !== null && typeof address === 'object' ? address.port : 0;
}

function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  return promise;
}
