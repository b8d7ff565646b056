import { formatHostPort, type HostPort, parseAuthority } from '@ambit/common/address/host-port';
import type { IpAddress } from '@ambit/common/address/ip';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Listener } from '@ambit/common/model/listener';
import type { GatewayAddress } from '@ambit/common/model/waypoint';
import type { Workload } from '@ambit/common/model/workload';
import type { Destination } from '../decision.ts';

/** Who this waypoint is, to know what is bound to it. */
export interface WaypointSelf {
  readonly name: string;
  readonly namespace: string;
  readonly network: string;
  readonly addresses: readonly IpAddress[];
}

/** The services bound to this waypoint, by address. */
export interface ListenerLookup {
  byAddress(network: string, ip: IpAddress): Listener | undefined;
}

/**
 * Decides where a tunnel may go: a declared port of a bound service, any port of a bound workload, and nothing else.
 * Services bound elsewhere, host names, unknown addresses and the waypoint itself are refused: it is no open relay.
 */
export function findDestination(
  authority: string,
  self: WaypointSelf,
  listeners: ListenerLookup,
  mesh: MeshView,
): Destination {
  const parsed = parseAuthority(authority);
  if (parsed === undefined) return refused(400, undefined, `authority ${authority} is not ip:port`);
  if (parsed.ip === undefined) {
    return refused(
      404,
      undefined,
      `authority ${authority} is a host name; a tunnel must name the address of a service`,
    );
  }
  const address: HostPort = { ip: parsed.ip, port: parsed.port };
  if (self.addresses.includes(address.ip)) return refused(404, address, `${authority} is this waypoint itself`);
  const listener = listeners.byAddress(self.network, address.ip);
  if (listener !== undefined) return servicePort(listener, address);
  const workload = mesh.workloadByAddress(self.network, address.ip);
  if (workload === undefined)
    return refused(404, address, `${authority} is no address of a service bound to this waypoint`);
  if (!isBound(workload, self, mesh)) {
    return refused(
      404,
      address,
      `workload ${workload.namespace}/${workload.name} at ${authority} is not bound to this waypoint`,
    );
  }
  return { kind: 'workload', address, listener: undefined, port: undefined, workload, status: 200, detail: '' };
}

function servicePort(listener: Listener, address: HostPort): Destination {
  const port = listener.ports.find((one) => one.port === address.port);
  if (port !== undefined) {
    return { kind: 'service', address, listener, port, workload: undefined, status: 200, detail: '' };
  }
  const declared = listener.ports.map((one) => one.port).join(', ') || 'none';
  const where = formatHostPort(address.ip, address.port);
  return refused(404, address, `${listener.hostname} at ${where} has no such port; it declares: ${declared}`);
}

/** True when the workload's waypoint is this one, named by its service or by its address. */
function isBound(workload: Workload, self: WaypointSelf, mesh: MeshView): boolean {
  const waypoint: GatewayAddress | undefined = workload.waypoint;
  if (waypoint === undefined) return false;
  const { destination } = waypoint;
  if (destination.kind === 'hostname') return isOwnHostname(destination.namespace, destination.hostname, self);
  const { network, ip } = destination.address;
  if (network === self.network && self.addresses.includes(ip)) return true;
  const service = mesh.serviceByAddress(network, ip, self.namespace);
  return service !== undefined && isOwnHostname(service.namespace, service.hostname, self);
}

const isOwnHostname = (namespace: string, hostname: string, self: WaypointSelf): boolean =>
  namespace === self.namespace && hostname.startsWith(`${self.name}.${self.namespace}.svc.`);

function refused(status: 400 | 404, address: HostPort | undefined, detail: string): Destination {
  return { kind: 'refused', address, listener: undefined, port: undefined, workload: undefined, status, detail };
}
