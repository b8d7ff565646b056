import type { HostPort } from '@ambit/common/address/host-port';
import { type IpAddress, isV6, parseIp } from '@ambit/common/address/ip';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { list, number, record, records, text, textMap, texts } from '../fields.ts';
import type { ServiceVip } from './service-vips.ts';

/** One ready endpoint of a Service: a pod, or an address of an EndpointSlice. */
export interface ServiceEndpoint {
  readonly addresses: readonly IpAddress[];
  /** Set when a headless Service gives the pod a name of its own. */
  readonly hostname: string | undefined;
  /** The port that a Service port leads to here; undefined when the pod has no port of that name. */
  readonly portFor: (port: ServicePort) => number | undefined;
}

export interface ServicePort {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly target: number | string;
}

/** A Service as packets and DNS see it. */
export interface ClusterService {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIps: readonly IpAddress[];
  readonly headless: boolean;
  /** The name an ExternalName Service stands for. */
  readonly externalName: string | undefined;
  readonly ports: readonly ServicePort[];
  readonly endpoints: readonly ServiceEndpoint[];
}

/** Joins Services with the ready pods they select and the EndpointSlices written for them. */
export function clusterServices(
  services: Iterable<KubeObject>,
  pods: Iterable<KubeObject>,
  slices: Iterable<KubeObject>,
): ClusterService[] {
  const podsByNamespace = Map.groupBy(pods, (pod) => pod.metadata.namespace ?? '');
  const slicesByService = Map.groupBy(
    slices,
    (slice) => `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.['kubernetes.io/service-name'] ?? ''}`,
  );
  return [...services].map((service): ClusterService => {
    const spec = record(service.spec);
    const namespace = service.metadata.namespace ?? 'default';
    const selector = Object.entries(textMap(spec['selector']));
    const selected =
      selector.length === 0
        ? []
        : (podsByNamespace.get(namespace) ?? []).filter((pod) =>
            selector.every(([key, value]) => pod.metadata.labels?.[key] === value),
          );
    const open = spec['publishNotReadyAddresses'] === true;
    const ips = texts(spec['clusterIPs']);
    return {
      namespace,
      name: service.metadata.name,
      clusterIps: (ips.length > 0 ? ips : [text(spec['clusterIP']) ?? ''])
        .map(parseIp)
        .filter((ip) => ip !== undefined),
      headless: spec['clusterIP'] === 'None',
      externalName: spec['type'] === 'ExternalName' ? text(spec['externalName']) : undefined,
      ports: records(spec['ports']).map(readPort),
      endpoints: [
        ...selected.filter((pod) => open || isServing(pod)).flatMap((pod) => podEndpoint(pod, service.metadata.name)),
        ...(selector.length > 0
          ? []
          : (slicesByService.get(`${namespace}/${service.metadata.name}`) ?? []).flatMap(sliceEndpoints)),
      ],
    };
  });
}

/** The node's rules for these Services: one per address and port. */
export function serviceVips(services: readonly ClusterService[]): ServiceVip[] {
  return services.flatMap((service) =>
    service.clusterIps.flatMap((vip) =>
      service.ports.map((port) => ({
        name: `${service.namespace}/${service.name}:${port.port}`,
        protocol: port.protocol,
        vip,
        port: port.port,
        endpoints: service.endpoints.flatMap((endpoint) => portEndpoint(endpoint, port, isV6(vip))),
      })),
    ),
  );
}

function portEndpoint(endpoint: ServiceEndpoint, port: ServicePort, v6: boolean): HostPort[] {
  const ip = endpoint.addresses.find((one) => isV6(one) === v6);
  const target = endpoint.portFor(port);
  return ip === undefined || target === undefined ? [] : [{ ip, port: target }];
}

/** True when a pod may get new connections: ready and not ending. */
export const isServing = (pod: KubeObject): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  records(record(pod.status)['conditions']).some((one) => one['type'] === 'Ready' && one['status'] === 'True');

const readPort = (port: Record<string, unknown>): ServicePort => {
  const target = port['targetPort'];
  const own = number(port['port']) ?? 0;
  return {
    name: text(port['name']) ?? '',
    protocol: port['protocol'] === 'UDP' ? 'udp' : 'tcp',
    port: own,
    target: typeof target === 'number' || typeof target === 'string' ? target : own,
  };
};

function podEndpoint(pod: KubeObject, service: string): ServiceEndpoint[] {
  const addresses = records(record(pod.status)['podIPs'])
    .map((one) => parseIp(text(one['ip']) ?? ''))
    .filter((ip) => ip !== undefined);
  if (addresses.length === 0) return [];
  const spec = record(pod.spec);
  const named = new Map(
    records(spec['containers'])
      .flatMap((container) => records(container['ports']))
      .map((port) => [text(port['name']) ?? '', number(port['containerPort']) ?? 0]),
  );
  return [
    {
      addresses,
      hostname: spec['subdomain'] === service ? text(spec['hostname']) : undefined,
      portFor: ({ target }) =>
        typeof target === 'number' ? target : (named.get(target) ?? (Number(target) || undefined)),
    },
  ];
}

function sliceEndpoints(slice: KubeObject): ServiceEndpoint[] {
  const ports = records(slice.ports);
  return records(slice.endpoints)
    .filter((endpoint) => record(endpoint['conditions'])['ready'] !== false)
    .map((endpoint) => ({
      addresses: texts(list(endpoint['addresses']))
        .map(parseIp)
        .filter((ip) => ip !== undefined),
      hostname: text(endpoint['hostname']),
      portFor: ({ name }) => number(ports.find((port) => (text(port['name']) ?? '') === name)?.['port']),
    }));
}
