import type { Socket } from 'node:net';
import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import { isLoopback } from '@ambit/common/address/ip';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Workload, WorkloadUid } from '@ambit/common/model/workload';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { openInner, type Tunnel } from '@ambit/hbone/index';
import { capturedDestination, peerOf } from './capture/original-dst.ts';
import { classifyOutbound } from './classify/outbound.ts';
import { workloadIdentity } from './classify/next-hop.ts';
import { PORTS } from './config.ts';
import { type Fetched, NOTHING_FETCHED, type OutboundDecision, type OutboundRoute } from './decision.ts';
import type { LiveConnection } from './live-connections.ts';
import { failedOutcome, spliceOutcome } from './outcome.ts';
import type { PodContext } from './pod-context.ts';
import type { ConnectionFacts } from './telemetry/connection-record.ts';
import { baggageParty, UNKNOWN_PARTY, workloadParty } from './telemetry/traffic-labels.ts';
import { peerBaggage, requestHeaders } from './tunnel-head.ts';

/** A connection may need an address and then a host name; more rounds would be a loop. */
const MAX_ROUNDS = 4;

/** A captured connection of an application, before it is known where it goes. */
interface Captured {
  readonly client: ByteStream;
  readonly source: HostPort;
  readonly destination: HostPort;
}

/** Carries one connection that an application of the pod has opened: capture → classify → tunnel → deliver → record. */
export function acceptOutbound(context: PodContext, socket: Socket): void {
  const source = peerOf(socket);
  const destination = capturedDestination(socket);
  const client = socketStream(socket);
  if (source === undefined || destination === undefined) return client.destroy();
  const closed = context.telemetry.socketOpened('source');
  const release = context.drain.hold();
  socket.once('close', () => {
    closed();
    release();
  });
  void carryOutbound(context, { client, source, destination });
}

/** The same for a connection whose destination is known otherwise (SOCKS5). Never rejects. */
export async function carryOutbound(context: PodContext, captured: Captured): Promise<void> {
  const { client, source, destination } = captured;
  try {
    refuseOwnPorts(context, destination);
    const workload = await context.local.get();
    const route = await decide(context, workload, destination);
    await deliver(context, captured, workload, route);
  } catch (error) {
    context.telemetry.failed('outbound', source, destination, asMeshError(error).message);
    client.destroy();
  }
}

function refuseOwnPorts({ ownPorts }: PodContext, destination: HostPort): void {
  if (isLoopback(destination.ip) && ownPorts.has(destination.port))
    throw new MeshError('LIMIT', 'attempted recursive call to ourselves');
}

/** Asks the pure decision again until it lacks nothing. */
async function decide(
  context: PodContext,
  source: Workload,
  destination: HostPort,
  avoid?: WorkloadUid,
): Promise<OutboundRoute> {
  const { view, config } = context;
  let fetched: Fetched = config.onDemand ? { ...NOTHING_FETCHED, asked: new Set() } : NOTHING_FETCHED;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const decision: OutboundDecision = classifyOutbound(
      { view, source, fetched, random: Math.random, avoid, network: config.network, hbonePort: PORTS.hbone },
      destination,
    );
    if (decision.kind === 'reject') throw new MeshError(decision.code, decision.reason);
    if (decision.kind !== 'need') return decision;
    fetched = await context.fetch(decision.need, fetched, source);
  }
  throw new MeshError('INTERNAL', `no decision after ${MAX_ROUNDS} rounds of fetching`);
}

/** Nothing of the application has been sent before a next hop is open, so a failure is answered by one more attempt elsewhere. */
async function deliver(
  context: PodContext,
  captured: Captured,
  workload: Workload,
  route: OutboundRoute,
): Promise<void> {
  const failure = await attempt(context, captured, workload, route);
  if (failure === undefined) return;
  const other = failure.kind.retry ? await anotherRoute(context, captured, workload, route) : undefined;
  const again = other === undefined ? failure : await attempt(context, captured, workload, other);
  if (again !== undefined) captured.client.destroy(again);
}

