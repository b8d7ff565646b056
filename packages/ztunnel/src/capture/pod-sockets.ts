import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Netns } from '@ambit/common/linux/netns';
import {
  connectSocket,
  fdOf,
  isTransparent,
  type Keepalive,
  listenIn,
  setKeepalive,
  setUserTimeout,
  socketIn,
  udpIn,
} from '@ambit/common/linux/sockets';

/** What all sockets of a pod have in common. */
export interface PodSocketOptions {
  /** Undefined: the namespace this program runs in. */
  readonly netns: Netns | undefined;
  /** Undefined: no mark (outside a pod there are no redirect rules). */
  readonly mark: number | undefined;
  readonly ipv6: boolean;
  readonly reusePort: boolean;
  /** Client addresses are kept on delivery; `try`: where the kernel lets us. */
  readonly originalSource: boolean | 'try';
  /** Undefined: off. */
  readonly keepalive: Keepalive | undefined;
  readonly userTimeoutMs: number | undefined;
}

export type PortRole = 'outbound' | 'inbound-plaintext' | 'hbone' | 'socks5';

const BACKLOG = 128;
const CONNECT_TIMEOUT_MS = 10_000;
/**
 * How long the kernel waits for a node agent to acknowledge bytes of a tunnel. Istio's agent sets nothing here and leaves it to
 * PINGs, which take up to 30 s to notice that a node is gone, with every connection to it stuck meanwhile.
 */
const PEER_TIMEOUT_MS = 10_000;

/** How a connection out of a pod is made. */
export interface DialOptions {
  /** Source address to take on; the pod's own when undefined. */
  readonly source?: IpAddress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Which failure a timeout is. */
  readonly timeoutCode?: 'CONNECT_TIMEOUT' | 'HBONE_TIMEOUT';
  /** The far end is a node agent, which always reads: when it acknowledges nothing it is gone. */
  readonly toAgent?: boolean;
}

/** Makes the sockets of one pod: all live in its namespace and carry the mark. */
export class PodSockets {
  readonly #options: PodSocketOptions;
  #preserveSource: boolean;

  constructor(options: PodSocketOptions) {
    this.#options = options;
    this.#preserveSource = options.originalSource === true;
  }

  /**
   * Listens on a port on every address of the pod; for SOCKS5 on loopback only.
   * @throws MeshError CONFIG when the port is taken or a right is missing.
   */
  listen(port: number, role: PortRole, accept: (socket: Socket) => void): Server {
    const { netns, mark, ipv6, reusePort, originalSource } = this.#options;
    const fd = listenIn(netns, {
      host: role === 'socks5' ? '127.0.0.1' : ipv6 ? '::' : '0.0.0.0',
      port,
      reusePort,
      backlog: BACKLOG,
      ...(mark === undefined ? {} : { mark }),
      ...(originalSource === false ? {} : { transparent: originalSource }),
    });
    if (originalSource === 'try' && isTransparent(fd)) this.#preserveSource = true;
    // Captured sockets are not read before there is somewhere to write: nothing is buffered for a decision that takes long,
    // and unread bytes make the kernel answer a refusal with a reset.
    const captured = role !== 'hbone';
    const server = createServer({ noDelay: true, allowHalfOpen: captured, pauseOnConnect: captured }, (socket) => {
      if (role === 'hbone') watchPeer(socket);
      else if (role !== 'socks5') this.#tune(socket);
      accept(socket);
    });
    server.on('error', () => {
      // EMFILE or ECONNABORTED while accepting: the next connection may work.
    });
    server.listen({ fd });
    return server;
  }

  /** A UDP socket bound to any port, for queries to name servers. */
  udp(family: 4 | 6): number {
    const { netns, mark } = this.#options;
    return udpIn(netns, { host: family === 6 ? '::' : '0.0.0.0', port: 0, ...(mark === undefined ? {} : { mark }) });
  }

  /** Descriptors for a DNS server on loopback, or on the address given. */
  dns(address: HostPort): { udp: number; tcp: number } {
    const { netns, mark, reusePort } = this.#options;
    const shared = { host: address.ip, port: address.port, reusePort, ...(mark === undefined ? {} : { mark }) };
    const udp = udpIn(netns, shared);
    try {
      return { udp, tcp: listenIn(netns, { ...shared, backlog: BACKLOG }) };
    } catch (error) {
      closeSync(udp);
      throw error;
    }
  }

  /** True when deliveries can carry the client's address. */
  get preservesSource(): boolean {
    return this.#preserveSource;
  }

  /**
   * Connects from inside the pod within ten seconds.
   * @throws MeshError CONNECT_REFUSED, or the timeout's code.
   */
  async dial(to: HostPort, options: DialOptions = {}): Promise<Socket> {
    const socket = connectSocket(this.#open(to, options.source), to, { allowHalfOpen: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { signal } = options;
    const onAbort = (): void => reject(new MeshError('DRAINING', 'the connection attempt was given up'));
    const onError = (cause: Error): void => reject(refused(to, cause));
    const timer = setTimeout(() => reject(timedOut(to, options.timeoutCode ?? 'CONNECT_TIMEOUT')), CONNECT_TIMEOUT_MS);
    socket.once('connect', resolve);
    socket.once('error', onError);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      await promise;
      socket.off('error', onError);
      socket.setNoDelay(true);
      this.#tune(socket);
      if (options.toAgent === true) watchPeer(socket);
      return socket;
    } catch (error) {
      socket.destroy();
      throw asMeshError(error, 'DRAINING');
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** With the source address when it can be had; without it the connection goes on under our own. */
  #open(to: HostPort, source: IpAddress | undefined): number {
    const { netns, mark } = this.#options;
    const family = isV6(to.ip) ? 6 : 4;
    const marked = mark === undefined ? {} : { mark };
    if (source !== undefined && this.#preserveSource && source !== to.ip && isV6(source) === isV6(to.ip)) {
      try {
        return socketIn(netns, { family, ...marked, transparent: true, bind: { ip: source, port: 0 } });
      } catch {
        // EPERM or EADDRNOTAVAIL: the application sees our address instead, as Istio's agent does.
      }
    }
    return socketIn(netns, { family, ...marked });
  }

  #tune(socket: Socket): void {
    const { keepalive, userTimeoutMs } = this.#options;
    const fd = fdOf(socket);
    if (fd < 0) return;
    if (keepalive !== undefined) setKeepalive(fd, keepalive);
    if (userTimeoutMs !== undefined) setUserTimeout(fd, userTimeoutMs);
  }
}

function watchPeer(socket: Socket): void {
  const fd = fdOf(socket);
  if (fd >= 0) setUserTimeout(fd, PEER_TIMEOUT_MS);
}

const refused = (to: HostPort, cause: Error): MeshError =>
  new MeshError('CONNECT_REFUSED', `connection failed: ${cause.message.replace(/^connect /, '')} (to ${to.ip})`, {
    cause,
  });

function timedOut(to: HostPort, code: 'CONNECT_TIMEOUT' | 'HBONE_TIMEOUT'): MeshError {
  const message =
    code === 'HBONE_TIMEOUT'
      ? `connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: no answer from ${to.ip} port ${to.port} within ${CONNECT_TIMEOUT_MS / 1000} s`
      : `connection timed out: no answer from ${to.ip} port ${to.port} within ${CONNECT_TIMEOUT_MS / 1000} s`;
  return new MeshError(code, message);
}
