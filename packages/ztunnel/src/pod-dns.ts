import { randomInt } from 'node:crypto';
import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isV6 } from '@ambit/common/address/ip';
import { query, RECORD, recordAddress } from '@ambit/common/dns/message';
import { MeshError } from '@ambit/common/errors';
import { SystemCallError } from '@ambit/common/linux/libc';
import type { MeshView } from '@ambit/common/mesh/view';
import type { PodSockets } from './capture/pod-sockets.ts';
import type { Config } from './config.ts';
import { answerQuestion } from './dns/answer.ts';
import { socketExchange } from './dns/exchange.ts';
import { createDnsHandler, type DnsEvent } from './dns/handler.ts';
import type { ResolverConfig } from './dns/resolv-conf.ts';
import { type DnsSockets, serveDns } from './dns/server.ts';
import { DnsUpstream } from './dns/upstream.ts';
import type { LocalWorkload } from './local-workload.ts';

/** What the DNS servers of all pods share. */
export interface DnsService {
  readonly view: MeshView;
  /** Name servers of this node. */
  readonly resolver: ResolverConfig;
  readonly hosts: ReadonlyMap<string, readonly IpAddress[]>;
  readonly observe: (event: DnsEvent) => void;
}

interface PodDns {
  readonly service: DnsService;
  readonly config: Config;
  readonly sockets: PodSockets;
  readonly local: LocalWorkload;
  readonly addresses: readonly HostPort[];
}

export interface RunningDns {
  readonly close: () => void;
  /** IPv4 addresses of a name, as an application of the pod would be told. */
  readonly resolve: (hostname: string) => Promise<readonly IpAddress[]>;
}

/** Serves DNS in a pod: the mesh's names from the mesh, others from the node's name servers, asked from inside the pod. */
export function startPodDns({ service, config, sockets, local, addresses }: PodDns): RunningDns {
  const upstream = new DnsUpstream({
    config: service.resolver,
    hosts: service.hosts,
    exchange: socketExchange(
      { udp: (family) => sockets.udp(family), tcp: (to) => sockets.dial(to) },
      service.resolver.timeoutMs,
    ),
    now: performance.now.bind(performance),
    randomId: () => randomInt(0x1_0000),
  });
  const handler = createDnsHandler({
    client: () => local.get(),
    answer: (client, question) =>
      answerQuestion(
        {
          view: service.view,
          client,
          clusterDomain: config.clusterDomain,
          searchDomains: config.proxyMode === 'dedicated' ? service.resolver.search : undefined,
          preferredNamespace: config.preferredNamespace,
          ipv6: config.ipv6,
          random: Math.random,
        },
        question,
      ),
    forward: (question) => upstream.resolve(question),
    observe: service.observe,
    now: performance.now.bind(performance),
  });
  const server = serveDns(openSockets(sockets, addresses), handler);
  const resolve = async (hostname: string): Promise<readonly IpAddress[]> => {
    const answer = await handler(query(randomInt(0x1_0000), hostname, RECORD.A), 'udp');
    return (answer?.answers ?? []).map(recordAddress).filter((ip) => ip !== undefined);
  };
  return { close: () => server.close(), resolve };
}

function openSockets(sockets: PodSockets, addresses: readonly HostPort[]): DnsSockets {
  const udp: { fd: number; type: 'udp4' | 'udp6' }[] = [];
  const tcp: number[] = [];
  for (const address of addresses) {
    const opened = openAddress(sockets, address);
    if (opened === undefined) continue;
    udp.push({ fd: opened.udp, type: isV6(address.ip) ? 'udp6' : 'udp4' });
    tcp.push(opened.tcp);
  }
  return { udp, tcp };
}

/** A pod may have IPv6 switched off on its loopback interface: then there is nobody to ask us there. */
function openAddress(sockets: PodSockets, address: HostPort): { udp: number; tcp: number } | undefined {
  try {
    return sockets.dns(address);
  } catch (error) {
    if (isV6(address.ip) && addressMissing(error)) return undefined;
    throw error;
  }
}

const addressMissing = (error: unknown): boolean =>
  error instanceof MeshError && error.cause instanceof SystemCallError && error.cause.code === 'EADDRNOTAVAIL';
