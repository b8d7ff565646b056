import { randomBytes } from 'node:crypto';
import { ipFromBytes, ipToBytes, parseIp } from '@ambit/common/address/ip';
import { type Cidr, parseCidr } from '@ambit/common/address/cidr';
import { MeshError } from '@ambit/common/errors';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { AddressPool, type AddressRange, POD_RANGE, SERVICE_RANGE } from './address-pool.ts';
import {
  type OutsideAddress,
  type PodNetwork,
  addOutsideNetwork,
  addPodNetwork,
  dnsAddresses,
  hasIpv6,
  nodeAddresses,
  removePodNetwork,
} from './cluster.ts';
import type { PodAttachment } from './pod/pod.ts';
import { plainResolvConf, podResolvConf } from './pod/resolv-conf.ts';
import type { PodSpec } from './pod/spec.ts';
import { tryCommand } from './run-command.ts';

/** Makes a pod part of the world outside: `203.0.113.10/24`, several separated by commas. Such a pod is never in the mesh. */
export const OUTSIDE_ANNOTATION = 'ambit.dev/outside';

export interface AttachmentOptions {
  readonly clusterDomain: string;
  /** Name servers of the world outside. */
  readonly upstreamDns: readonly string[];
}

/** Gives pods their networks: in the cluster, outside of it, or none of their own. */
export class Attachments {
  readonly #options: AttachmentOptions;
  readonly #pool: AddressPool;
  #outsideCount = 0;

  constructor(options: AttachmentOptions) {
    this.#options = options;
    this.#pool = new AddressPool(withFamilies(POD_RANGE));
  }

  /** Rejects with MeshError when there is no address left, an annotation is wrong, or the kernel refuses. */
  async attach(pod: KubeObject, spec: PodSpec): Promise<PodAttachment> {
    const outside = pod.metadata.annotations?.[OUTSIDE_ANNOTATION];
    if (outside !== undefined) return this.#outside(pod, parseOutside(outside));
    if (spec.hostNetwork) return this.#host(pod);
    return this.#inside(pod);
  }

  async #inside(pod: KubeObject): Promise<PodAttachment> {
    const pair = this.#pool.take();
    const addresses = [pair.v4, ...(pair.v6 === undefined ? [] : [pair.v6])];
    const [, , high, low] = ipToBytes(pair.v4);
    const network: PodNetwork = { netns: netnsName(pod), link: `pod${((high ?? 0) << 8) | (low ?? 0)}`, addresses };
    const release = async (): Promise<void> => {
      await removeWhole(network);
      this.#pool.free(pair);
    };
    try {
      await addPodNetwork(network);
    } catch (error) {
      await release();
      throw error;
    }
    return { network, addresses, resolvConf: this.#clusterResolvConf(pod), release };
  }

  async #outside(pod: KubeObject, prefixes: readonly OutsideAddress[]): Promise<PodAttachment> {
    this.#outsideCount += 1;
    const network: PodNetwork = {
      netns: netnsName(pod),
      link: `out${this.#outsideCount}`,
      addresses: prefixes.map(({ ip }) => ip),
    };
    const release = (): Promise<void> => removeWhole(network);
    try {
      await addOutsideNetwork(network, prefixes);
    } catch (error) {
      await release();
      throw error;
    }
    // no addresses in the status: the mesh must not take the world outside for one of its workloads
    return { network, addresses: [], resolvConf: plainResolvConf(this.#options.upstreamDns), release };
  }

  #host(pod: KubeObject): PodAttachment {
    const node = nodeAddresses();
    const addresses = [node.v4, ...(hasIpv6() && node.v6 !== undefined ? [node.v6] : [])];
    return { network: undefined, addresses, resolvConf: this.#clusterResolvConf(pod), release: async () => {} };
  }

  #clusterResolvConf(pod: KubeObject): string {
    return podResolvConf([dnsAddresses().v4], pod.metadata.namespace ?? 'default', this.#options.clusterDomain);
  }
}

export const withFamilies = (range: AddressRange): AddressRange => ({
  ...range,
  v6Base: hasIpv6() ? range.v6Base : undefined,
});

/** Namespace and name, made unique: a pod of the same name may still be going away. */
const netnsName = (pod: KubeObject): string =>
  `${pod.metadata.namespace ?? 'default'}.${pod.metadata.name}`.slice(0, 200) + `.${randomBytes(3).toString('hex')}`;

/** Addresses of the annotation. @throws MeshError CONFIG with what is wrong. */
export function parseOutside(value: string): OutsideAddress[] {
  return value.split(',').map((part) => {
    const text = part.trim();
    const prefix = parseCidr(text);
    const ip = parseIp(text.split('/')[0] ?? '');
    if (prefix === undefined || ip === undefined || !text.includes('/'))
      throw new MeshError(
        'CONFIG',
        `annotation ${OUTSIDE_ANNOTATION}: "${text}" is no address with a prefix length, such as 203.0.113.10/24`,
      );
    for (const range of [POD_RANGE, SERVICE_RANGE])
      if (prefix.ip.startsWith(range.v4Base.replace(/0\.0$/, '')))
        throw new MeshError(
          'CONFIG',
          `annotation ${OUTSIDE_ANNOTATION}: ${text} belongs to the cluster's own range ${range.v4Base}/16`,
        );
    return { ip, prefix, router: firstOf(prefix) };
  });
}

function firstOf(prefix: Cidr): OutsideAddress['router'] {
  const bytes = Uint8Array.from(prefix.bytes);
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) | 1;
  return ipFromBytes(bytes) ?? prefix.ip;
}

/** Ends whatever still runs in the namespace (what left its process group), then removes it. */
async function removeWhole(network: PodNetwork): Promise<void> {
  const listed = await tryCommand('ip', ['netns', 'pids', network.netns]);
  for (const pid of listed.stdout
    .split('\n')
    .map(Number)
    .filter((one) => one > 1)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ESRCH: it has ended meanwhile
    }
  }
  await removePodNetwork(network);
}
