import { type IpAddress, ipFromBytes } from '@ambit/common/address/ip';
import { type Cidr, cidrContains, parseCidr } from '@ambit/common/address/cidr';
import { ipToBytes } from '@ambit/common/address/ip';
import type { AllocatedAddress, ServiceEntryForm } from '../ingest/service-entry.ts';

/** One prefix per address family. */
export interface VipRanges {
  readonly ipv4: Cidr | undefined;
  readonly ipv6: Cidr | undefined;
}

export const DEFAULT_VIP_RANGES: VipRanges = { ipv4: parseCidr('240.240.0.0/16'), ipv6: parseCidr('2001:2::/48') };

export interface VipAllocation {
  /** Entries whose `status.addresses` must change, with what they become. */
  readonly changes: ReadonlyMap<ServiceEntryForm, readonly AllocatedAddress[]>;
  /** Entries for which a range had no address left. */
  readonly exhausted: readonly ServiceEntryForm[];
}

/**
 * One IPv4 and one IPv6 address for every host of every entry that may have them. What an entry has, it keeps; only a
 * conflict moves an address: the older entry keeps it, and an address that somebody wrote in a spec is never ours.
 *
 * @param entries oldest first.
 * @param retired addresses freed in this run: clients may remember them, so they are not given again until a restart.
 */
export function allocateVips(
  entries: readonly ServiceEntryForm[],
  ranges: VipRanges,
  retired: ReadonlySet<IpAddress> = new Set(),
): VipAllocation {
  const written = entries.flatMap((entry) => entry.vips);
  const taken = new Set<IpAddress>([...written, ...retired]);
  const kept = new Map<ServiceEntryForm, Map<string, IpAddress[]>>();
  for (const entry of entries) if (entry.autoAllocate) kept.set(entry, keepAllocated(entry, ranges, taken));
  const families = [ranges.ipv4, ranges.ipv6].flatMap((range) =>
    range === undefined ? [] : [new Cursor(range, taken)],
  );
  const changes = new Map<ServiceEntryForm, readonly AllocatedAddress[]>();
  const exhausted = new Set<ServiceEntryForm>();
  for (const entry of entries) {
    const addresses: AllocatedAddress[] = [];
    for (const host of hostsOf(entry))
      for (const family of families) {
        const ip =
          kept
            .get(entry)
            ?.get(host)
            ?.find((one) => family.holds(one)) ?? family.next();
        if (ip === undefined) exhausted.add(entry);
        else addresses.push({ value: ip, host });
      }
    if (!isSame(addresses, entry)) changes.set(entry, addresses);
  }
  return { changes, exhausted: [...exhausted] };
}

/** Wildcards have no address of their own unless the waypoint resolves what is asked for. */
const hostsOf = (entry: ServiceEntryForm): readonly string[] =>
  entry.autoAllocate ? entry.hosts.filter((host) => !host.startsWith('*') || entry.resolution === 'DYNAMIC_DNS') : [];

function keepAllocated(entry: ServiceEntryForm, ranges: VipRanges, taken: Set<IpAddress>): Map<string, IpAddress[]> {
  const kept = new Map<string, IpAddress[]>();
  const inRange = (ip: IpAddress): boolean =>
    [ranges.ipv4, ranges.ipv6].some((range) => range !== undefined && cidrContains(range, ipToBytes(ip)));
  for (const host of hostsOf(entry)) {
    const addresses = (entry.allocated.get(host) ?? []).filter((ip) => inRange(ip) && !taken.has(ip));
    for (const ip of addresses) taken.add(ip);
    kept.set(host, addresses);
  }
  return kept;
}

function isSame(addresses: readonly AllocatedAddress[], { allocated }: ServiceEntryForm): boolean {
  const before = [...allocated].flatMap(([host, ips]) => ips.map((ip) => `${host} ${ip}`));
  const after = addresses.map(({ host = '', value }) => `${host} ${value}`);
  return before.length === after.length && after.every((one) => before.includes(one));
}

/** Walks a prefix from the first address after the network's own. */
class Cursor {
  readonly #range: Cidr;
  readonly #taken: Set<IpAddress>;
  readonly #size: number;
  #offset = 0;

  constructor(range: Cidr, taken: Set<IpAddress>) {
    this.#range = range;
    this.#taken = taken;
    const hostBits = range.bytes.length * 8 - range.length;
    this.#size = 2 ** Math.min(hostBits, 32);
  }

  holds(ip: IpAddress): boolean {
    return cidrContains(this.#range, ipToBytes(ip));
  }

  next(): IpAddress | undefined {
    while (++this.#offset < this.#size) {
      const ip = this.#at(this.#offset);
      if (ip === undefined || this.#taken.has(ip)) continue;
      this.#taken.add(ip);
      return ip;
    }
    return undefined;
  }

  /** The offset lies in the last four bytes: the network's own bits there are zero or kept by adding. */
  #at(offset: number): IpAddress | undefined {
    const bytes = Uint8Array.from(this.#range.bytes);
    let rest = offset;
    for (let i = bytes.length - 1; i >= 0 && rest > 0; i--) {
      rest += bytes[i] ?? 0;
      bytes[i] = rest & 0xff;
      rest = Math.floor(rest / 256);
    }
    return ipFromBytes(bytes);
  }
}
