import { type HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isV6, parseIp } from '@ambit/common/address/ip';
import {
  addressRecord,
  type DnsMessage,
  type DnsQuestion,
  encodeMessage,
  parseMessage,
  query,
  RCODE,
  RECORD,
  recordAddress,
  reply,
} from '@ambit/common/dns/message';
import type { ResolverConfig } from './resolv-conf.ts';

/** Sends one query and gives the bytes of the answer. Rejects when none came in time. */
export type DnsExchange = (
  protocol: 'udp' | 'tcp',
  server: HostPort,
  bytes: Uint8Array,
  accept: (answer: Uint8Array) => boolean,
) => Promise<Uint8Array>;

export interface UpstreamOptions {
  readonly config: ResolverConfig;
  readonly hosts: ReadonlyMap<string, readonly IpAddress[]>;
  readonly exchange: DnsExchange;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly randomId: () => number;
}

const CACHE_ENTRIES = 4096;
const MAX_TTL_S = 86_400;
const LOCAL_TTL_S = 30;
const MAX_IN_FLIGHT = 1024;

interface Cached {
  readonly message: DnsMessage;
  readonly stored: number;
  readonly ttlSeconds: number;
}

/** A stub resolver: name servers in turn, TCP after truncation, answers cached by their TTL, negative ones too. */
export class DnsUpstream {
  readonly #options: UpstreamOptions;
  readonly #cache = new Map<string, Cached>();
  readonly #pending = new Map<string, Promise<DnsMessage>>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** The answer to a question, TTLs counted down. Rejects when no name server answers. */
  async resolve(asked: DnsQuestion): Promise<DnsMessage> {
    const question = { ...asked, name: asked.name.toLowerCase() };
    const local = this.#local(question);
    if (local !== undefined) return local;
    const key = `${question.type}/${question.class}/${question.name}`;
    const cached = this.#cached(key);
    if (cached !== undefined) return cached;
    const running = this.#pending.get(key);
    if (running !== undefined) return running;
    if (this.#pending.size >= MAX_IN_FLIGHT) throw new Error('too many queries are waiting for name servers');
    const answer = this.#ask(question);
    this.#pending.set(key, answer);
    try {
      const message = await answer;
      this.#store(key, message);
      return message;
    } finally {
      this.#pending.delete(key);
    }
  }

  /** Addresses of a host, of both families or IPv4 only; empty when there are none. */
  async addresses(hostname: string, ipv6: boolean): Promise<IpAddress[]> {
    const literal = parseIp(hostname);
    if (literal !== undefined) return [literal];
    const types = ipv6 ? [RECORD.A, RECORD.AAAA] : [RECORD.A];
    const answers = await Promise.allSettled(types.map((type) => this.resolve({ name: hostname, type, class: 1 })));
    const records = answers.flatMap((one) => (one.status === 'fulfilled' ? one.value.answers : []));
    return records.map(recordAddress).filter((ip) => ip !== undefined);
  }

  #local(question: DnsQuestion): DnsMessage | undefined {
    if (question.type !== RECORD.A && question.type !== RECORD.AAAA) return undefined;
    const { name } = question;
    const isLocalhost = name === 'localhost' || name.endsWith('.localhost');
    const known = this.#options.hosts.get(name) ?? (isLocalhost ? LOOPBACK : undefined);
    if (known === undefined) return undefined;
    const answers = known
      .filter((ip) => isV6(ip) === (question.type === RECORD.AAAA))
      .map((ip) => addressRecord(name, LOCAL_TTL_S, ip));
    return reply(query(0, name, question.type), { answers });
  }

  #cached(key: string): DnsMessage | undefined {
    const entry = this.#cache.get(key);
    if (entry === undefined) return undefined;
    const age = Math.floor((this.#options.now() - entry.stored) / 1000);
    if (age >= entry.ttlSeconds) {
      this.#cache.delete(key);
      return undefined;
    }
    const older = (records: DnsMessage['answers']): DnsMessage['answers'] =>
      records.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - age) }));
    return { ...entry.message, answers: older(entry.message.answers), additionals: older(entry.message.additionals) };
  }

  #store(key: string, message: DnsMessage): void {
    const ttlSeconds = cacheSeconds(message);
    if (ttlSeconds <= 0) return;
    const oldest = this.#cache.size >= CACHE_ENTRIES ? this.#cache.keys().next().value : undefined;
    if (oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(key, { message, stored: this.#options.now(), ttlSeconds });
  }

  /** Every server in every round; a server that refuses or fails is passed over, unless nobody does better. */
  async #ask(question: DnsQuestion): Promise<DnsMessage> {
    const { servers, attempts } = this.#options.config;
    let failure: unknown = new Error('resolv.conf names no name server');
    let poor: DnsMessage | undefined;
    for (let attempt = 0; attempt < attempts; attempt++) {
      for (const server of servers) {
        try {
          const answer = await this.#askServer(server, question);
          if (answer.rcode === RCODE.NOERROR || answer.rcode === RCODE.NXDOMAIN) return answer;
          poor = answer;
        } catch (error) {
          failure = error;
        }
      }
      if (poor !== undefined) return poor;
    }
    throw failure;
  }

  async #askServer(server: HostPort, question: DnsQuestion): Promise<DnsMessage> {
    const answer = await this.#exchange('udp', server, question);
    return answer.truncated ? this.#exchange('tcp', server, question) : answer;
  }

  async #exchange(protocol: 'udp' | 'tcp', server: HostPort, question: DnsQuestion): Promise<DnsMessage> {
    const request = { ...query(this.#options.randomId(), question.name, question.type), questions: [question] };
    let answer: DnsMessage | undefined;
    await this.#options.exchange(protocol, server, encodeMessage(request), (bytes) => {
      const message = parseMessage(bytes);
      if (message === undefined || !answers(request, message)) return false;
      answer = message;
      return true;
    });
    if (answer === undefined) throw new Error('the name server sent no usable answer');
    return answer;
  }
}

const LOOPBACK: readonly IpAddress[] = ['127.0.0.1', '::1']
  .map((text) => parseIp(text))
  .filter((ip) => ip !== undefined);

/** An answer counts only with our id and our question: anything else is forged or late. */
function answers(request: DnsMessage, message: DnsMessage): boolean {
  const asked = request.questions[0];
  const echoed = message.questions[0];
  return (
    message.response &&
    message.id === request.id &&
    echoed !== undefined &&
    asked !== undefined &&
    echoed.type === asked.type &&
    echoed.name.toLowerCase() === asked.name
  );
}

/** The smallest TTL of the answers; for negative answers what the SOA record allows (RFC 2308 §5). */
function cacheSeconds(message: DnsMessage): number {
  if (message.truncated) return 0;
  if (message.answers.length > 0) return Math.min(MAX_TTL_S, ...message.answers.map((record) => record.ttl));
  if (message.rcode !== RCODE.NOERROR && message.rcode !== RCODE.NXDOMAIN) return 0;
  const soa = message.authorities.find((record) => record.type === RECORD.SOA);
  if (soa === undefined || soa.data.length < 4) return 0;
  const minimum = new DataView(soa.data.buffer, soa.data.byteOffset + soa.data.length - 4, 4).getUint32(0);
  return Math.min(MAX_TTL_S, soa.ttl, minimum);
}
