import { type Cidr, makeCidr } from '@ambit/common/address/cidr';
import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import type { Listener } from '@ambit/common/model/listener';
import { serviceKey } from '@ambit/common/model/service';

/**
 * Which service an address belongs to: its own address first, then the longest range it lies in. Immutable: made anew on change.
 *
 *     #exact     network/ip          → Listener
 *     #ranges    network/4|6/length  → masked ip → Listener      longest first
 */
export class ListenerAddresses {
  readonly #exact = new Map<string, Listener>();
  readonly #ranges: readonly Range[];

  /** Where two services claim an address, the first by name has it: the same one after every restart. */
  constructor(listeners: Iterable<Listener>) {
    const ranges = new Map<string, Range>();
    for (const listener of [...listeners].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))) {
      for (const { network, ip } of listener.addresses) keepFirst(this.#exact, `${network}/${ip}`, listener);
      for (const { network, cidr } of listener.cidrAddresses) addRange(ranges, network, cidr, listener);
    }
    this.#ranges = [...ranges.values()].sort((a, b) => b.length - a.length);
  }

  /** Addresses of no network count on every one. */
  find(network: string, ip: IpAddress): Listener | undefined {
    return this.#on(network, ip) ?? (network === '' ? undefined : this.#on('', ip));
  }

  #on(network: string, ip: IpAddress): Listener | undefined {
    const exact = this.#exact.get(`${network}/${ip}`);
    if (exact !== undefined || this.#ranges.length === 0) return exact;
    const v6 = isV6(ip);
    for (const range of this.#ranges) {
      if (range.network !== network || range.v6 !== v6) continue;
      const found = range.byIp.get(makeCidr(ip, range.length)?.ip ?? '');
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** All ranges of one length. */
interface Range {
  readonly network: string;
  readonly v6: boolean;
  readonly length: number;
  readonly byIp: Map<string, Listener>;
}

function addRange(ranges: Map<string, Range>, network: string, { ip, length }: Cidr, listener: Listener): void {
  const v6 = isV6(ip);
  const key = `${network}/${v6 ? 6 : 4}/${length}`;
  let range = ranges.get(key);
  if (range === undefined) ranges.set(key, (range = { network, v6, length, byIp: new Map() }));
  keepFirst(range.byIp, ip, listener);
}

function keepFirst(map: Map<string, Listener>, key: string, listener: Listener): void {
  if (!map.has(key)) map.set(key, listener);
}

const keyOf = ({ namespace, hostname }: Listener): string => serviceKey(namespace, hostname);
