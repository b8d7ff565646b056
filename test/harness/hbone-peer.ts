/** HBONE peers that a test plays: the gateway of another network, a waypoint behind an agent, a client that asks for anything. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { parseIp } from '@ambit/common/address/ip';
import type { Credentials } from '@ambit/common/identity/credentials';
import { parseSpiffe } from '@ambit/common/identity/spiffe';
import { connectSocket, listenIn, socketIn } from '@ambit/common/linux/sockets';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { acceptHbone, HbonePool } from '@ambit/hbone/index';
import { Headers } from '@ambit/http/headers';
import type { TestPod } from './netns.ts';

const WINDOWS = { streamWindow: 1 << 20, connectionWindow: 1 << 20, frameSize: 1 << 14 };

/** The gateway of another network: every tunnel ends there and its bytes, another HBONE connection, go on to `to` port 15008. */
export function startNetworkGateway(
  pod: TestPod,
  port: number,
  part: { readonly credentials: Credentials; readonly to: string; readonly asked: string[] },
): Server {
  const server = createServer((socket) => {
    void acceptHbone(socket, {
      ...WINDOWS,
      credentials: part.credentials,
      trustDomains: ['cluster.local'],
      maxConcurrentStreams: 100,
      pingIntervalMs: 0,
      pingTimeoutMs: 0,
      onTunnel: (request) => {
        part.asked.push(`${request.head.authority} ${request.head.headers.get('x-forwarded-network') ?? '-'}`);
        const tunnel = request.accept(new Headers());
        splice(tunnel, socketStream(dialFrom(pod, part.to, 15_008)), () => undefined);
      },
    });
  });
  return server.listen({ fd: listenIn(pod.netns, { host: '::', port, backlog: 16 }) });
}

/** A waypoint's proxy behind an agent: reads a PROXY v2 header if told to, then carries bytes to `to`, as an application of the pod. */
export function startSandwich(
  pod: TestPod,
  port: number,
  part: { readonly proxied: boolean; readonly to: string; readonly toPort: number; readonly seen: string[] },
): Server {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    const onward = (): void => {
      const upstream = dialFrom(pod, part.to, part.toPort);
      client.on('error', () => upstream.destroy());
      upstream.on('error', () => client.destroy());
      client.pipe(upstream).pipe(client);
    };
    if (!part.proxied) return onward();
    client.once('data', (chunk: Buffer) => {
      client.pause();
      const length = 16 + chunk.readUInt16BE(14);
      const at = (offset: number): string => [...chunk.subarray(offset, offset + 4)].join('.');
      const identity = chunk.subarray(28 + 3, length).toString();
      part.seen.push(`${at(16)} → ${at(20)}:${chunk.readUInt16BE(26)} ${identity}`);
      if (chunk.length > length) client.unshift(chunk.subarray(length));
      onward();
    });
    client.resume();
  });
  return server.listen({ fd: listenIn(pod.netns, { host: '::', port, backlog: 16 }) });
}

/** Asks a pod's 15008 for a tunnel and gives what comes back first, or the message of the refusal. */
export async function askTunnel(
  from: TestPod,
  credentials: Credentials,
  ask: { readonly at: string; readonly accept: string; readonly authority: string },
): Promise<string> {
  const pool = new HbonePool({
    ...WINDOWS,
    maxStreams: 10,
    idleMs: 1000,
    dial: async (address) => {
      const socket = dialFrom(from, address.ip, address.port);
      await once(socket, 'connect');
      return socket;
    },
  });
  const accept = parseSpiffe(ask.accept);
  const [ip, source] = [parseIp(ask.at), parseIp(from.ipv4)];
  if (accept === undefined || ip === undefined || source === undefined) throw new Error('not an id or an address');
  const target = { address: { ip, port: 15_008 }, accept: [accept], source };
  const head = { authority: ask.authority, headers: new Headers() };
  try {
    const tunnel = await pool.open(credentials, target, head, AbortSignal.timeout(5000));
    return await new Promise((resolve) =>
      tunnel.attach({
        onData: (chunk) => resolve(Buffer.from(chunk).toString()),
        onEnd: () => resolve('end'),
        onDrain: () => undefined,
        onClose: (error) => resolve(String(error)),
      }),
    );
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await pool[Symbol.asyncDispose]();
  }
}

function dialFrom(pod: TestPod, ip: string, port: number): Socket {
  const parsed = parseIp(ip);
  if (parsed === undefined) throw new Error(`${ip} is no address`);
  const fd = socketIn(pod.netns, { family: ip.includes(':') ? 6 : 4 });
  return connectSocket(fd, { ip: parsed, port }, { allowHalfOpen: true });
}
