import { createSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { type HostPort } from '@ambit/common/address/host-port';
import { isV6 } from '@ambit/common/address/ip';
import type { DnsExchange } from './upstream.ts';
import { framed } from './server.ts';

/** How sockets to name servers are made: in a pod, marked; or where this program runs. */
export interface DnsSocketSource {
  /** A bound UDP socket on any port, of the family. */
  udp(family: 4 | 6): number;
  tcp(to: HostPort): Promise<Socket>;
}

/** Exchanges messages with name servers; a new port for every query makes answers hard to forge. */
export function socketExchange(sockets: DnsSocketSource, timeoutMs: number): DnsExchange {
  return (protocol, server, bytes, accept) =>
    protocol === 'udp'
      ? udpExchange(sockets, timeoutMs, { server, bytes, accept })
      : tcpExchange(sockets, timeoutMs, { server, bytes, accept });
}

interface Request {
  readonly server: HostPort;
  readonly bytes: Uint8Array;
  readonly accept: (answer: Uint8Array) => boolean;
}

async function udpExchange(sockets: DnsSocketSource, timeoutMs: number, request: Request): Promise<Uint8Array> {
  const { server, bytes, accept } = request;
  const family = isV6(server.ip) ? 6 : 4;
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const timer = setTimeout(() => reject(timedOut(server)), timeoutMs);
  socket.on('message', (answer, peer) => {
    if (peer.port === server.port && accept(answer)) resolve(answer);
  });
  socket.on('error', reject);
  try {
    socket.bind({ fd: sockets.udp(family) }, () =>
      socket.send(bytes, server.port, server.ip, (error) => (error === null ? undefined : reject(error))),
    );
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

async function tcpExchange(sockets: DnsSocketSource, timeoutMs: number, request: Request): Promise<Uint8Array> {
  const { server, bytes, accept } = request;
  const socket = await sockets.tcp(server);
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const timer = setTimeout(() => reject(timedOut(server)), timeoutMs);
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < received.readUInt16BE(0) + 2) return;
    const answer = received.subarray(2, received.readUInt16BE(0) + 2);
    if (accept(answer)) resolve(answer);
    else reject(new Error(`${server.ip} answered another question`));
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error(`${server.ip} closed the connection without an answer`)));
  try {
    socket.write(framed(bytes));
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

const timedOut = (server: HostPort): Error => new Error(`no answer from name server ${server.ip} in time`);
