/** Values for tests: workloads and services with Istio's defaults where a test does not care. */
import { type HostPort, parseAuthority } from '@ambit/common/address/host-port';
import { type Cidr, parseCidr } from '@ambit/common/address/cidr';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { MeshStore } from '@ambit/common/mesh/store';
import { NO_LOCALITY } from '@ambit/common/model/locality';
import { type Service, STANDARD_LOAD_BALANCING } from '@ambit/common/model/service';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import type { PortMap, Workload } from '@ambit/common/model/workload';
import { decodeAddress, encodeWorkload } from '@ambit/common/codec/address';

type WorkloadPart = Partial<Omit<Workload, 'uid' | 'addresses' | 'services'>> & {
  readonly name: string;
  readonly ips?: readonly string[];
  /** `namespace/hostname` → service port → target port. */
  readonly services?: Readonly<Record<string, Readonly<Record<number, number>>>>;
};

const TEMPLATE: Omit<Workload, 'name' | 'uid'> = {
  namespace: 'default',
  addresses: [],
  hostname: '',
  network: '',
  protocol: 'TCP',
  trustDomain: 'cluster.local',
  serviceAccount: 'default',
  node: 'local',
  canonicalName: '',
  canonicalRevision: '',
  workloadType: 'deployment',
  workloadName: '',
  nativeTunnel: false,
  waypoint: undefined,
  networkGateway: undefined,
  applicationTunnel: undefined,
  authorizationPolicies: [],
  healthy: true,
  clusterId: 'Kubernetes',
  locality: NO_LOCALITY,
  hostNetwork: false,
  capacity: 1,
  services: new Map(),
};

/** The uid is `Kubernetes//Pod/<namespace>/<name>`. It goes over the wire form and back, as real ones do. */
export function workload(part: WorkloadPart): Workload {
  const { ips = [], services = {}, ...rest } = part;
  const bytes = encodeWorkload({
    ...TEMPLATE,
    ...rest,
    uid: uidOf(part),
    addresses: ips.map(ip),
    services: new Map(Object.entries(services).map(([key, map]) => [key, portMap(map)])),
  });
  const decoded = decodeAddress(bytes);
  if (decoded.kind !== 'workload') throw new Error('not a workload');
  return decoded.workload;
}

const portMap = (map: Readonly<Record<number, number>>): PortMap =>
  new Map(Object.entries(map).map(([from, to]) => [Number(from), to]));

/** The only maker of a uid outside the codec is the codec: this takes it from there. */
function uidOf({ namespace = 'default', name }: WorkloadPart): Workload['uid'] {
  const decoded = decodeAddress(encodeUid(`Kubernetes//Pod/${namespace}/${name}`));
  if (decoded.kind !== 'workload') throw new Error('not a workload');
  return decoded.workload.uid;
}

/** `istio.workload.Address { workload { uid = 20 } }`. */
function encodeUid(uid: string): Uint8Array {
  const text = Buffer.from(uid);
  const inner = Buffer.concat([Buffer.from([0xa2, 0x01, text.length]), text]);
  return Buffer.concat([Buffer.from([0x0a, inner.length]), inner]);
}

type ServicePart = Partial<Omit<Service, 'vips' | 'ports' | 'cidrVips'>> & {
  readonly hostname: string;
  /** `ip` or `network/ip`. */
  readonly vips?: readonly string[];
  readonly cidrs?: readonly string[];
  /** service port → target port. */
  readonly ports?: Readonly<Record<number, number>>;
};

export function service(part: ServicePart): Service {
  const { vips = [], cidrs = [], ports = {}, ...rest } = part;
  return {
    name: part.hostname.split('.')[0] ?? '',
    namespace: 'default',
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancing: STANDARD_LOAD_BALANCING,
    ipFamilies: 'AUTOMATIC',
    canonical: false,
    visibility: 'PUBLIC',
    ...rest,
    vips: vips.map(networkAddress),
    cidrVips: cidrs.map((text) => ({ network: '', cidr: cidr(text) })),
    ports: Object.entries(ports).map(([from, to]) => ({
      servicePort: Number(from),
      targetPort: to,
      appProtocol: 'UNKNOWN',
    })),
  };
}

function networkAddress(text: string): { network: string; ip: IpAddress } {
  const slash = text.indexOf('/');
  return { network: slash < 0 ? '' : text.slice(0, slash), ip: ip(text.slice(slash + 1)) };
}

/** A store that holds these. */
export function mesh(part: { workloads?: readonly Workload[]; services?: readonly Service[] }): MeshStore {
  const store = new MeshStore();
  const { workloads = [], services = [] } = part;
  store.applyAddresses(
    [
      ...services.map((one) => ({ kind: 'service', service: one }) as const),
      ...workloads.map((one) => ({ kind: 'workload', workload: one }) as const),
    ],
    [],
  );
  return store;
}

export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`${text} is no prefix`);
  return parsed;
}

/** `1.2.3.4:80` or `[::1]:80`. */
export function hostPort(text: string): HostPort {
  const parsed = parseAuthority(text);
  if (parsed?.ip === undefined) throw new Error(`${text} is no address with a port`);
  return { ip: parsed.ip, port: parsed.port };
}

/** `namespace/hostname:port` or `ip:port`, optionally `network@ip:port`. */
export function gateway(text: string): GatewayAddress {
  const slash = text.indexOf('/');
  if (slash >= 0) {
    const [hostname = '', port] = text.slice(slash + 1).split(':');
    return { destination: { kind: 'hostname', namespace: text.slice(0, slash), hostname }, port: Number(port) };
  }
  const at = text.indexOf('@');
  const address = hostPort(text.slice(at + 1));
  const network = at < 0 ? '' : text.slice(0, at);
  return { destination: { kind: 'address', address: { network, ip: address.ip } }, port: address.port };
}
