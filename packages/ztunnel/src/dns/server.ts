import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { type DnsMessage, encodeMessage, parseMessage } from '@ambit/common/dns/message';
import type { DnsHandler } from './handler.ts';

/** Answers without an OPT record may be this long: Istio's, not RFC 1035's 512. */
const UDP_LIMIT_WITHOUT_EDNS = 4096;
const MIN_UDP_LIMIT = 512;
const TCP_IDLE_MS = 5000;
const MAX_TCP_CONNECTIONS = 128;
const MAX_TCP_QUERIES_WAITING = 32;
const MAX_UDP_QUERIES_WAITING = 1024;

/** Descriptors of bound sockets, which the server takes over. */
export interface DnsSockets {
  readonly udp: readonly { readonly fd: number; readonly type: 'udp4' | 'udp6' }[];
  readonly tcp: readonly number[];
}

export interface DnsServer {
  close(): void;
}

/** Serves DNS over UDP and TCP on sockets made in a pod. */
export function serveDns(sockets: DnsSockets, handler: DnsHandler): DnsServer {
  const udp = sockets.udp.map(({ fd, type }) => serveUdp(fd, type, handler));
  const tcp = sockets.tcp.map((fd) => serveTcp(fd, handler));
  return {
    close: () => {
      for (const socket of udp) socket.close();
      for (const { server, connections } of tcp) {
        server.close();
        for (const connection of connections) connection.destroy();
      }
    },
  };
}

function serveUdp(fd: number, type: 'udp4' | 'udp6', handler: DnsHandler): UdpSocket {
  const socket = createSocket(type);
  let waiting = 0;
  let open = true;
  const answer = async (bytes: Uint8Array, peer: RemoteInfo): Promise<void> => {
    const message = parseMessage(bytes);
    const response = message === undefined ? undefined : await handler(message, 'udp');
    if (message === undefined || response === undefined || !open) return;
    socket.send(encodeMessage(response, udpLimit(message)), peer.port, peer.address, ignoreSendError);
  };
  socket.on('message', (bytes, peer) => {
    if (waiting >= MAX_UDP_QUERIES_WAITING) return;
    waiting++;
    void answer(bytes, peer).finally(() => waiting--);
  });
  socket.on('error', () => {
    // ECONNREFUSED of an earlier answer: that client is gone, the others are not.
  });
  socket.on('close', () => (open = false));
  socket.bind({ fd });
  return socket;
}

/** A client that is gone needs no answer. */
const ignoreSendError = (): void => undefined;

const udpLimit = (message: DnsMessage): number =>
  message.edns === undefined ? UDP_LIMIT_WITHOUT_EDNS : Math.max(MIN_UDP_LIMIT, message.edns.udpSize);

function serveTcp(fd: number, handler: DnsHandler): { server: Server; connections: Set<Socket> } {
  const connections = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    new TcpClient(socket, handler).start();
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  server.on('error', () => {
    // EMFILE while accepting: the next connection may work.
  });
  server.listen({ fd });
  return { server, connections };
}

/** One TCP client: messages with two bytes of length before each (RFC 1035 §4.2.2), answered as they are ready. */
class TcpClient {
  readonly #socket: Socket;
  readonly #handler: DnsHandler;
  #buffer: Buffer = Buffer.alloc(0);
  #waiting = 0;

  constructor(socket: Socket, handler: DnsHandler) {
    this.#socket = socket;
    this.#handler = handler;
  }

  start(): void {
    const socket = this.#socket;
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    this.#next();
  }

  #next(): void {
    while (this.#waiting < MAX_TCP_QUERIES_WAITING && this.#buffer.length >= 2) {
      const length = this.#buffer.readUInt16BE(0);
      if (this.#buffer.length < length + 2) break;
      const message = parseMessage(this.#buffer.subarray(2, length + 2));
      this.#buffer = this.#buffer.subarray(length + 2);
      if (message === undefined) {
        this.#socket.destroy();
        return;
      }
      this.#waiting++;
      void this.#answer(message);
    }
    if (this.#waiting >= MAX_TCP_QUERIES_WAITING) this.#socket.pause();
  }

  async #answer(message: DnsMessage): Promise<void> {
    const response = await this.#handler(message, 'tcp');
    this.#waiting--;
    if (this.#socket.destroyed) return;
    if (response !== undefined) this.#socket.write(framed(encodeMessage(response)));
    this.#socket.resume();
    this.#next();
  }
}

/** The message with its length before it. */
export function framed(bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(bytes.length + 2);
  out.writeUInt16BE(bytes.length, 0);
  out.set(bytes, 2);
  return out;
}
