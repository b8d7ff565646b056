import { type Socket as UdpSocket, createSocket } from 'node:dgram';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { type HostPort, parseAuthority } from '@ambit/common/address/host-port';
import { type IpAddress, isV6, parseIp } from '@ambit/common/address/ip';
import {
  type DnsMessage,
  RCODE,
  RECORD,
  encodeMessage,
  parseMessage,
  recordTarget,
  reply,
} from '@ambit/common/dns/message';
import { MeshError } from '@ambit/common/errors';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { ClusterZone } from './cluster-zone.ts';

export interface ClusterDnsOptions {
  readonly addresses: readonly IpAddress[];
  readonly port?: number;
  readonly zone: () => ClusterZone;
  /** Who is asked about names outside the zone, in order. */
  readonly upstreams: readonly string[];
  readonly log: ScopedLogger;
}

export interface ClusterDns {
  readonly close: () => void;
}

const NOTHING = new Uint8Array(0);
const UPSTREAM_TIMEOUT_MS = 2000;
const MAX_FORWARDED = 512;
const MAX_TCP_CLIENTS = 128;
const TCP_IDLE_MS = 10_000;
const MIN_UDP_BYTES = 512;
/** No fragmentation on any path of a machine's own networks. */
const MAX_UDP_BYTES = 4096;

/** Serves the cluster's zone over UDP and TCP, and forwards everything else. Rejects when the port cannot be had. */
export async function startClusterDns(options: ClusterDnsOptions): Promise<ClusterDns> {
  const server = new DnsServer(options);
  for (const address of options.addresses) await server.listen(address);
  return { close: () => server.close() };
}

class DnsServer {
  readonly #options: ClusterDnsOptions;
  readonly #closing: (() => void)[] = [];
  readonly #clients = new Set<Socket>();
  #forwarded = 0;

  constructor(options: ClusterDnsOptions) {
    this.#options = options;
  }

  async listen(address: IpAddress): Promise<void> {
    const port = this.#options.port ?? 53;
    const udp = createSocket(isV6(address) ? 'udp6' : 'udp4');
    udp.on('message', (bytes, peer) => {
      void this.#respond(bytes, 'udp').then((answer) => {
        if (answer !== undefined) udp.send(answer, peer.port, peer.address, () => {});
      });
    });
    const tcp = createServer((socket) => this.#onClient(socket));
    await Promise.all([bound(udp, port, address), listening(tcp, port, address)]);
    udp.on('error', (error) => this.#options.log.warn('cluster DNS socket failed', { error: error.message }));
    tcp.on('error', (error) => this.#options.log.warn('cluster DNS socket failed', { error: error.message }));
    this.#closing.push(
      () => udp.close(),
      () => tcp.close(),
    );
  }

  close(): void {
    for (const close of this.#closing.splice(0)) close();
    for (const client of this.#clients) client.destroy();
  }

  #onClient(socket: Socket): void {
    if (this.#clients.size >= MAX_TCP_CLIENTS) return void socket.destroy();
    this.#clients.add(socket);
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on('close', () => this.#clients.delete(socket));
    // ECONNRESET: the client is gone, and nobody waits for the answer
    socket.on('error', () => {});
    const reader = new LengthReader((bytes) => {
      void this.#respond(bytes, 'tcp').then((answer) => {
        if (answer !== undefined && !socket.destroyed) socket.write(withLength(answer));
      });
    });
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
  }

  /** The answer as bytes; undefined for what is no query: answering that could be made to echo for ever. */
  async #respond(bytes: Uint8Array, transport: 'udp' | 'tcp'): Promise<Uint8Array | undefined> {
    const query = parseMessage(bytes);
    if (query === undefined || query.response) return undefined;
    const answer = this.#options.zone().answer(query);
    if (answer !== 'forward') {
      const whole = await this.#follow(query, answer, transport);
      return encodeMessage(whole, transport === 'tcp' ? undefined : udpLimit(query));
    }
    return (
      (await this.#forward(bytes, transport)) ??
      encodeMessage(reply(query, { rcode: RCODE.SERVFAIL, recursionAvailable: true }))
    );
  }

  /** An alias is answered together with what it stands for: stub resolvers do not ask again. */
  async #follow(query: DnsMessage, answer: DnsMessage, transport: 'udp' | 'tcp'): Promise<DnsMessage> {
    const [alias] = answer.answers;
    const target = alias === undefined ? undefined : recordTarget(alias);
    const question = query.questions[0];
    if (target === undefined || question === undefined || question.type === RECORD.CNAME) return answer;
    const next: DnsMessage = { ...query, questions: [{ ...question, name: target }] };
    const local = this.#options.zone().answer(next);
    const bytes = local === 'forward' ? await this.#forward(encodeMessage(next), transport) : undefined;
    const found = local === 'forward' ? parseMessage(bytes ?? NOTHING) : local;
    return { ...answer, answers: [...answer.answers, ...(found?.answers ?? [])], authorities: [] };
  }

  async #forward(bytes: Uint8Array, transport: 'udp' | 'tcp'): Promise<Uint8Array | undefined> {
    if (this.#forwarded >= MAX_FORWARDED) return undefined;
    this.#forwarded += 1;
    try {
      for (const upstream of this.#options.upstreams.map(parseUpstream)) {
        if (upstream === undefined) continue;
        const answer = await (transport === 'udp' ? askUdp : askTcp)(bytes, upstream);
        if (answer !== undefined) return answer;
      }
      return undefined;
    } finally {
      this.#forwarded -= 1;
    }
  }
}

