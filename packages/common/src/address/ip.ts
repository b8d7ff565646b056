import { isIPv4, isIPv6 } from 'node:net';

/** An IP address in its one canonical text form: dotted IPv4, or RFC 5952 IPv6; IPv4-mapped IPv6 is IPv4. Equal addresses are equal strings. */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

const MAPPED_PREFIX = '::ffff:';

/** Parses and canonicalises; undefined when the text is no address. Zone ids and brackets are not accepted. */
export function parseIp(text: string): IpAddress | undefined {
  if (isIPv4(text)) return text as IpAddress;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1);
  if (canonical.startsWith(MAPPED_PREFIX)) return ipFromBytes(ipv6ToBytes(canonical).subarray(12));
  return canonical as IpAddress;
}

/** From 4 or 16 network-order bytes; undefined for any other length. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | undefined {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  if (bytes.length !== 16) return undefined;
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  return parseIp(groups.join(':'));
}

/** 4 or 16 network-order bytes. */
export function ipToBytes(ip: IpAddress): Uint8Array {
  if (!ip.includes(':')) return Uint8Array.from(ip.split('.'), Number);
  return ipv6ToBytes(ip);
}

export const isV6 = (ip: IpAddress): boolean => ip.includes(':');

export const isLoopback = (ip: IpAddress): boolean => ip.startsWith('127.') || ip === '::1';

function ipv6ToBytes(text: string): Uint8Array {
  const [head = '', tail] = text.split('::');
  const front = parseGroups(head);
  const back = parseGroups(tail ?? '');
  const groups = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => {
    bytes[i * 2] = group >> 8;
    bytes[i * 2 + 1] = group & 0xff;
  });
  return bytes;
}

const parseGroups = (text: string): number[] =>
  text === '' ? [] : text.split(':').map((group) => parseInt(group, 16));
