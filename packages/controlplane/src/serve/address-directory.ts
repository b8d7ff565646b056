import type { NetworkAddress, Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';

/** What is kept of a workload or service: the names under which it can be asked for. */
interface Listing {
  /** `<network>/<ip>`, for a range of VIPs `<network>/<ip>/<length>`. */
  readonly aliases: readonly string[];
  /** Keys of the services that a workload belongs to. */
  readonly services: readonly string[];
  readonly node: string;
  readonly kind: 'workload' | 'service';
}

/** Answers an on-demand client's questions: which resource owns an address, which workloads belong to a service or a node. */
export class AddressDirectory {
  readonly #listings = new Map<string, Listing>();
  /** `kind network/ip` → names of resources. */
  readonly #byAddress = new Map<string, Set<string>>();
  readonly #members = new Map<string, Set<string>>();
  readonly #byNode = new Map<string, Set<string>>();

  set(name: string, value: object): void {
    const listing = isWorkload(value) ? ofWorkload(value) : isService(value) ? ofService(value) : undefined;
    this.delete(name);
    if (listing === undefined) return;
    this.#listings.set(name, listing);
    for (const alias of listing.aliases) add(this.#byAddress, `${listing.kind} ${alias}`, name);
    for (const key of listing.services) add(this.#members, key, name);
    if (listing.node !== '') add(this.#byNode, listing.node, name);
  }

  delete(name: string): void {
    const listing = this.#listings.get(name);
    if (listing === undefined) return;
    this.#listings.delete(name);
    for (const alias of listing.aliases) remove(this.#byAddress, `${listing.kind} ${alias}`, name);
    for (const key of listing.services) remove(this.#members, key, name);
    remove(this.#byNode, listing.node, name);
  }

  aliases(name: string): readonly string[] {
    return this.#listings.get(name)?.aliases ?? [];
  }

  /** The resource that a key means: a name, else the workload, else the service with that `<network>/<ip>`. A range is found under its base address. */
  resolve(key: string): string | undefined {
    if (this.#listings.has(key)) return key;
    return first(this.#byAddress.get(`workload ${key}`)) ?? first(this.#byAddress.get(`service ${key}`));
  }

  /** Everything an answer about `name` holds: itself and, for a service, all its workloads. */
  expand(name: string): readonly string[] {
    return [name, ...(this.#members.get(name) ?? [])];
  }

  /** Keys of the services that a workload belongs to. */
  servicesOf(name: string): readonly string[] {
    return this.#listings.get(name)?.services ?? [];
  }

  /** Where a workload runs; undefined for other resources and where it is not known. */
  nodeOf(name: string): string | undefined {
    return this.#listings.get(name)?.node || undefined;
  }

  onNode(node: string): Iterable<string> {
    return this.#byNode.get(node) ?? [];
  }
}

const isWorkload = (value: object): value is Workload => 'uid' in value;
const isService = (value: object): value is Service => 'vips' in value;

const ofWorkload = (workload: Workload): Listing => ({
  aliases: workload.addresses.map((ip) => `${workload.network}/${ip}`),
  services: [...workload.services.keys()],
  node: workload.node,
  kind: 'workload',
});

const ofService = (service: Service): Listing => ({
  aliases: [
    ...service.vips.map(({ network, ip }: NetworkAddress) => `${network}/${ip}`),
    ...service.cidrVips.flatMap(({ network, cidr }) => [
      `${network}/${cidr.ip}/${cidr.length}`,
      `${network}/${cidr.ip}`,
    ]),
  ],
  services: [],
  node: '',
  kind: 'service',
});

function add(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  if (names === undefined) index.set(key, new Set([name]));
  else names.add(name);
}

function remove(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  if (names?.delete(name) === true && names.size === 0) index.delete(key);
}

const first = (names: Set<string> | undefined): string | undefined => names?.values().next().value;
