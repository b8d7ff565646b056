import { type IpAddress, ipFromBytes } from '@ambit/common/address/ip';

/** RFC 1928: what a client has said so far. */
export type SocksMessage<T> =
  | { readonly kind: 'more' }
  /** Nothing this program does, or no SOCKS5. */
  | { readonly kind: 'violation' }
  | { readonly kind: 'read'; readonly value: T; readonly length: number };

/** Where a client wants to go: by address, or by name. */
export interface SocksTarget {
  readonly ip: IpAddress | undefined;
  readonly hostname: string;
  readonly port: number;
}

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const CONNECT = 1;
const ADDRESS_V4 = 1;
const ADDRESS_NAME = 3;
const ADDRESS_V6 = 4;

/** Reply codes that are used. */
export const SOCKS_REPLY: Readonly<Record<'granted' | 'failure' | 'unreachable' | 'violation', number>> = {
  granted: 0,
  failure: 1,
  unreachable: 4,
  violation: 7,
};

export const SOCKS_METHOD_CHOSEN: Buffer = Buffer.from([VERSION, NO_AUTHENTICATION]);

/** Every reply names 0.0.0.0:0 as bound address, as Istio's agent does. */
export const socksReply = (code: number): Buffer => Buffer.from([VERSION, code, 0, ADDRESS_V4, 0, 0, 0, 0, 0, 0]);

const MORE = { kind: 'more' } as const;
const VIOLATION = { kind: 'violation' } as const;

/** The greeting: version, number of methods, methods, of which "no authentication" has to be one. */
export function parseGreeting(bytes: Uint8Array): SocksMessage<undefined> {
  const [version, count] = bytes;
  if (version !== undefined && version !== VERSION) return VIOLATION;
  if (count === undefined || bytes.length < 2 + count) return MORE;
  const offered = bytes.subarray(2, 2 + count).includes(NO_AUTHENTICATION);
  return offered ? { kind: 'read', value: undefined, length: 2 + count } : VIOLATION;
}

/** The request: version, command, reserved, kind of address, address, port. */
export function parseRequest(bytes: Uint8Array): SocksMessage<SocksTarget> {
  const [version = VERSION, command = CONNECT, , kind, first] = bytes;
  if (version !== VERSION || command !== CONNECT) return VIOLATION;
  if (kind === undefined || first === undefined) return MORE;
  const size = addressSize(kind, first);
  if (size === undefined) return VIOLATION;
  const start = kind === ADDRESS_NAME ? 5 : 4;
  const end = start + size;
  if (bytes.length < end + 2) return MORE;
  const target = readTarget(kind, bytes.subarray(start, end), Buffer.from(bytes).readUInt16BE(end));
  return target === undefined ? VIOLATION : { kind: 'read', value: target, length: end + 2 };
}

/** A name has its length in front. */
function addressSize(kind: number, first: number): number | undefined {
  if (kind === ADDRESS_V4) return 4;
  if (kind === ADDRESS_V6) return 16;
  return kind === ADDRESS_NAME && first > 0 ? first : undefined;
}

function readTarget(kind: number, address: Uint8Array, port: number): SocksTarget | undefined {
  if (kind !== ADDRESS_NAME) return { ip: ipFromBytes(address), hostname: '', port };
  const hostname = nameOf(address);
  return hostname === undefined ? undefined : { ip: undefined, hostname, port };
}

function nameOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // TypeError: no UTF-8.
    return undefined;
  }
}
