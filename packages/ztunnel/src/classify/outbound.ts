import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import type { Service } from '@ambit/common/model/service';
import {
  type OutboundDecision,
  outboundDoubleHbone,
  outboundHbone,
  outboundNeed,
  outboundReject,
  outboundTcp,
} from '../decision.ts';
import {
  gatewayHas,
  type HopContext,
  lookupAddress,
  resolveAddress,
  resolveNetworkGateway,
  resolveWaypoint,
  type Resolved,
  serviceIdentities,
  serviceWaypoint,
  type Upstream,
  upstreamIdentities,
  workloadIdentity,
} from './next-hop.ts';

/** What the classification of an outbound connection reads. */
export interface OutboundContext extends HopContext {
  /** Network of this node (NETWORK). */
  readonly network: string;
  readonly hbonePort: number;
}

/**
 * Decides where a captured connection to `destination` goes.
 *
 *     destination is          and                                   goes to
 *     a service               its waypoint                          HBONE to the waypoint, authority = destination
 *     a service, no waypoint  an endpoint                           like that endpoint
 *     a service, no waypoint  PASSTHROUGH                           TCP, as addressed
 *     a service, no waypoint  no endpoint                           refused: never past the service
 *     a workload              its waypoint, unless we are that      HBONE to the waypoint
 *     an endpoint or workload on another network                    HBONE in HBONE through that network's gateway
 *     an endpoint or workload that speaks HBONE                     HBONE
 *     an endpoint or workload that does not                         TCP
 *     unknown                                                       TCP, as addressed
 */
export function classifyOutbound(context: OutboundContext, destination: HostPort): OutboundDecision {
  const owner = lookupAddress(context.view, { network: context.network, ip: destination.ip }, context.source.namespace);
  const service = owner?.service;
  const waypoint = service === undefined ? undefined : serviceWaypoint(service, context.random);
  if (service !== undefined && waypoint !== undefined)
    return throughWaypoint(context, resolveWaypoint(context, waypoint, destination.ip), destination, service);
  const resolved = resolveAddress(context, context.source.network, destination, 'standard');
  if (resolved.kind !== 'upstream') return withoutUpstream(resolved, destination, service);
  if (resolved.upstream.workload.network !== context.source.network)
    return throughNetworkGateway(context, resolved.upstream, destination, service);
  return toUpstream(context, resolved.upstream, destination, service);
}

function withoutUpstream(
  resolved: Exclude<Resolved, { kind: 'upstream' }>,
  destination: HostPort,
  service: Service | undefined,
): OutboundDecision {
  if (resolved.kind === 'need') return outboundNeed(resolved.need);
  if (resolved.kind === 'reject') return outboundReject(resolved.code, resolved.reason);
  if (service === undefined || service.loadBalancing.mode === 'PASSTHROUGH')
    return outboundTcp(destination, { service, workload: undefined });
  return outboundReject(
    'NO_HEALTHY_UPSTREAM',
    `no healthy upstream: ${formatHostPort(destination.ip, destination.port)}`,
  );
}

/** A waypoint gets the address as the client wrote it: VIPs and service ports mean something there. */
function throughWaypoint(
  context: OutboundContext,
  resolved: Resolved,
  destination: HostPort,
  service: Service | undefined,
): OutboundDecision {
  if (resolved.kind !== 'upstream') return withoutWaypoint(resolved);
  const { upstream } = resolved;
  if (upstream.workload.network !== context.source.network)
    return throughNetworkGateway(context, upstream, destination, service);
  if (upstream.ip === undefined) return noDestination(upstream);
  return outboundHbone(
    { ip: upstream.ip, port: upstream.port },
    {
      authority: formatHostPort(destination.ip, destination.port),
      accept: upstreamIdentities(upstream),
      service,
      workload: upstream.workload,
    },
  );
}

const withoutWaypoint = (resolved: Exclude<Resolved, { kind: 'upstream' }>): OutboundDecision =>
  resolved.kind === 'need'
    ? outboundNeed(resolved.need)
    : outboundReject(
        resolved.kind === 'reject' ? resolved.code : 'NO_HEALTHY_UPSTREAM',
        resolved.kind === 'reject' ? resolved.reason : 'unknown waypoint',
      );

/** Another network is reached by service name: its addresses mean nothing here. */
function throughNetworkGateway(
  context: OutboundContext,
  upstream: Upstream,
  destination: HostPort,
  service: Service | undefined,
): OutboundDecision {
  const reference = upstream.workload.networkGateway;
  if (reference === undefined || service === undefined) return noDestination(upstream);
  const resolved = resolveNetworkGateway(context, reference, destination.ip);
  if (resolved.kind !== 'upstream') return withoutWaypoint(resolved);
  const gateway = resolved.upstream;
  if (gateway.ip === undefined) return noDestination(gateway);
  return outboundDoubleHbone(
    { ip: gateway.ip, port: gateway.port },
    {
      authority: `${service.hostname}:${destination.port}`,
      accept: upstreamIdentities(gateway),
      innerAccept: serviceIdentities(upstream.service),
      service,
      workload: gateway.workload,
    },
  );
}

function toUpstream(
  context: OutboundContext,
  upstream: Upstream,
  destination: HostPort,
  service: Service | undefined,
): OutboundDecision {
  const { workload } = upstream;
  if (service === undefined && workload.waypoint !== undefined && !isWaypointOf(context, upstream))
    return throughWaypoint(context, resolveWaypoint(context, workload.waypoint, destination.ip), destination, service);
  if (upstream.ip === undefined) return noDestination(upstream);
  const target = { ip: upstream.ip, port: upstream.port };
  if (workload.protocol === 'TCP') return outboundTcp(target, { service, workload });
  return outboundHbone(
    { ip: upstream.ip, port: context.hbonePort },
    { authority: formatHostPort(target.ip, target.port), accept: upstreamIdentities(upstream), service, workload },
  );
}

/** The waypoint itself goes straight to the workload it serves, or its traffic would come back to it for ever. */
function isWaypointOf({ view, source }: OutboundContext, upstream: Upstream): boolean {
  const identity = workloadIdentity(source).uri;
  return gatewayHas(
    view,
    upstream.workload.waypoint,
    (workload) =>
      workloadIdentity(workload).uri === identity && workload.addresses.some((ip) => source.addresses.includes(ip)),
  );
}

const noDestination = (upstream: Upstream): OutboundDecision =>
  outboundReject(
    'NO_HEALTHY_UPSTREAM',
    `no valid routing destination for workload: ${upstream.workload.uid} (network "${upstream.workload.network}", no gateway)`,
  );
