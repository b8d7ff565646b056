import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import { addressRecord, type DnsQuestion, type DnsRecord, nameRecord, RECORD } from '@ambit/common/dns/message';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import { candidates, searchDomains, wildcards } from './candidates.ts';

const TTL_SECONDS = 30;

/** What an answer depends on besides the question. */
export interface AnswerContext {
  readonly view: MeshView;
  /** The pod that asks. */
  readonly client: Workload;
  readonly clusterDomain: string;
  /** Domains that clients of this pod append; those of Kubernetes when undefined. */
  readonly searchDomains: readonly string[] | undefined;
  readonly preferredNamespace: string | undefined;
  readonly ipv6: boolean;
  readonly random: () => number;
}

/** The mesh knows the name (records may be none), or somebody else has to be asked. */
export type DnsAnswer =
  | {
      readonly kind: 'answer';
      readonly records: readonly DnsRecord[];
      readonly result: 'success' | 'no records' | 'service does not support this record type';
    }
  | { readonly kind: 'forward' };

const FORWARD: DnsAnswer = { kind: 'forward' };

/** Answers A and AAAA questions about services of the mesh; everything else is forwarded. */
export function answerQuestion(context: AnswerContext, question: DnsQuestion): DnsAnswer {
  if (question.type !== RECORD.A && question.type !== RECORD.AAAA) return FORWARD;
  const name = question.name.toLowerCase();
  const match = findService(context, name);
  if (match === undefined) return FORWARD;
  const { service, owner } = match;
  const wantsV6 = question.type === RECORD.AAAA;
  if (!familySupported(context, service, wantsV6))
    return { kind: 'answer', records: [], result: 'service does not support this record type' };
  const addresses = shuffle(addressesOf(context, service, wantsV6), context.random);
  if (addresses.length === 0) return { kind: 'answer', records: [], result: 'no records' };
  const records = addresses.map((ip) => addressRecord(owner, TTL_SECONDS, ip));
  const alias = owner === name ? [] : [nameRecord(name, RECORD.CNAME, TTL_SECONDS, owner)];
  return { kind: 'answer', records: [...alias, ...records], result: 'success' };
}

interface ServiceMatch {
  readonly service: Service;
  /** The name its addresses are put on: the query, or what a CNAME from the query leads to. */
  readonly owner: string;
}

function findService(context: AnswerContext, name: string): ServiceMatch | undefined {
  const { client, clusterDomain } = context;
  const domains = context.searchDomains ?? searchDomains(client.namespace, clusterDomain);
  for (const candidate of candidates(name, {
    namespace: client.namespace,
    clusterDomain,
    searchDomains: domains,
  })) {
    const exact = visibleService(context, candidate.hostname);
    if (exact !== undefined) return { service: exact, owner: candidate.stripped ?? name };
    for (const pattern of wildcards(candidate.hostname)) {
      const wild = visibleService(context, pattern);
      if (wild !== undefined) return { service: wild, owner: name };
    }
  }
  return undefined;
}

/** Headless services are answered only in the cluster's domain: elsewhere the outside world knows the addresses. */
function visibleService(context: AnswerContext, hostname: string): Service | undefined {
  const service = context.view.serviceByHostname(hostname, context.client.namespace, context.preferredNamespace);
  if (service === undefined) return undefined;
  return service.vips.length > 0 || hostname.endsWith(`.svc.${context.clusterDomain}`) ? service : undefined;
}

function familySupported(context: AnswerContext, service: Service, wantsV6: boolean): boolean {
  if (wantsV6 && !context.ipv6) return false;
  if (service.ipFamilies === 'IPV4') return !wantsV6;
  if (service.ipFamilies === 'IPV6') return wantsV6;
  return true;
}

function addressesOf({ view, client }: AnswerContext, service: Service, wantsV6: boolean): IpAddress[] {
  if (service.vips.length > 0)
    return service.vips
      .filter(({ network, ip }) => network === client.network && isV6(ip) === wantsV6)
      .map((vip) => vip.ip);
  const addresses: IpAddress[] = [];
  for (const { workload } of view.endpoints(service)) {
    const ip = workload.addresses.find((one) => isV6(one) === wantsV6);
    if (ip !== undefined) addresses.push(ip);
  }
  return addresses;
}

/** Random order spreads clients that always take the first address. */
function shuffle(addresses: IpAddress[], random: () => number): IpAddress[] {
  for (let last = addresses.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const moved = addresses[last];
    const taken = addresses[other];
    if (moved === undefined || taken === undefined) continue;
    addresses[last] = taken;
    addresses[other] = moved;
  }
  return addresses;
}
