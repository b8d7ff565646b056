import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { acceptHbone, type HboneConnection, type TunnelRequest } from '@ambit/hbone';

/** Istio's waypoint defaults. */
const HBONE_OPTIONS = {
  maxConcurrentStreams: 100,
  streamWindow: 4 << 20,
  connectionWindow: 16 << 20,
  frameSize: 1 << 20,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 20_000,
  otherMethodStatus: 404,
};

export interface CaptureOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  /** The certificate of this waypoint, as it is now. */
  readonly credentials: () => Promise<Credentials>;
  /** The mesh's own and its aliases, as they are now. */
  readonly trustDomains: () => readonly string[];
  readonly onTunnel: (request: TunnelRequest) => void;
  readonly log: ScopedLogger;
}

/** The port that tunnels arrive at. */
export interface CaptureListener {
  readonly port: number;
  /** Connections open now. */
  readonly connections: number;
  /** Accepts no more connections and tells the open ones to open no more tunnels. */
  drain(): void;
  /** Cuts what is left. */
  close(): void;
}

/** Listens for HBONE connections. @throws MeshError CONFIG when an address cannot be listened on. */
export async function listenForTunnels(options: CaptureOptions): Promise<CaptureListener> {
  const connections = new Set<HboneConnection>();
  const servers: Server[] = [];
  let port = options.port;
  for (const host of options.hosts) {
    const server = createServer({ noDelay: true }, (socket) => {
      void accept(socket, options, connections);
    });
    port = await listen(server, host, port);
    servers.push(server);
  }
  return {
    port,
    get connections(): number {
      return connections.size;
    },
    drain: () => {
      for (const server of servers) server.close();
      for (const connection of connections) connection.drain();
    },
    close: () => {
      for (const server of servers) server.close();
      for (const connection of connections) connection.destroy();
    },
  };
}

async function accept(socket: Socket, options: CaptureOptions, connections: Set<HboneConnection>): Promise<void> {
  const remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
  // Without a listener an error before the handshake owns the socket would end the process.
  socket.on('error', ignoreError);
  try {
    const connection = await acceptHbone(socket, {
      ...HBONE_OPTIONS,
      credentials: await options.credentials(),
      trustDomains: options.trustDomains(),
      onTunnel: options.onTunnel,
    });
    connections.add(connection);
    await connection.closed;
    connections.delete(connection);
  } catch (error) {
    socket.destroy();
    const reason = error instanceof Error ? error.message : String(error);
    options.log.warn('connection refused', { 'src.addr': remote, error: reason });
  }
}

/** Whoever owns the socket is told by its close; the error itself was logged or expected (ECONNRESET). */
function ignoreError(): void {
  // Nothing to do: see above.
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once('error', (error) => {
    reject(new MeshError('CONFIG', `cannot listen on ${host} port ${port}: ${error.message}`, { cause: error }));
  });
  server.listen({ host, port, ipv6Only: host === '::' }, () => {
    const address = server.address();
    resolve(typeof address === 'object' && address !== null ? address.port : port);
  });
  return promise;
}
