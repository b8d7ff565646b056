import { existsSync, writeFileSync } from 'node:fs';
import type { Cidr } from '@ambit/common/address/cidr';
import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import { type AddressPair, POD_RANGE, SERVICE_RANGE, addressPair } from './address-pool.ts';
import { ipBatch, runCommand, tryCommand } from './run-command.ts';

/** The bridge that every packet between pods crosses; the node's address on it is the pods' only neighbour. */
export const BRIDGE = 'ambit0';
/** The bridge of the "outside world": pods with addresses that do not belong to the cluster. */
export const OUTSIDE_BRIDGE = 'ambit-out';
/** A bridge without an address of its own takes that of a port, and changes it when ports come and go: pods would send to a dead address. */
const BRIDGE_MAC = '02:00:0a:f4:00:01';
const OUTSIDE_MAC = '02:00:cb:00:71:01';
export const CLUSTER_DNS_NUMBER = 10;

/** True when the kernel has IPv6 at all. */
export const hasIpv6 = (): boolean => existsSync('/proc/sys/net/ipv6/conf/all/forwarding');

export const nodeAddresses = (): AddressPair => addressPair(POD_RANGE, 1);
export const dnsAddresses = (): AddressPair => addressPair(SERVICE_RANGE, CLUSTER_DNS_NUMBER);

/** A pod's place in the network: how `ip` names its namespace and the link on the node's side. */
export interface PodNetwork {
  /** File under /run/netns. */
  readonly netns: string;
  readonly link: string;
  readonly addresses: readonly IpAddress[];
}

export const netnsPath = (name: string): string => `/run/netns/${name}`;

