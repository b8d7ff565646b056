import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isV6 } from '@ambit/common/address/ip';

/** One port of one Service address, with the ready endpoints of the same family behind it. */
export interface ServiceVip {
  /** `namespace/name:port`, kept as a comment for people who read the rules. */
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly vip: IpAddress;
  readonly port: number;
  readonly endpoints: readonly HostPort[];
}

/** Prefixes of one family: who is masqueraded, towards whom not, and which range is refused when nothing serves it. */
export interface NatRanges {
  readonly pods: string;
  readonly services: string;
}

const TABLE = 'ambit_services';

/**
 * The node's whole nftables ruleset for Services, as text that replaces the previous one in a single transaction.
 *
 *   prerouting, output ─► (address, protocol, port) ─► chain of the Service port ─► dnat to a random ready endpoint
 *   forward, output    ─► what is still addressed to the Service range has no endpoint: refused
 *   postrouting        ─► masquerade for a pod that reached itself, and for pods that leave the cluster
 */
export function serviceRules(vips: readonly ServiceVip[], v4: NatRanges, v6: NatRanges | undefined): string {
  const served = vips.filter((vip) => vip.endpoints.length > 0);
  const families = [family('ip', v4, served), ...(v6 === undefined ? [] : [family('ip6', v6, served)])];
  const each = (pick: (one: Family) => readonly string[]): string[] => families.flatMap(pick);
  return `${[
    `table inet ${TABLE}`,
    `delete table inet ${TABLE}`,
    `table inet ${TABLE} {`,
    ...indent(1, [
      ...served.flatMap(vipChain),
      ...each((one) => one.maps),
      ...chain(
        'services',
        each((one) => [one.lookup]),
      ),
      ...chain('prerouting', ['type nat hook prerouting priority dstnat; policy accept;', 'jump services']),
      ...chain('output', ['type nat hook output priority -100; policy accept;', 'jump services']),
      ...chain('postrouting', [
        'type nat hook postrouting priority srcnat; policy accept;',
        ...each((one) => one.masquerade),
      ]),
      ...chain(
        'refuse',
        each((one) => one.refuse),
      ),
      ...chain('forward', ['type filter hook forward priority filter; policy accept;', 'jump refuse']),
      // IPv6 has no setting against sending redirects; a pod that followed one would go around the node's NAT
      ...chain('local', [
        'type filter hook output priority filter; policy accept;',
        'icmpv6 type nd-redirect drop',
        'jump refuse',
      ]),
    ]),
    '}',
  ].join('\n')}\n`;
}

interface Family {
  readonly maps: readonly string[];
  readonly lookup: string;
  readonly masquerade: readonly string[];
  readonly refuse: readonly string[];
}

function family(keyword: 'ip' | 'ip6', ranges: NatRanges, vips: readonly ServiceVip[]): Family {
  const type = keyword === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
  const own = vips.map((vip, index) => ({ vip, index })).filter(({ vip }) => isV6(vip.vip) === (keyword === 'ip6'));
  const addresses = [...new Set(own.flatMap(({ vip }) => vip.endpoints.map((endpoint) => endpoint.ip)))].sort();
  return {
    maps: [
      ...elements(
        `map vips_${keyword}`,
        `type ${type} . inet_proto . inet_service : verdict`,
        own.map(({ vip, index }) => `${vip.vip} . ${vip.protocol} . ${vip.port} : goto vip_${index}`),
      ),
      ...elements(
        `set self_${keyword}`,
        `type ${type} . ${type}`,
        addresses.map((ip) => `${ip} . ${ip}`),
      ),
    ],
    lookup: `${keyword} daddr . meta l4proto . th dport vmap @vips_${keyword}`,
    masquerade: [
      `${keyword} saddr . ${keyword} daddr @self_${keyword} masquerade`,
      `${keyword} saddr ${ranges.pods} ${keyword} daddr != { ${ranges.pods}, ${ranges.services} } masquerade`,
    ],
    refuse: [
      `${keyword} daddr ${ranges.services} fib daddr type != local meta l4proto tcp reject with tcp reset`,
      `${keyword} daddr ${ranges.services} fib daddr type != local reject`,
    ],
  };
}

function vipChain(vip: ServiceVip, index: number): string[] {
  const keyword = isV6(vip.vip) ? 'ip6' : 'ip';
  const targets = vip.endpoints.map((endpoint, slot) => `${slot} : ${endpoint.ip} . ${endpoint.port}`);
  return chain(`vip_${index}`, [
    `comment "${vip.name.replaceAll('"', '')}"`,
    `meta l4proto ${vip.protocol} dnat ${keyword} to numgen random mod ${targets.length} map { ${targets.join(', ')} }`,
  ]);
}

const chain = (name: string, rules: readonly string[]): string[] => [`chain ${name} {`, ...indent(1, rules), '}'];

const elements = (head: string, type: string, items: readonly string[]): string[] => [
  `${head} {`,
  ...indent(1, [type, ...(items.length === 0 ? [] : [`elements = { ${items.join(', ')} }`])]),
  '}',
];

const indent = (depth: number, lines: readonly string[]): string[] =>
  lines.map((line) => `${'  '.repeat(depth)}${line}`);
