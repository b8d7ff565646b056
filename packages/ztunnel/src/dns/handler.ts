import { type DnsMessage, type DnsQuestion, RCODE, RECORD, reply } from '@ambit/common/dns/message';
import type { Workload } from '@ambit/common/model/workload';
import type { DnsAnswer } from './answer.ts';

export type DnsProtocol = 'udp' | 'tcp';

/** One handled query, for the log and the metrics. */
export interface DnsEvent {
  readonly client: Workload | undefined;
  readonly type: number;
  readonly domain: string;
  readonly protocol: DnsProtocol;
  readonly result: string;
  /** Addresses in a local answer. */
  readonly endpoints: number;
  /** Set when the query was forwarded. */
  readonly forwarded: { readonly ms: number; readonly failed: boolean } | undefined;
}

export interface DnsHandlerOptions {
  /** The pod that asks. @throws when the mesh does not know it in time. */
  readonly client: () => Promise<Workload>;
  readonly answer: (client: Workload, question: DnsQuestion) => DnsAnswer;
  readonly forward: (question: DnsQuestion) => Promise<DnsMessage>;
  readonly observe: (event: DnsEvent) => void;
  readonly now: () => number;
}

/** Answers one message of a client; undefined when it deserves no answer. Never rejects. */
export type DnsHandler = (message: DnsMessage, protocol: DnsProtocol) => Promise<DnsMessage | undefined>;

/** Decides between the mesh's own answer and the name servers. */
export function createDnsHandler(options: DnsHandlerOptions): DnsHandler {
  return async (message, protocol) => {
    if (message.response) return undefined;
    if (message.opcode !== 0) return failure(message, RCODE.NOTIMP);
    const question = message.questions[0];
    if (question === undefined || message.questions.length > 1) return failure(message, RCODE.FORMERR);
    const client = await clientOf(options);
    const event = { client, type: question.type, domain: `${question.name.toLowerCase()}.`, protocol };
    if (client === undefined) {
      options.observe({ ...event, result: 'unknown client', endpoints: 0, forwarded: undefined });
      return failure(message, RCODE.SERVFAIL);
    }
    const answer = options.answer(client, question);
    if (answer.kind === 'forward') return forward(options, message, question, event);
    const endpoints = answer.records.filter((record) => record.type !== RECORD.CNAME).length;
    options.observe({ ...event, result: answer.result, endpoints, forwarded: undefined });
    return reply(message, {
      authoritative: true,
      recursionAvailable: true,
      rcode: RCODE.NOERROR,
      answers: answer.records,
    });
  };
}

async function clientOf(options: DnsHandlerOptions): Promise<Workload | undefined> {
  try {
    return await options.client();
  } catch {
    // NO_IDENTITY: the control plane has not told of the pod; the answer says SERVFAIL.
    return undefined;
  }
}

type EventHead = Pick<DnsEvent, 'client' | 'type' | 'domain' | 'protocol'>;

async function forward(
  options: DnsHandlerOptions,
  message: DnsMessage,
  question: DnsQuestion,
  event: EventHead,
): Promise<DnsMessage> {
  const started = options.now();
  const done = (result: string, failed: boolean): void =>
    options.observe({ ...event, result, endpoints: 0, forwarded: { ms: options.now() - started, failed } });
  try {
    const answer = await options.forward(question);
    done('forwarded', false);
    if (answer.rcode !== RCODE.NOERROR || answer.answers.length === 0) return failure(message, answer.rcode);
    return reply(message, {
      authoritative: false,
      recursionAvailable: true,
      rcode: RCODE.NOERROR,
      answers: answer.answers,
      additionals: answer.additionals,
    });
  } catch (error) {
    done(`forwarding failed (${error instanceof Error ? error.message : String(error)})`, true);
    return failure(message, RCODE.SERVFAIL);
  }
}

/** A bare response code: no records, no OPT. */
const failure = (message: DnsMessage, rcode: number): DnsMessage =>
  reply(message, { authoritative: false, recursionAvailable: false, rcode, edns: undefined });
