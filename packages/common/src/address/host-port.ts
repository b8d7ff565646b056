import { type IpAddress, isV6, parseIp } from './ip.ts';

/** An address and a port. */
export interface HostPort {
  readonly ip: IpAddress;
  readonly port: number;
}

/** A CONNECT authority or Host value: a literal address or a name, with the port that was written. */
export interface Authority {
  readonly host: string;
  readonly ip: IpAddress | undefined;
  readonly port: number;
}

/** `1.2.3.4:80` or `[::1]:80`. */
export const formatHostPort = (ip: IpAddress, port: number): string => (isV6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`);

/** Parses `host:port` where IPv6 is bracketed; undefined without a host or a valid port (RFC 9110 §7.1 for CONNECT). */
export function parseAuthority(text: string): Authority | undefined {
  const colon = text.lastIndexOf(':');
  if (colon <= 0) return undefined;
  const digits = text.slice(colon + 1);
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535) return undefined;
  const raw = text.slice(0, colon);
  if (raw.startsWith('[') && raw.endsWith(']')) {
    const ip = parseIp(raw.slice(1, -1));
    return ip === undefined ? undefined : { host: ip, ip, port };
  }
  if (raw.includes(':')) return undefined;
  const ip = parseIp(raw);
  return { host: ip ?? raw.toLowerCase(), ip, port };
}
