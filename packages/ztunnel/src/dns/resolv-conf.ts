import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';

/** Where names are forwarded, and how patiently (resolv.conf(5)). */
export interface ResolverConfig {
  readonly servers: readonly HostPort[];
  readonly timeoutMs: number;
  readonly attempts: number;
  /** What this machine's own programs append. */
  readonly search: readonly string[];
}

const DNS_PORT = 53;
const MAX_SERVERS = 3;
const DEFAULT_TIMEOUT_S = 5;
const DEFAULT_ATTEMPTS = 2;

/** Reads name servers, options and the search list, which is not for forwarding: a pod's own has been applied already. */
export function parseResolvConf(text: string): ResolverConfig {
  const servers: HostPort[] = [];
  let timeout = DEFAULT_TIMEOUT_S;
  let attempts = DEFAULT_ATTEMPTS;
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    const server = keyword === 'nameserver' ? parseIp(values[0] ?? '') : undefined;
    if (server !== undefined && servers.length < MAX_SERVERS) servers.push({ ip: server, port: DNS_PORT });
    if (keyword === 'search') search = values.map((domain) => domain.toLowerCase().replace(/\.$/, ''));
    if (keyword !== 'options') continue;
    timeout = option(values, 'timeout', [1, 30]) ?? timeout;
    attempts = option(values, 'attempts', [1, 5]) ?? attempts;
  }
  return { servers, timeoutMs: timeout * 1000, attempts, search };
}

function option(values: readonly string[], name: string, [min, max]: readonly [number, number]): number | undefined {
  const text = values.find((one) => one.startsWith(`${name}:`))?.slice(name.length + 1);
  return text === undefined || !/^\d{1,4}$/.test(text) ? undefined : Math.min(max, Math.max(min, Number(text)));
}

/** Addresses by lower-case name (hosts(5)). */
export function parseHosts(text: string): ReadonlyMap<string, readonly IpAddress[]> {
  const hosts = new Map<string, IpAddress[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*$/, '').trim().split(/\s+/);
    const ip = parseIp(address);
    if (ip === undefined) continue;
    for (const name of names) {
      const key = name.toLowerCase();
      hosts.set(key, [...(hosts.get(key) ?? []), ip]);
    }
  }
  return hosts;
}
