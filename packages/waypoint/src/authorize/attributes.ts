import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import type { AuthzAttributes, HttpAttributes, JwtAttributes } from '@ambit/common/authz/verdict';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { Headers } from '@ambit/http/headers';

/** Who is at the other end of a tunnel and where it leads: known when it opens. */
export interface ConnectionFacts {
  /** From the client's certificate, never from a header. */
  readonly identity: SpiffeId;
  readonly source: HostPort;
  readonly destination: HostPort;
}

/** What policies see of an opaque connection. */
export function connectionAttributes(facts: ConnectionFacts, sni: string | undefined): AuthzAttributes {
  return {
    identity: facts.identity,
    sourceIp: facts.source.ip,
    remoteIp: facts.source.ip,
    destinationIp: facts.destination.ip,
    destinationPort: facts.destination.port,
    sni,
    http: undefined,
  };
}

/** What policies see of one request. One object for both interfaces: it is made for every request. */
export class RequestAttributes implements AuthzAttributes, HttpAttributes {
  readonly identity: SpiffeId;
  readonly sourceIp: IpAddress;
  readonly remoteIp: IpAddress;
  readonly destinationIp: IpAddress;
  readonly destinationPort: number;
  readonly sni: string | undefined = undefined;
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly jwt: JwtAttributes | undefined = undefined;
  readonly #headers: Headers;
  readonly #line: RequestLineFacts;

  constructor(facts: ConnectionFacts, request: RequestLineFacts, headers: Headers, remoteIp: IpAddress) {
    this.identity = facts.identity;
    this.sourceIp = facts.source.ip;
    this.remoteIp = remoteIp;
    this.destinationIp = facts.destination.ip;
    this.destinationPort = facts.destination.port;
    this.host = request.host;
    this.method = request.method;
    this.path = request.path;
    this.#headers = headers;
    this.#line = request;
  }

  get http(): HttpAttributes {
    return this;
  }

  /** Names that begin with a colon are the parts of the request line, as in HTTP/2; `host` is the same as `:authority`. */
  header(name: string): readonly string[] {
    if (name !== 'host' && name.charCodeAt(0) !== COLON) return this.#headers.getAll(name);
    const { host, method, target } = this.#line;
    switch (name) {
      case 'host':
      case ':authority':
        return host === '' ? [] : [host];
      case ':method':
        return [method];
      case ':path':
        return [target];
      case ':scheme':
        return ['http'];
      default:
        return [];
    }
  }
}

const COLON = 0x3a;

export interface RequestLineFacts {
  readonly host: string;
  readonly method: string;
  /** Normalised, without query. */
  readonly path: string;
  /** The same with its query. */
  readonly target: string;
}

/**
 * The address a request claims to come from: the last of X-Forwarded-For, as Envoy takes it behind a tunnel, else undefined.
 * Clients write it: it is for `remoteIpBlocks` and the log, never for identity.
 */
export function forwardedAddress(xForwardedFor: string | undefined): IpAddress | undefined {
  if (xForwardedFor === undefined) return undefined;
  return parseIp(xForwardedFor.slice(xForwardedFor.lastIndexOf(',') + 1).trim());
}
