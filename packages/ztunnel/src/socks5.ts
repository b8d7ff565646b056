import type { Socket } from 'node:net';
import type { HostPort } from '@ambit/common/address/host-port';
import type { IpAddress } from '@ambit/common/address/ip';
import { asMeshError } from '@ambit/common/errors';
import { socketStream } from '@ambit/common/net/socket-stream';
import { peerOf } from './capture/original-dst.ts';
import {
  parseGreeting,
  parseRequest,
  SOCKS_METHOD_CHOSEN,
  SOCKS_REPLY,
  socksReply,
  type SocksMessage,
  type SocksTarget,
} from './capture/socks5-message.ts';
import { carryOutbound } from './outbound.ts';
import type { PodContext } from './pod-context.ts';

/** IPv4 addresses of a name as the pod's DNS answers; undefined when it is not served here. */
export type ResolveName = ((hostname: string) => Promise<readonly IpAddress[]>) | undefined;

const NEGOTIATION_TIMEOUT_MS = 10_000;

/** Takes a connection of a SOCKS5 client: what it asks for is carried like a captured connection to the same place. */
export async function acceptSocks5(context: PodContext, socket: Socket, resolve: ResolveName): Promise<void> {
  const source = peerOf(socket);
  const client = socketStream(socket);
  if (source === undefined) return client.destroy();
  const closed = context.telemetry.socketOpened('source');
  const release = context.drain.hold();
  socket.once('close', () => {
    closed();
    release();
  });
  try {
    const destination = await negotiate(socket, resolve);
    // Granted before it is tried, as Istio's agent does: a failure closes the connection.
    socket.write(socksReply(SOCKS_REPLY.granted));
    await carryOutbound(context, { client, source, destination });
  } catch (error) {
    context.telemetry.failed('outbound', source, undefined, `SOCKS5: ${asMeshError(error).message}`);
    socket.end(socksReply(error instanceof Refusal ? error.reply : SOCKS_REPLY.failure));
  }
}

class Refusal extends Error {
  readonly reply: number;

  constructor(reply: number, message: string) {
    super(message);
    this.reply = reply;
  }
}

async function negotiate(socket: Socket, resolve: ResolveName): Promise<HostPort> {
  await readMessage(socket, parseGreeting);
  socket.write(SOCKS_METHOD_CHOSEN);
  const target = await readMessage(socket, parseRequest);
  return { ip: target.ip ?? (await addressOf(target, resolve)), port: target.port };
}

async function addressOf({ hostname }: SocksTarget, resolve: ResolveName): Promise<IpAddress> {
  if (resolve === undefined)
    throw new Refusal(SOCKS_REPLY.violation, `the name ${hostname} cannot be resolved: DNS capture is off`);
  const [ip] = await resolve(hostname);
  if (ip === undefined) throw new Refusal(SOCKS_REPLY.unreachable, `no address for ${hostname}`);
  return ip;
}

/** Reads one message; what came behind it stays in the socket, which is left paused. */
function readMessage<T>(socket: Socket, parse: (bytes: Uint8Array) => SocksMessage<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let received: Buffer = Buffer.alloc(0);
  const done = (): void => {
    clearTimeout(timer);
    socket.pause();
    socket.off('data', onData).off('close', onClose).off('end', onClose);
  };
  const fail = (error: Refusal): void => {
    done();
    reject(error);
  };
  const onData = (chunk: Buffer): void => {
    // A message has at most 262 bytes: a longer one cannot be incomplete, so nothing piles up here.
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const message = parse(received);
    if (message.kind === 'more') return;
    if (message.kind === 'violation') return fail(new Refusal(SOCKS_REPLY.violation, 'no SOCKS5 CONNECT'));
    done();
    if (received.length > message.length) socket.unshift(received.subarray(message.length));
    resolve(message.value);
  };
  const onClose = (): void => fail(new Refusal(SOCKS_REPLY.failure, 'the client left while it was asking'));
  const timer = setTimeout(
    () => fail(new Refusal(SOCKS_REPLY.failure, 'the client did not say where to')),
    NEGOTIATION_TIMEOUT_MS,
  );
  socket.on('data', onData).once('close', onClose).once('end', onClose);
  socket.resume();
  return promise;
}
