import { MeshError } from '@ambit/common/errors';

/** What the rules of one pod depend on. */
export interface RedirectOptions {
  /** DNS over UDP and TCP goes to the node agent. */
  readonly dnsCapture: boolean;
  /** Incoming connections reach the application directly; for pods that are ingress gateways of their own kind. */
  readonly bypassInbound: boolean;
  readonly ipv6: boolean;
  /** Interfaces whose incoming traffic is treated as the pod's own outgoing traffic: virtual machines and the like. */
  readonly virtualInterfaces?: readonly string[];
}

/** The tables made in a pod, in the order they are loaded. */
export const REDIRECT_TABLES: readonly string[] = ['istio-ambient-nat', 'istio-ambient-mangle', 'istio-ambient-raw'];

/** Policy routing that brings replies to spoofed addresses back to the node agent's sockets, per family. */
export const REPLY_ROUTING = { rule: 'fwmark 0x111/0xfff pref 32764 lookup 100', table: '100' } as const;

/** Kubelet probes come from these addresses and are never captured. */
const PROBE_IPV4 = '169.254.7.127';
const PROBE_IPV6 = 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff';
/** The node agent's own packets: they are never captured. */
const OWN = 'and 0xfff == 0x539';
const NOT_OWN = 'and 0xfff != 0x539';

/*
 *   application ──OUTPUT──► 15001 (TCP) / 15053 (DNS)      node agent ──mark 0x539──► out, untouched
 *   network ──PREROUTING──► 15006, or 15008 as it is       node agent ──mark 0x539, client's address──► lo ──► application
 *                                                          application's reply ──connmark 0x111──► table 100 ──► node agent
 */

/**
 * The nftables commands that capture a pod's traffic, in the form Istio's CNI loads them (native nftables, family inet).
 * Loading them again replaces what is there, in one transaction.
 * @throws MeshError CONFIG when an interface name could be read as something else.
 */
export function redirectRules(options: RedirectOptions): string {
  const lines = [...natTable(options), ...mangleTable()];
  if (options.dnsCapture) lines.push(...rawTable());
  else lines.push('add table inet istio-ambient-raw', 'delete table inet istio-ambient-raw');
  return `${lines.join('\n')}\n`;
}

/** Removes every rule, whether or not it is there. */
export function removalRules(): string {
  return REDIRECT_TABLES.map((table) => `add table inet ${table}\ndelete table inet ${table}\n`).join('');
}

function natTable(options: RedirectOptions): string[] {
  const table = 'istio-ambient-nat';
  const prerouting = rule(table, 'istio-prerouting');
  const output = rule(table, 'istio-output');
  return [
    ...chains(table, ['type nat hook prerouting priority -100 ;', 'type nat hook output priority -100 ;']),
    rule(table, 'output')('jump istio-output'),
    rule(table, 'prerouting')('jump istio-prerouting'),
    ...(options.virtualInterfaces ?? [])
      .map(quotedInterface)
      .flatMap((name) => [
        prerouting(`iifname ${name} meta l4proto tcp counter redirect to :15001`),
        prerouting(`iifname ${name} meta l4proto tcp counter return`),
      ]),
    ...(options.bypassInbound ? [] : probeRules(options, 'saddr').map(prerouting)),
    ...probeRules(options, 'daddr').map(output),
    ...(options.bypassInbound ? [] : perFamily(options, inboundRule).map(prerouting)),
    ...(options.dnsCapture ? dnsRules(options).map(output) : []),
    output('meta l4proto tcp mark and 0xfff == 0x111 counter accept'),
    ...perFamily(options, (notLoopback) => `oifname lo ${notLoopback} counter accept`).map(output),
    ...perFamily(options, outboundRule).map(output),
  ];
}

function mangleTable(): string[] {
  const table = 'istio-ambient-mangle';
  return [
    ...chains(table, ['type filter hook prerouting priority -150 ;', 'type route hook output priority -150 ;']),
    rule(table, 'prerouting')('jump istio-prerouting'),
    rule(table, 'output')('jump istio-output'),
    rule(table, 'istio-prerouting')('meta mark & 0xfff == 0x539 counter ct mark set ct mark & 0xfffff000 | 0x111'),
    rule(table, 'istio-output')('ct mark and 0xfff == 0x111 counter meta mark set ct mark'),
  ];
}

/** The agent's own DNS queries are tracked apart, so that their ports cannot clash with those of redirected ones. */
function rawTable(): string[] {
  const table = 'istio-ambient-raw';
  return [
    ...chains(table, ['type filter hook prerouting priority -300 ;', 'type filter hook output priority -300 ;']),
    rule(table, 'prerouting')('jump istio-prerouting'),
    rule(table, 'output')('jump istio-output'),
    rule(table, 'istio-output')(`udp dport 53 meta mark ${OWN} counter ct zone set 1`),
    rule(table, 'istio-prerouting')(`udp sport 53 meta mark ${NOT_OWN} counter ct zone set 1`),
  ];
}

/** An empty table with the two hooks and a chain for each; nft 1.0.6 wants the blank and semicolon before the brace. */
function chains(table: string, [prerouting, output]: readonly [string, string]): string[] {
  return [
    `add table inet ${table}`,
    `flush table inet ${table}`,
    `add chain inet ${table} prerouting { ${prerouting} }`,
    `add chain inet ${table} output { ${output} }`,
    `add chain inet ${table} istio-prerouting`,
    `add chain inet ${table} istio-output`,
  ];
}

const rule =
  (table: string, chain: string) =>
  (match: string): string =>
    `add rule inet ${table} ${chain} ${match}`;

function perFamily(options: RedirectOptions, make: (notLoopback: string) => string): string[] {
  return [make('ip daddr != 127.0.0.1/32'), ...(options.ipv6 ? [make('ip6 daddr != ::1/128')] : [])];
}

function probeRules(options: RedirectOptions, end: 'saddr' | 'daddr'): string[] {
  return [
    `meta l4proto tcp ip ${end} ${PROBE_IPV4} counter accept`,
    ...(options.ipv6 ? [`meta l4proto tcp ip6 ${end} ${PROBE_IPV6} counter accept`] : []),
  ];
}

const inboundRule = (notLoopback: string): string =>
  `${notLoopback} tcp dport != 15008 mark ${NOT_OWN} counter redirect to :15006`;

const outboundRule = (notLoopback: string): string =>
  `meta l4proto tcp ${notLoopback} mark ${NOT_OWN} counter redirect to :15001`;

function dnsRules(options: RedirectOptions): string[] {
  return [
    `oifname != lo mark ${NOT_OWN} udp dport 53 counter redirect to :15053`,
    ...perFamily(options, (notLoopback) => `${notLoopback} tcp dport 53 mark ${NOT_OWN} counter redirect to :15053`),
  ];
}

/** Names come from an annotation that a pod's owner writes: only letters that cannot end the string or be a pattern. */
function quotedInterface(name: string): string {
  if (/^[\w.@:-]{1,15}$/.test(name)) return `"${name}"`;
  throw new MeshError(
    'CONFIG',
    `"${name}" in the annotation istio.io/reroute-virtual-interfaces is not an interface name: 1 to 15 letters, digits and . _ - @ : are`,
  );
}
