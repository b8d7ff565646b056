import { makeCidr } from '../address/cidr.ts';
import { type IpAddress, isV6 } from '../address/ip.ts';
import { type Service, serviceKey } from '../model/service.ts';

/**
 * Services by key, host name, VIP and VIP range. Several namespaces may own the same name or address.
 *
 *     #byKey       ns/host       → Service
 *     #byHostname  host          → [Service …]      first seen first
 *     #byVip       network/ip    → [Service …]
 *     #ranges      network/4|6   → length → masked ip → [Service …]
 */
export class ServiceIndex {
  readonly #byKey = new Map<string, Service>();
  readonly #byHostname = new Map<string, Service[]>();
  readonly #byVip = new Map<string, Service[]>();
  readonly #ranges = new Map<string, Map<number, Map<string, Service[]>>>();

  get(namespace: string, hostname: string): Service | undefined {
    return this.#byKey.get(serviceKey(namespace, hostname));
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  all(): Iterable<Service> {
    return this.#byKey.values();
  }

  upsert(service: Service): void {
    const key = serviceKey(service.namespace, service.hostname);
    const previous = this.#byKey.get(key);
    this.#byKey.set(key, service);
    replace(this.#byHostname, service.hostname, previous, service);
    const vips = new Set(service.vips.map(({ network, ip }) => `${network}/${ip}`));
    for (const vip of vips) replace(this.#byVip, vip, previous, service);
    for (const { network, ip } of previous?.vips ?? []) {
      if (!vips.has(`${network}/${ip}`)) drop(this.#byVip, `${network}/${ip}`, previous);
    }
    this.#dropRanges(previous);
    for (const { network, cidr } of service.cidrVips) {
      replace(this.#rangesOf(network, cidr.ip, cidr.length), cidr.ip, undefined, service);
    }
  }

  remove(key: string): Service | undefined {
    const service = this.#byKey.get(key);
    if (service === undefined) return undefined;
    this.#byKey.delete(key);
    drop(this.#byHostname, service.hostname, service);
    for (const { network, ip } of service.vips) drop(this.#byVip, `${network}/${ip}`, service);
    this.#dropRanges(service);
    return service;
  }

  /** Visible, same namespace, canonical, preferred namespace, first seen. */
  byHostname(hostname: string, namespace: string | undefined, preferred?: string): Service | undefined {
    return best(this.#byHostname.get(hostname), namespace, preferred);
  }

  /** An exact VIP first; a range only if none is visible: same namespace, then longest prefix, then canonical. */
  byAddress(network: string, ip: IpAddress, namespace: string | undefined): Service | undefined {
    return best(this.#byVip.get(`${network}/${ip}`), namespace) ?? this.#byRange(network, ip, namespace);
  }

  #byRange(network: string, ip: IpAddress, namespace: string | undefined): Service | undefined {
    let found: Service | undefined;
    let longest = -1;
    let sameNamespace = false;
    for (const [length, ranges] of this.#ranges.get(family(network, ip)) ?? []) {
      const candidate = best(ranges.get(makeCidr(ip, length)?.ip ?? ''), namespace);
      if (candidate === undefined) continue;
      const same = candidate.namespace === namespace;
      if (same === sameNamespace ? length <= longest : sameNamespace) continue;
      found = candidate;
      longest = length;
      sameNamespace = same;
    }
    return found;
  }

  #rangesOf(network: string, ip: IpAddress, length: number): Map<string, Service[]> {
    const key = family(network, ip);
    let lengths = this.#ranges.get(key);
    if (lengths === undefined) this.#ranges.set(key, (lengths = new Map()));
    let ranges = lengths.get(length);
    if (ranges === undefined) lengths.set(length, (ranges = new Map()));
    return ranges;
  }

  #dropRanges(service: Service | undefined): void {
    for (const { network, cidr } of service?.cidrVips ?? []) {
      const lengths = this.#ranges.get(family(network, cidr.ip));
      const ranges = lengths?.get(cidr.length);
      if (ranges === undefined) continue;
      drop(ranges, cidr.ip, service);
      if (ranges.size === 0) lengths?.delete(cidr.length);
    }
  }
}

/** IPv4 and IPv6 prefixes never hold each other's addresses. */
const family = (network: string, ip: IpAddress): string => `${network}/${isV6(ip) ? 6 : 4}`;

/** Puts a service where its previous version was, or last. */
function replace(index: Map<string, Service[]>, key: string, previous: Service | undefined, service: Service): void {
  const list = index.get(key);
  if (list === undefined) {
    index.set(key, [service]);
    return;
  }
  const at = previous === undefined ? -1 : list.indexOf(previous);
  if (at < 0) list.push(service);
  else list[at] = service;
}

function drop(index: Map<string, Service[]>, key: string, service: Service | undefined): void {
  const rest = index.get(key)?.filter((one) => one !== service) ?? [];
  if (rest.length === 0) index.delete(key);
  else index.set(key, rest);
}

/** Without a client namespace nothing is hidden. */
function best(
  candidates: readonly Service[] | undefined,
  namespace: string | undefined,
  preferred?: string,
): Service | undefined {
  let found: Service | undefined;
  let rank = -1;
  for (const service of candidates ?? []) {
    const own = service.namespace === namespace;
    if (service.visibility === 'NAMESPACE' && namespace !== undefined && !own) continue;
    const score = own ? 3 : service.canonical ? 2 : service.namespace === preferred ? 1 : 0;
    if (score <= rank) continue;
    found = service;
    rank = score;
  }
  return found;
}
