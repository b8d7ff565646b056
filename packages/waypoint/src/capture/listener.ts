import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import { acceptHbone, type HboneConnection, type ServerOptions, type TunnelRequest } from '@ambit/hbone';
import type { Refusals } from './refusals.ts';

/** What a request gets that is no CONNECT. */
export const OTHER_METHOD_STATUS = 404;

/** Istio's waypoint defaults. */
const HBONE_OPTIONS = {
  maxConcurrentStreams: 100,
  streamWindow: 4 << 20,
  connectionWindow: 16 << 20,
  frameSize: 1 << 20,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 20_000,
  otherMethodStatus: OTHER_METHOD_STATUS,
};

export interface CaptureOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  /** The certificate of this waypoint, as it is now. */
  readonly credentials: () => Promise<Credentials>;
  /** The mesh's own and its aliases, as they are now. */
  readonly trustDomains: () => readonly string[];
  /** With the number of tunnels that the client (by address) has open, this one among them. */
  readonly onTunnel: (request: TunnelRequest, open: number) => void;
  /** A request that is no CONNECT was answered. */
  readonly onOther: NonNullable<ServerOptions['onOther']>;
  readonly refusals: Refusals;
  /** MAX_CONNECTIONS_PER_CLIENT: more from one address are closed before their handshake. */
  readonly maxConnectionsPerClient: number;
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
  const clients = new Clients();
  const servers: Server[] = [];
  let port = options.port;
  for (const host of options.hosts) {
    const server = createServer({ noDelay: true }, (socket) => {
      void accept(socket, options, clients);
    });
    port = await listen(server, host, port);
    servers.push(server);
  }
  return {
    port,
    get connections(): number {
      return clients.connections.size;
    },
    drain: () => {
      for (const server of servers) server.close();
      for (const connection of clients.connections) connection.drain();
    },
    close: () => {
      for (const server of servers) server.close();
      for (const connection of clients.connections) connection.destroy();
    },
  };
}

/** Who is connected: by address, as a flood of bad handshakes has no identity. */
class Clients {
  readonly connections = new Set<HboneConnection>();
  /** Sockets by address, those in their handshake too. */
  readonly #sockets = new Map<string, number>();
  readonly #byAddress = new Map<string, Set<HboneConnection>>();

  /** Counts a socket until what is returned is called; undefined when there are too many. */
  enter(address: string, limit: number): (() => void) | undefined {
    const before = this.#sockets.get(address) ?? 0;
    if (before >= limit) return undefined;
    this.#sockets.set(address, before + 1);
    return () => {
      const left = (this.#sockets.get(address) ?? 1) - 1;
      if (left === 0) this.#sockets.delete(address);
      else this.#sockets.set(address, left);
    };
  }

  add(address: string, connection: HboneConnection): void {
    this.connections.add(connection);
    const own = this.#byAddress.get(address);
    if (own === undefined) this.#byAddress.set(address, new Set([connection]));
    else own.add(connection);
  }

  remove(address: string, connection: HboneConnection): void {
    this.connections.delete(connection);
    const own = this.#byAddress.get(address);
    own?.delete(connection);
    if (own?.size === 0) this.#byAddress.delete(address);
  }

  /** Tunnels that the clients of an address have open on connections that have finished their handshake. */
  tunnels(address: string): number {
    let open = 0;
    for (const connection of this.#byAddress.get(address) ?? []) open += connection.activeTunnels;
    return open;
  }
}

async function accept(socket: Socket, options: CaptureOptions, clients: Clients): Promise<void> {
  const address = socket.remoteAddress ?? '?';
  const { refusals, maxConnectionsPerClient } = options;
  const from = { 'src.addr': `${address}:${socket.remotePort ?? 0}` };
  // Without a listener an error before the handshake owns the socket would end the process.
  socket.on('error', ignoreError);
  const leave = clients.enter(address, maxConnectionsPerClient);
  if (leave === undefined) {
    socket.destroy();
    const error = `the client has ${maxConnectionsPerClient} connections, as many as MAX_CONNECTIONS_PER_CLIENT allows`;
    return refusals.refused('connection refused', { ...from, error });
  }
  try {
    const connection = await acceptHbone(socket, {
      ...HBONE_OPTIONS,
      credentials: await options.credentials(),
      trustDomains: options.trustDomains(),
      onTunnel: (request) => options.onTunnel(request, clients.tunnels(address)),
      onOther: options.onOther,
    });
    clients.add(address, connection);
    await connection.closed;
    clients.remove(address, connection);
  } catch (error) {
    socket.destroy();
    refusals.refused('connection refused', { ...from, error: error instanceof Error ? error.message : String(error) });
  } finally {
    leave();
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