/** What a node must do that a fresh network namespace does not: route, and never drop or redirect what came in on the bridge. */
const NODE_SETTINGS: readonly (readonly [path: string, value: string])[] = [
  ['ipv4/ip_forward', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/conf/default/send_redirects', '0'],
  ['ipv4/conf/all/accept_redirects', '0'],
  ['ipv6/conf/all/forwarding', '1'],
  ['ipv6/conf/all/accept_dad', '0'],
  ['ipv6/conf/default/accept_dad', '0'],
];

/** Where the kernel's br_netfilter is loaded, packets of pods would be treated as bridged: a pod could not reach itself through a Service. */
const BRIDGE_SETTINGS = ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables', 'bridge-nf-call-arptables'] as const;

/** Pods route nothing, but the node agent answers there in other addresses' names; a redirect would lead around the node and its NAT. */
const POD_SETTINGS: readonly (readonly [path: string, value: string])[] = [
  ...['all', 'default', 'lo', 'eth0'].map((link) => [`ipv4/conf/${link}/rp_filter`, '0'] as const),
  ...['all', 'eth0'].map((link) => [`ipv4/conf/${link}/accept_redirects`, '0'] as const),
  ...['all', 'eth0'].map((link) => [`ipv6/conf/${link}/accept_redirects`, '0'] as const),
  ...['all', 'default', 'eth0'].map((link) => [`ipv6/conf/${link}/accept_dad`, '0'] as const),
  ['ipv6/conf/eth0/accept_ra', '0'],
];

/** Makes the network namespace of this process the cluster's node: settings, bridge, addresses, the route of Service addresses. */
export async function setUpNode(): Promise<void> {
  const ipv6 = hasIpv6();
  for (const [path, value] of NODE_SETTINGS)
    if (ipv6 || !path.startsWith('ipv6')) writeFileSync(`/proc/sys/net/${path}`, value);
  for (const name of BRIDGE_SETTINGS) writeIfThere(`/proc/sys/net/bridge/${name}`, '0');
  const node = nodeAddresses();
  const dns = dnsAddresses();
  await ipBatch([
    'link set lo up',
    `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge`,
    `addr add ${node.v4}/16 dev ${BRIDGE}`,
    `addr add ${dns.v4}/32 dev ${BRIDGE}`,
    ...(ipv6 ? [`addr add ${node.v6}/64 dev ${BRIDGE} nodad`, `addr add ${dns.v6}/128 dev ${BRIDGE} nodad`] : []),
    `link set ${BRIDGE} up`,
    // Services without endpoints must reach the forward hook, where they are refused, instead of ending as "no route"
    `route add ${SERVICE_RANGE.v4Base}/16 dev ${BRIDGE}`,
    ...(ipv6 ? [`route add ${SERVICE_RANGE.v6Base}/112 dev ${BRIDGE}`] : []),
  ]);
}

/** Makes a pod's network namespace with one address per family, everything else behind the node. */
export async function addPodNetwork(network: PodNetwork): Promise<void> {
  const node = nodeAddresses();
  await ipBatch([
    `netns add ${network.netns}`,
    `link add ${network.link} type veth peer name eth0 netns ${network.netns}`,
    `link set ${network.link} master ${BRIDGE} up`,
  ]);
  await inNetns(network.netns, [
    ...network.addresses.map((ip) => (isV6(ip) ? `addr add ${ip}/128 dev eth0 nodad` : `addr add ${ip}/32 dev eth0`)),
    ...network.addresses.map((ip) =>
      isV6(ip) ? `route add ::/0 via ${node.v6} dev eth0 onlink` : `route add default via ${node.v4} dev eth0 onlink`,
    ),
  ]);
}

/** Attaches a namespace to the node as a piece of the world outside: its own prefix, the node's `.1` as its router. */
export async function addOutsideNetwork(network: PodNetwork, prefixes: readonly OutsideAddress[]): Promise<void> {
  const bridge = await tryCommand('ip', ['link', 'add', OUTSIDE_BRIDGE, 'address', OUTSIDE_MAC, 'type', 'bridge']);
  if (bridge.code !== 0 && !bridge.stderr.includes('File exists'))
    throw new MeshError('INTERNAL', `cannot make ${OUTSIDE_BRIDGE}: ${bridge.stderr.trim()}`);
  await ipBatch([
    ...prefixes.map(
      ({ router, prefix }) =>
        `addr replace ${router}/${prefix.length} dev ${OUTSIDE_BRIDGE}${isV6(router) ? ' nodad' : ''}`,
    ),
    `link set ${OUTSIDE_BRIDGE} up`,
    `netns add ${network.netns}`,
    `link add ${network.link} type veth peer name eth0 netns ${network.netns}`,
    `link set ${network.link} master ${OUTSIDE_BRIDGE} up`,
  ]);
  await inNetns(network.netns, [
    ...prefixes.map(({ ip, prefix }) => `addr add ${ip}/${prefix.length} dev eth0${isV6(ip) ? ' nodad' : ''}`),
    ...prefixes.map(({ router }) => `route replace ${isV6(router) ? '::/0' : 'default'} via ${router} dev eth0`),
  ]);
}

/** An address outside the cluster with the prefix around it and the node's address there. */
export interface OutsideAddress {
  readonly ip: IpAddress;
  readonly prefix: Cidr;
  readonly router: IpAddress;
}

/** Removes the namespace and its link; what is gone already counts as removed. */
export async function removePodNetwork(network: PodNetwork): Promise<void> {
  for (const args of [
    ['link', 'del', network.link],
    ['netns', 'del', network.netns],
  ]) {
    const result = await tryCommand('ip', args);
    if (result.code !== 0 && !/Cannot find device|No such file/.test(result.stderr))
      throw new MeshError('INTERNAL', `ip ${args.join(' ')} failed: ${result.stderr.trim()}`);
  }
}

/** Old kernels share these settings between namespaces and refuse the write; then they keep the host's value. */
function writeIfThere(file: string, value: string): void {
  try {
    writeFileSync(file, value);
  } catch {
    // ENOENT: no br_netfilter; EACCES: not namespaced
  }
}

/** Sets the namespace up from inside with one process: kernel settings are those of the namespace of whoever writes them. */
async function inNetns(netns: string, lines: readonly string[]): Promise<void> {
  const ipv6 = hasIpv6();
  const settings = POD_SETTINGS.filter(([path]) => ipv6 || !path.startsWith('ipv6'))
    .map(([path, value]) => `echo ${value} > /proc/sys/net/${path}`)
    .join('; ');
  await runCommand('nsenter', [`--net=${netnsPath(netns)}`, 'sh', '-ec', `${settings}; exec ip -batch -`], {
    input: `${['link set lo up', 'link set eth0 up', ...lines].join('\n')}\n`,
  });
}
