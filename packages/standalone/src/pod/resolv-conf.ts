import type { IpAddress } from '@ambit/common/address/ip';

/** The resolv.conf of a pod: the cluster's DNS first for short names, as Kubernetes' `ClusterFirst` writes it. */
export const podResolvConf = (servers: readonly IpAddress[], namespace: string, clusterDomain: string): string =>
  [
    ...servers.map((server) => `nameserver ${server}`),
    `search ${namespace}.svc.${clusterDomain} svc.${clusterDomain} ${clusterDomain}`,
    'options ndots:5',
    '',
  ].join('\n');

/** The resolv.conf of a machine that knows nothing of the cluster. */
export const plainResolvConf = (servers: readonly string[]): string =>
  `${servers.map((server) => `nameserver ${server}`).join('\n')}\n`;

/** /etc/hosts of a pod: localhost, its own name, its aliases. */
export function podHosts(
  hostname: string,
  addresses: readonly IpAddress[],
  aliases: readonly { readonly ip: string; readonly hostnames: readonly string[] }[],
): string {
  return [
    '127.0.0.1 localhost',
    '::1 localhost ip6-localhost ip6-loopback',
    ...addresses.map((ip) => `${ip} ${hostname}`),
    ...aliases.map((alias) => `${alias.ip} ${alias.hostnames.join(' ')}`),
    '',
  ].join('\n');
}

/** The name servers of a resolv.conf text. */
export const nameServers = (text: string): string[] =>
  [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '').filter((one) => one !== '');
