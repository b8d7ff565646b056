import { isIP } from 'node:net';
import {
  boolean,
  choice,
  either,
  integer,
  isSet,
  list,
  map,
  notRun,
  object,
  port,
  type Path,
  refuse,
  type Report,
  type Schema,
  text,
  textOf,
  warnNotRun,
} from './schema.ts';

export interface ServicePortSpec {
  readonly port: number;
  readonly name?: string;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly appProtocol?: string;
  readonly targetPort?: number | string;
}

export interface ServiceSpec {
  readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports?: readonly ServicePortSpec[];
  readonly clusterIP?: string;
  readonly clusterIPs?: readonly string[];
  readonly ipFamilies?: readonly ('IPv4' | 'IPv6')[];
  readonly ipFamilyPolicy?: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  readonly externalName?: string;
  readonly publishNotReadyAddresses?: boolean;
  readonly internalTrafficPolicy?: 'Cluster' | 'Local';
  readonly trafficDistribution?: string;
  readonly sessionAffinity?: string;
}

export interface Endpoint {
  readonly addresses: readonly string[];
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  readonly targetRef?: {
    readonly kind?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
  };
  readonly nodeName?: string;
}

export interface EndpointPort {
  readonly name?: string;
  readonly port?: number;
  readonly protocol?: string;
}

const INSIDE_ONLY = 'the Service is reached from inside the mesh only';
/** What trafficDistribution may say; Istio compares it without case. */
const DISTRIBUTIONS: ReadonlySet<string> = new Set(['preferclose', 'prefersamezone', 'prefersamenode', 'any']);

const clusterIp = textOf('an IP address or None', (value) => value === 'None' || value === '' || isIP(value) !== 0);

const servicePort: Schema<ServicePortSpec> = object<ServicePortSpec>(
  {
    port,
    name: text,
    protocol: choice('TCP', 'UDP', 'SCTP'),
    appProtocol: text,
    targetPort: either(
      port,
      textOf('the name of a container port', (value) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value)),
    ),
  },
  { required: ['port'], notRun: { nodePort: 'no port of the machine is opened' } },
);

export const serviceSpec: Schema<ServiceSpec> = object<ServiceSpec>(
  {
    type: choice('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
    selector: map(text),
    ports: list(servicePort, { max: 1000 }),
    clusterIP: clusterIp,
    clusterIPs: list(clusterIp, { max: 2 }),
    ipFamilies: list(choice('IPv4', 'IPv6'), { max: 2 }),
    ipFamilyPolicy: choice('SingleStack', 'PreferDualStack', 'RequireDualStack'),
    externalName: text,
    publishNotReadyAddresses: boolean,
    internalTrafficPolicy: choice('Cluster', 'Local'),
    trafficDistribution: text,
    sessionAffinity: notRun(text, 'each connection may reach another endpoint', (value) => value === 'None'),
  },
  {
    notRun: {
      externalIPs: 'the Service has its cluster IPs only',
      externalTrafficPolicy: INSIDE_ONLY,
      healthCheckNodePort: 'no port of the machine is opened',
      loadBalancerIP: INSIDE_ONLY,
      loadBalancerClass: INSIDE_ONLY,
      loadBalancerSourceRanges: INSIDE_ONLY,
      allocateLoadBalancerNodePorts: 'no port of the machine is opened',
      sessionAffinityConfig: 'each connection may reach another endpoint',
    },
    rules: (spec, path, report) => {
      if (spec.type === 'NodePort' || spec.type === 'LoadBalancer')
        warnNotRun([...path, 'type'], `${spec.type} is served like ClusterIP: ${INSIDE_ONLY}`, report);
      if (spec.type === 'ExternalName' && !isSet(spec.externalName))
        refuse(report, path, 'externalName is missing: a Service of type ExternalName expects a host name');
      const distribution = spec.trafficDistribution?.toLowerCase();
      if (isSet(distribution) && !DISTRIBUTIONS.has(distribution))
        warnNotRun([...path, 'trafficDistribution'], `${distribution} is not known, so any endpoint is chosen`, report);
      checkPorts(spec.ports ?? [], [...path, 'ports'], report);
    },
  },
);

function checkPorts(ports: readonly ServicePortSpec[], path: Path, report: Report): void {
  const seen = new Set<string>();
  for (const [i, { protocol = 'TCP', port, name }] of ports.entries()) {
    const key = `${protocol} ${port}`;
    if (seen.has(key)) refuse(report, [...path, i, 'port'], `port ${key} is there twice: expected each once`);
    seen.add(key);
    if (ports.length > 1 && !isSet(name))
      refuse(report, [...path, i], 'name is missing: a Service with several ports expects a name for each');
  }
}

export const namespaceSpec: Schema<object> = object<object>({}, { accepted: ['finalizers'] });

const stringMap = map(text, (key) =>
  /^[-._a-zA-Z0-9]{1,253}$/.test(key) ? undefined : 'expected a key of letters, digits, -, _ and .',
);

const immutable = notRun(boolean, 'it can still be changed', (value) => value === false);

export const configMap: Schema<object> = object<{ data?: unknown; binaryData?: unknown; immutable?: boolean }>({
  data: stringMap,
  binaryData: notRun(stringMap, 'variables and volumes hold what data says'),
  immutable,
});

const base64 = textOf('base64 text', (value) => /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value));

export const secret: Schema<object> = object<{
  data?: unknown;
  stringData?: unknown;
  type?: string;
  immutable?: boolean;
}>({
  data: map(base64),
  stringData: stringMap,
  type: text,
  immutable,
});

export const serviceAccount: Schema<object> = object<object>(
  {},
  {
    notRun: {
      secrets: 'tokens are made when a pod asks for one',
      imagePullSecrets: 'no image is pulled',
      automountServiceAccountToken: 'a token is mounted where a volume asks for it',
    },
  },
);

export const endpoint: Schema<Endpoint> = object<Endpoint>(
  {
    addresses: list(text, { min: 1, max: 100 }),
    conditions: object({ ready: boolean, serving: boolean, terminating: boolean }),
    targetRef: object(
      { kind: text, namespace: text, name: text, uid: text },
      { accepted: ['apiVersion', 'fieldPath', 'resourceVersion'] },
    ),
    nodeName: text,
  },
  { required: ['addresses'], accepted: ['hostname', 'zone', 'hints', 'deprecatedTopology'] },
);

export const endpointPort: Schema<EndpointPort> = object<EndpointPort>(
  { name: text, port: integer(1, 65_535), protocol: text },
  { accepted: ['appProtocol'] },
);

export const endpointSlice: Schema<object> = object<{ addressType: string; endpoints: unknown; ports?: unknown }>(
  { addressType: choice('IPv4', 'IPv6', 'FQDN'), endpoints: list(endpoint), ports: list(endpointPort) },
  { required: ['addressType', 'endpoints'] },
);

export const nodeSpec: Schema<object> = object<object>(
  {},
  {
    accepted: ['providerID'],
    notRun: {
      podCIDR: 'addresses of pods come from the range of the mesh',
      podCIDRs: 'addresses of pods come from the range of the mesh',
      taints: 'every pod runs on this machine',
      unschedulable: 'every pod runs on this machine',
    },
  },
);