const udpLimit = (query: DnsMessage): number =>
  Math.min(MAX_UDP_BYTES, Math.max(MIN_UDP_BYTES, query.edns?.udpSize ?? MIN_UDP_BYTES));

/** `1.2.3.4`, `1.2.3.4:5353`, `::1` or `[::1]:5353`; undefined when it is none of these. */
export function parseUpstream(text: string): HostPort | undefined {
  const ip = parseIp(text);
  if (ip !== undefined) return { ip, port: 53 };
  const authority = parseAuthority(text);
  return authority?.ip === undefined ? undefined : { ip: authority.ip, port: authority.port };
}

/** A socket of its own for each question: its random port is what keeps forged answers out, besides the id. */
function askUdp(bytes: Uint8Array, upstream: HostPort): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isV6(upstream.ip) ? 'udp6' : 'udp4');
    const done = (answer: Uint8Array | undefined): void => {
      clearTimeout(timer);
      socket.removeAllListeners('message');
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => done(undefined), UPSTREAM_TIMEOUT_MS);
    socket.once('error', () => done(undefined));
    socket.on('message', (answer) => {
      if (answer[0] === bytes[0] && answer[1] === bytes[1]) done(answer);
    });
    socket.connect(upstream.port, upstream.ip, () => socket.send(bytes));
  });
}

function askTcp(bytes: Uint8Array, upstream: HostPort): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: upstream.ip, port: upstream.port });
    const done = (answer: Uint8Array | undefined): void => {
      resolve(answer);
      socket.destroy();
    };
    const reader = new LengthReader(done);
    socket.setTimeout(UPSTREAM_TIMEOUT_MS, () => done(undefined));
    socket.once('error', () => done(undefined));
    socket.once('close', () => done(undefined));
    socket.once('connect', () => socket.write(withLength(bytes)));
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
  });
}

/** Cuts a TCP stream into messages (RFC 1035 §4.2.2). Holds at most one message of 65,535 bytes. */
class LengthReader {
  readonly #onMessage: (bytes: Uint8Array) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onMessage: (bytes: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  push(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 2 && this.#rest.length >= 2 + this.#rest.readUInt16BE(0)) {
      const end = 2 + this.#rest.readUInt16BE(0);
      this.#onMessage(this.#rest.subarray(2, end));
      this.#rest = this.#rest.subarray(end);
    }
  }
}

function withLength(bytes: Uint8Array): Uint8Array {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

const cannotListen = (address: string, port: number, error: Error): MeshError =>
  new MeshError('CONFIG', `cluster DNS cannot listen on ${address}:${port}: ${error.message}`, { cause: error });

const bound = (socket: UdpSocket, port: number, address: string): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('error', (error) => reject(cannotListen(address, port, error)));
    socket.bind({ port, address }, () => resolve());
  });

const listening = (server: Server, port: number, host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(host, port, error)));
    server.listen({ port, host }, () => resolve());
  });
