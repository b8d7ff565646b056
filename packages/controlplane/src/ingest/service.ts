import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import type { LoadBalancing, LoadBalancingScope, Service } from '@ambit/common/model/service';
import { STANDARD_LOAD_BALANCING } from '@ambit/common/model/service';
import type { KubeObject } from '../collections/object.ts';
import { type ServiceSpec, serviceSpec } from '../files/schema/core.ts';
import { type Protocol, protocolOf } from '../files/schema/protocol.ts';
import { read } from '../files/schema/schema.ts';
import type { Labels } from './labels.ts';
import { memoized } from './memoized.ts';

/** One port of a Service or ServiceEntry. */
export interface PortForm {
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
  /** A number, or the name of a container port. */
  readonly target: number | string;
}

export interface ServiceForm {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  readonly vips: readonly IpAddress[];
  readonly ports: readonly PortForm[];
  readonly selector: Labels;
  readonly ipFamilies: Service['ipFamilies'];
  readonly localTraffic: boolean;
  readonly trafficDistribution: string | undefined;
  readonly publishNotReady: boolean;
}

/** Undefined for an ExternalName service: clients resolve it by DNS and the mesh never sees it. */
export const ingestService: (object: KubeObject) => ServiceForm | undefined = memoized((service) => {
  const spec = read(serviceSpec, service.spec ?? {});
  if (spec === undefined || spec.type === 'ExternalName') return undefined;
  const { metadata } = service;
  return {
    object: service,
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    vips: vipsOf(spec),
    ports: (spec.ports ?? []).map((port) => ({
      number: port.port,
      name: port.name ?? '',
      protocol: protocolOf(port),
      target: port.targetPort ?? port.port,
    })),
    selector: spec.selector ?? {},
    ipFamilies: familiesOf(spec),
    localTraffic: spec.internalTrafficPolicy === 'Local',
    trafficDistribution: spec.trafficDistribution ?? metadata.annotations?.[TRAFFIC_DISTRIBUTION],
    publishNotReady: spec.publishNotReadyAddresses ?? false,
  };
});

export const TRAFFIC_DISTRIBUTION = 'networking.istio.io/traffic-distribution';

function vipsOf(spec: ServiceSpec): IpAddress[] {
  const texts = spec.clusterIPs !== undefined && spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP ?? ''];
  return texts.map(parseIp).filter((ip) => ip !== undefined);
}

function familiesOf({ ipFamilies = [] }: ServiceSpec): Service['ipFamilies'] {
  if (ipFamilies.length > 1) return 'DUAL';
  if (ipFamilies.length === 0) return 'AUTOMATIC';
  return ipFamilies[0] === 'IPv4' ? 'IPV4' : 'IPV6';
}

const ZONES: readonly LoadBalancingScope[] = ['NETWORK', 'REGION', 'ZONE'];
const NODES: readonly LoadBalancingScope[] = [...ZONES, 'SUBZONE', 'NODE'];

/** Istio's reading of trafficDistribution; a word that is not known means any endpoint. */
export function trafficDistribution(word: string | undefined): LoadBalancing {
  const preferences = DISTRIBUTIONS[word?.toLowerCase() ?? ''];
  return preferences === undefined
    ? STANDARD_LOAD_BALANCING
    : { mode: 'FAILOVER', preferences, healthPolicy: 'ONLY_HEALTHY' };
}

const DISTRIBUTIONS: Readonly<Record<string, readonly LoadBalancingScope[]>> = {
  preferclose: ZONES,
  prefersamezone: ZONES,
  prefersamenode: NODES,
};
