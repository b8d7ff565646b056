import {
  type DnsMessage,
  type DnsRecord,
  RCODE,
  RECORD,
  addressRecord,
  nameRecord,
  reply,
} from '@ambit/common/dns/message';
import { nameBytes } from '@ambit/common/dns/name';
import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import type { ClusterService } from './cluster-service.ts';

const TTL_SECONDS = 5;
const OPCODE_QUERY = 0;
const ANY = 255;

/** What a name of the cluster's zone stands for. */
type Entry = { readonly addresses: readonly IpAddress[] } | { readonly alias: string };

/** The cluster's DNS zone as a lookup table; built anew when Services change. */
export class ClusterZone {
  readonly #domain: string;
  readonly #entries = new Map<string, Entry>();

  constructor(domain: string, services: readonly ClusterService[]) {
    this.#domain = domain.toLowerCase();
    for (const service of services) this.#add(service);
  }

  /** The authoritative answer, or `forward` when the name is not of this zone. */
  answer(query: DnsMessage): DnsMessage | 'forward' {
    const [question] = query.questions;
    if (query.opcode !== OPCODE_QUERY) return reply(query, { rcode: RCODE.NOTIMP });
    if (question === undefined || query.questions.length > 1) return reply(query, { rcode: RCODE.FORMERR });
    const name = question.name.toLowerCase();
    if (name !== this.#domain && !name.endsWith(`.${this.#domain}`)) return 'forward';
    const entry = this.#entries.get(name);
    const base = { authoritative: true, recursionAvailable: true };
    if (entry === undefined && !this.#isPartOfName(name))
      return reply(query, { ...base, rcode: RCODE.NXDOMAIN, authorities: [this.#soa()] });
    const answers = entry === undefined ? [] : recordsOf(question.name, question.type, entry);
    return reply(query, {
      ...base,
      rcode: RCODE.NOERROR,
      answers,
      authorities: answers.length > 0 ? [] : [this.#soa()],
    });
  }

  #add(service: ClusterService): void {
    const name = `${service.name}.${service.namespace}.svc.${this.#domain}`.toLowerCase();
    if (service.externalName !== undefined) return void this.#entries.set(name, { alias: service.externalName });
    const addresses = service.headless
      ? service.endpoints.flatMap((endpoint) => endpoint.addresses)
      : service.clusterIps;
    this.#entries.set(name, { addresses });
    for (const { hostname, addresses: own } of service.endpoints)
      if (hostname !== undefined) this.#entries.set(`${hostname.toLowerCase()}.${name}`, { addresses: own });
  }

  /** The zone itself, `svc` and namespaces exist although they have no records (RFC 8020). */
  #isPartOfName(name: string): boolean {
    if (name === this.#domain) return true;
    const suffix = `.${name}`;
    for (const known of this.#entries.keys()) if (known.endsWith(suffix)) return true;
    return name === `svc.${this.#domain}`;
  }

  /** Lets resolvers keep a negative answer for as short as a positive one (RFC 2308). */
  #soa(): DnsRecord {
    const names = [`ns.dns.${this.#domain}`, `hostmaster.${this.#domain}`].map(
      (name) => nameBytes(name) ?? Uint8Array.of(0),
    );
    const numbers = Buffer.alloc(20);
    [1, 7200, 1800, 86_400, TTL_SECONDS].forEach((value, index) => numbers.writeUInt32BE(value, index * 4));
    return {
      name: this.#domain,
      type: RECORD.SOA,
      class: 1,
      ttl: TTL_SECONDS,
      data: Buffer.concat([...names, numbers]),
    };
  }
}

function recordsOf(name: string, type: number, entry: Entry): DnsRecord[] {
  if ('alias' in entry)
    return nameBytes(entry.alias) === undefined ? [] : [nameRecord(name, RECORD.CNAME, TTL_SECONDS, entry.alias)];
  const wanted = entry.addresses.filter((ip) => type === ANY || type === (isV6(ip) ? RECORD.AAAA : RECORD.A));
  return wanted.map((ip) => addressRecord(name, TTL_SECONDS, ip));
}
