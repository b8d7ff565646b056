import { formatHostPort, type Authority, type HostPort } from '@ambit/common/address/host-port';
import { isV6, type IpAddress } from '@ambit/common/address/ip';
import type { MeshView } from '@ambit/common/mesh/view';
import { type Service, serviceKey } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import { type InboundDecision, inboundDeliver, inboundReject } from '../decision.ts';
import { gatewayHas, lookupAddress } from './next-hop.ts';

/** What the classification of an inbound tunnel reads. */
export interface InboundContext {
  readonly view: MeshView;
  /** The workload whose pod received the tunnel. */
  readonly local: Workload;
  /** Local address of the accepted connection. */
  readonly localIp: IpAddress;
  /** Network of this node (NETWORK). */
  readonly network: string;
  /** Ports of this program in the pod: delivering there would loop. */
  readonly ownPorts: ReadonlySet<number>;
  /** LOCALHOST_APP_TUNNEL. */
  readonly localhostTunnel: boolean;
}

/**
 * Decides where a tunnel with this CONNECT authority is delivered. Only its port decides: the address is always the local one,
 * and must be ours, or of something that has us as its waypoint.
 */
export function classifyInbound(context: InboundContext, authority: Authority): InboundDecision {
  const asked = authority.ip;
  if (asked === undefined) return classifyHostname(context, authority);
  const { local, localIp } = context;
  if (asked !== localIp && local.applicationTunnel === undefined && !isWaypointFor(context, asked))
    return inboundReject(400, `ip mismatch: ${localIp} != ${asked}`);
  return deliver(context, {
    port: authority.port,
    proxied: { ip: asked, port: authority.port },
    services: localServices(context.view, context.local),
  });
}

/** A name is resolved as our own workload sees it (double HBONE). */
function classifyHostname(context: InboundContext, { host, port }: Authority): InboundDecision {
  const { view, local } = context;
  const service = view.serviceByHostname(host, local.namespace);
  if (service === undefined) return inboundReject(503, `no service or workload for hostname: ${host}`);
  const mapped = local.services.get(serviceKey(service.namespace, service.hostname))?.get(port) ?? 0;
  const target = mapped || (service.ports.find((one) => one.servicePort === port)?.targetPort ?? 0);
  if (target === 0) return inboundReject(503, `requested service ${host}:${port} found, but cannot resolve port`);
  const vip = local.applicationTunnel?.protocol === 'PROXY' ? preferredVip(context, service) : context.localIp;
  if (vip === undefined) return inboundReject(503, `requested service ${host} found, but has no IP addresses`);
  return deliver(context, { port: target, proxied: { ip: vip, port }, services: [service] });
}

/** Own network and IPv4 first, own network and IPv6 next, else any. */
function preferredVip({ network }: InboundContext, service: Service): IpAddress | undefined {
  const own = service.vips.filter((vip) => vip.network === network);
  return (own.find((vip) => !isV6(vip.ip)) ?? own[0] ?? service.vips[0])?.ip;
}

interface Target {
  readonly port: number;
  /** What a PROXY header names as the destination. */
  readonly proxied: HostPort;
  readonly services: readonly Service[];
}

function deliver(context: InboundContext, { port, proxied, services }: Target): InboundDecision {
  const { local, localIp, ownPorts } = context;
  if (ownPorts.has(port))
    return inboundReject(503, `attempted recursive call to ourselves: ${formatHostPort(localIp, port)}`);
  const tunnel = local.applicationTunnel;
  const proxy = tunnel?.protocol === 'PROXY';
  return inboundDeliver({
    destination: { ip: localIp, port: tunnel?.port || port },
    loopback: proxy && context.localhostTunnel,
    proxyTo: proxy ? proxied : undefined,
    services,
  });
}

/** The services that a workload belongs to, as far as the mesh knows them. */
export function localServices(view: MeshView, local: Workload): Service[] {
  const services: Service[] = [];
  for (const key of local.services.keys()) {
    const slash = key.indexOf('/');
    const service = view.service(key.slice(0, slash), key.slice(slash + 1));
    if (service !== undefined) services.push(service);
  }
  return services;
}

/** True when what owns the address (on our network) names us as its waypoint. */
function isWaypointFor({ view, local, localIp, network }: InboundContext, asked: IpAddress): boolean {
  const owner = lookupAddress(view, { network, ip: asked }, undefined);
  if (owner === undefined) return false;
  const reference = owner.workload === undefined ? owner.service.waypoint : owner.workload.waypoint;
  return gatewayHas(view, reference, (workload) => workload.uid === local.uid || workload.addresses.includes(localIp));
}