/** Only a service has another endpoint, and only while this pod is served. */
async function anotherRoute(
  context: PodContext,
  { destination }: Captured,
  workload: Workload,
  { service, workload: failed }: OutboundRoute,
): Promise<OutboundRoute | undefined> {
  if (service === undefined || failed === undefined || context.drain.draining.aborted) return undefined;
  try {
    return await decide(context, workload, destination, failed.uid);
  } catch {
    // There is no other endpoint: the failure of the first is the one to tell.
    return undefined;
  }
}

/** Opens the next hop and copies, under a full record of its own; gives why it could not. */
async function attempt(
  context: PodContext,
  { client, source, destination }: Captured,
  workload: Workload,
  route: OutboundRoute,
): Promise<MeshError | undefined> {
  const { connections, telemetry } = context;
  // Who is at the far end of a tunnel in a tunnel is known only when it is open.
  let record = route.kind === 'double-hbone' ? undefined : telemetry.open(factsOf(workload, source, route));
  const entry = connections.add('outbound', live(source, destination, route), (error) => client.destroy(error));
  try {
    const upstream = await openUpstream(context, source, workload, route);
    const running = (record ??= telemetry.open({ ...factsOf(workload, source, route), ...farEnd(upstream) }));
    const copy = splice(client, upstream.stream, (result) => {
      connections.remove(entry);
      running.complete(spliceOutcome(result));
    });
    entry.cut = (error) => copy.abort(error);
    running.measure(copy);
    client.resume();
    return undefined;
  } catch (error) {
    connections.remove(entry);
    record ??= telemetry.open(factsOf(workload, source, route));
    record.complete(failedOutcome(error));
    return asMeshError(error);
  }
}

interface Upstream {
  readonly stream: ByteStream;
  /** The tunnel inside the tunnel; undefined for other routes. */
  readonly inner: Tunnel | undefined;
}

/** Behind a gateway only the peer itself can say who it is. */
function farEnd({ inner }: Upstream): Partial<ConnectionFacts> {
  if (inner === undefined) return {};
  const baggage = peerBaggage(inner.headers);
  const party = { ...baggageParty(baggage), name: baggage.workloadName ?? '' };
  return { destination: party, destinationPrincipal: inner.peer };
}

async function openUpstream(
  context: PodContext,
  source: HostPort,
  workload: Workload,
  route: OutboundRoute,
): Promise<Upstream> {
  const signal = context.drain.aborted;
  if (route.kind === 'tcp')
    return { stream: socketStream(await context.sockets.dial(route.hop, { signal })), inner: undefined };
  const credentials = await context.credentials.credentials(workloadIdentity(workload));
  const { authority } = route;
  const describe = { workload, client: source, host: route.service?.hostname };
  const target = { address: route.hop, accept: route.accept, source: source.ip };
  const head = { authority, headers: requestHeaders(describe) };
  const tunnel = await context.pool.open(credentials, target, head, signal);
  if (route.kind === 'hbone') return { stream: tunnel, inner: undefined };
  const headers = requestHeaders({ ...describe, originNetwork: context.config.network });
  const innerTarget = { credentials, accept: route.innerAccept, head: { authority, headers } };
  const inner = await openInner(tunnel, innerTarget, signal);
  return { stream: inner, inner };
}

function factsOf(workload: Workload, source: HostPort, route: OutboundRoute): ConnectionFacts {
  const tunnelled = route.kind !== 'tcp';
  return {
    direction: 'outbound',
    reporter: 'source',
    sourceAddress: source,
    destinationAddress: route.hop,
    hboneAddress: tunnelled ? route.authority : undefined,
    source: workloadParty(workload),
    sourcePrincipal: tunnelled ? workloadIdentity(workload) : undefined,
    destination: route.workload === undefined ? UNKNOWN_PARTY : workloadParty(route.workload),
    destinationPrincipal: route.workload === undefined ? undefined : workloadIdentity(route.workload),
    service: route.service,
    mutualTls: tunnelled,
  };
}

const PROTOCOL = { tcp: 'TCP', hbone: 'HBONE', 'double-hbone': 'DOUBLEHBONE' } as const;

const live = (src: HostPort, destination: HostPort, route: OutboundRoute): LiveConnection => ({
  src,
  originalDst: formatHostPort(destination.ip, destination.port),
  actualDst: route.hop,
  protocol: PROTOCOL[route.kind],
});
