import { Headers } from '@ambit/http/headers';

/** A reply that this program makes itself. */
export interface LocalReply {
  readonly status: number;
  readonly headers: Headers;
  /** Empty for HEAD, although the headers tell its length. */
  readonly body: Uint8Array;
}

export interface LocalReplyFacts {
  readonly status: number;
  /** Text for the client; '' = no body. */
  readonly text: string;
  /** The caller speaks gRPC: it gets a grpc-status instead. */
  readonly isGrpc: boolean;
  readonly isHead: boolean;
  readonly server: string;
  readonly date: string;
  /** The upstream's limits were hit: told by `x-envoy-overloaded`. */
  readonly overloaded: boolean;
}

const NO_BODY = new Uint8Array(0);

/** HTTP status → grpc-status, as the gRPC specification maps them for proxies; everything else is UNKNOWN (2). */
const GRPC_STATUS: ReadonlyMap<number, number> = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);

/** Makes a local reply in Envoy's form: text/plain without charset and newline, or for gRPC callers a trailers-only response. */
export function localReply(facts: LocalReplyFacts): LocalReply {
  if (facts.isGrpc) return grpcReply(facts);
  const body = Buffer.from(facts.text);
  const flat: string[] = [];
  if (facts.text !== '') flat.push('content-length', String(body.length), 'content-type', 'text/plain');
  if (facts.overloaded) flat.push('x-envoy-overloaded', 'true');
  return { status: facts.status, headers: finish(flat, facts), body: facts.isHead ? NO_BODY : body };
}

function grpcReply(facts: LocalReplyFacts): LocalReply {
  const flat = ['content-type', 'application/grpc', 'grpc-status', String(GRPC_STATUS.get(facts.status) ?? 2)];
  if (facts.text !== '') flat.push('grpc-message', percentEncode(facts.text));
  if (facts.overloaded) flat.push('x-envoy-overloaded', 'true');
  return { status: 200, headers: finish(flat, facts), body: NO_BODY };
}

function finish(flat: string[], { date, server }: LocalReplyFacts): Headers {
  flat.push('date', date);
  if (server !== '') flat.push('server', server);
  return new Headers(flat);
}

/** grpc-message is percent-encoded UTF-8 outside visible ASCII. */
const percentEncode = (text: string): string =>
  text.replace(/[^ -~]|%/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
