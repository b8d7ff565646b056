import { type IpAddress, ipFromBytes, ipToBytes, isV6, parseIp } from './ip.ts';

/** A masked address prefix. */
export interface Cidr {
  readonly ip: IpAddress;
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** Parses `a.b.c.d/n`, `x::/n` or a bare address (its full length); undefined when it is neither. Host bits are masked away. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  const digits = slash < 0 ? undefined : text.slice(slash + 1);
  if (digits !== undefined && !/^\d{1,3}$/.test(digits)) return undefined;
  return makeCidr(ip, digits === undefined ? (isV6(ip) ? 128 : 32) : Number(digits));
}

/** Undefined when the prefix is longer than the address. */
export function makeCidr(ip: IpAddress, length: number): Cidr | undefined {
  const bytes = ipToBytes(ip);
  if (length < 0 || length > bytes.length * 8) return undefined;
  const masked = bytes.map((byte, i) => byte & maskByte(length, i));
  const maskedIp = ipFromBytes(masked);
  return maskedIp === undefined ? undefined : { ip: maskedIp, length, bytes: masked };
}

/** True when the address lies in the prefix; an IPv4 prefix never holds an IPv6 address, nor the reverse. */
export function cidrContains(cidr: Cidr, ip: Uint8Array): boolean {
  if (ip.length !== cidr.bytes.length) return false;
  for (let i = 0; i * 8 < cidr.length; i++) {
    if (((ip[i] ?? 0) & maskByte(cidr.length, i)) !== cidr.bytes[i]) return false;
  }
  return true;
}

export const formatCidr = (cidr: Cidr): string => `${cidr.ip}/${cidr.length}`;

/** The part of the byte at `index` that a prefix of `length` bits covers. */
function maskByte(length: number, index: number): number {
  const bits = Math.max(0, Math.min(8, length - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}
