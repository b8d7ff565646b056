import type { Socket } from 'node:net';
import { type HostPort, parseAuthority } from '@ambit/common/address/host-port';
import { isV6, parseIp } from '@ambit/common/address/ip';
import type { AuthzAttributes } from '@ambit/common/authz/verdict';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { Workload } from '@ambit/common/model/workload';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { acceptHbone, type HboneConnection, type TunnelRequest } from '@ambit/hbone/index';
import { describeDenial, type Permit } from './authorize/guard.ts';
import { localOf, peerOf } from './capture/original-dst.ts';
import { classifyInbound } from './classify/inbound.ts';
import { workloadIdentity } from './classify/next-hop.ts';
import type { InboundDeliver } from './decision.ts';
import { inboundFacts } from './inbound-facts.ts';
import { failedOutcome, spliceOutcome } from './outcome.ts';
import type { PodContext } from './pod-context.ts';
import { encodeProxyHeader } from './proxy-protocol.ts';
import type { ConnectionRecord } from './telemetry/connection-record.ts';
import { forwardedHost, responseHeaders } from './tunnel-head.ts';

const MAX_CONCURRENT_STREAMS = 200;
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 20_000;

/** A tunnel that may be delivered once it is authorized. */
interface Arrived {
  readonly request: TunnelRequest;
  readonly local: Workload;
  readonly decision: InboundDeliver;
  readonly record: ConnectionRecord;
}

/** Takes an HBONE connection on 15008 as the pod's workload; each of its tunnels is authorized and delivered on its own. */
export async function acceptInbound(
  context: PodContext,
  socket: Socket,
  opened: (connection: HboneConnection) => void,
): Promise<void> {
  const source = peerOf(socket);
  const destination = localOf(socket);
  if (source === undefined || destination === undefined) {
    socket.destroy();
    return;
  }
  const closed = context.telemetry.socketOpened('destination');
  const release = context.drain.hold();
  socket.once('close', () => {
    closed();
    release();
  });
  try {
    const local = await context.local.get();
    const credentials = await context.credentials.credentials(workloadIdentity(local));
    const { streamWindow, connectionWindow, frameSize } = context.config;
    const connection = await acceptHbone(socket, {
      credentials,
      trustDomains: [local.trustDomain],
      maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
      streamWindow,
      connectionWindow,
      frameSize,
      pingIntervalMs: PING_INTERVAL_MS,
      pingTimeoutMs: PING_TIMEOUT_MS,
      onTunnel: (request) => void carryInbound(context, request),
    });
    opened(connection);
  } catch (error) {
    const failure = asMeshError(error);
    const prefix = failure.code === 'NO_IDENTITY' ? 'signing error' : 'tls handshake error';
    context.telemetry.failed('inbound', source, destination, `${prefix}: ${failure.message}`);
    socket.destroy();
  }
}

/** Carries one tunnel: classify → authorize → deliver → record. Never rejects. */
async function carryInbound(context: PodContext, request: TunnelRequest): Promise<void> {
  const arrived = await classify(context, request);
  if (arrived === undefined) return;
  const { record, decision, local } = arrived;
  const admission = context.guard.admit(local, attributesOf(arrived));
  if (admission.kind === 'denied') {
    request.reject(401);
    const error = new MeshError('POLICY_DENIED', describeDenial(admission.verdict));
    return record.complete({ error, verdict: admission.verdict });
  }
  const { permit } = admission;
  try {
    const application = await deliver(context, permit, { source: request.remote, decision });
    join(context, arrived, permit, application);
  } catch (error) {
    permit.release();
    request.reject(503);
    record.complete({ ...failedOutcome(error), verdict: permit.verdict });
  }
}

/** Answers what cannot be delivered; gives the rest with its record opened. */
async function classify(context: PodContext, request: TunnelRequest): Promise<Arrived | undefined> {
  const refuse = (status: number, reason: string): undefined => {
    request.reject(status);
    context.telemetry.failed('inbound', request.remote, request.local, reason);
  };
  if (request.method !== 'CONNECT') return refuse(400, `expected CONNECT, got ${request.method}`);
  const authority = parseAuthority(request.head.authority);
  if (authority === undefined) return refuse(400, `the authority "${request.head.authority}" is no host:port`);
  let local: Workload;
  try {
    local = await context.local.get();
  } catch (error) {
    return refuse(503, asMeshError(error).message);
  }
  const decision = classifyInbound(
    {
      view: context.view,
      local,
      localIp: request.local.ip,
      network: context.config.network,
      ownPorts: context.ownPorts,
      localhostTunnel: context.config.localhostAppTunnel,
    },
    authority,
  );
  if (decision.kind === 'need') return refuse(503, 'the destination is not known yet');
  if (decision.kind === 'reject') return refuse(decision.status, decision.reason);
  const facts = inboundFacts(context, {
    local,
    source: request.remote,
    destination: request.local,
    application: decision.destination,
    services: decision.services,
    tunnel: { authority: request.head.authority, headers: request.head.headers, peer: request.peer },
  });
  return { request, local, decision, record: context.telemetry.open(facts) };
}

const attributesOf = ({ request, decision }: Arrived): AuthzAttributes => ({
  identity: request.peer,
  sourceIp: request.remote.ip,
  remoteIp: request.remote.ip,
  destinationIp: decision.destination.ip,
  destinationPort: decision.destination.port,
  sni: undefined,
  http: undefined,
});

/** Connects to the application, with the client's address as source. Takes a permit, so that nothing is delivered unauthorized. */
export async function deliver(
  context: PodContext,
  permit: Permit,
  target: { readonly source: HostPort; readonly decision: Pick<InboundDeliver, 'destination' | 'loopback'> },
): Promise<ByteStream> {
  const { destination, loopback } = target.decision;
  const address = loopback ? { ip: loopbackOf(destination), port: destination.port } : destination;
  const source = loopback ? address.ip : target.source.ip;
  const socket = await context.sockets.dial(address, { source, signal: context.drain.aborted });
  if (permit.revoked !== undefined) {
    socket.destroy();
    throw permit.revoked;
  }
  return socketStream(socket);
}

const V4_LOOPBACK = parseIp('127.0.0.1');
const V6_LOOPBACK = parseIp('::1');

const loopbackOf = (destination: HostPort): HostPort['ip'] =>
  (isV6(destination.ip) ? V6_LOOPBACK : V4_LOOPBACK) ?? destination.ip;

/** Answers 200 and copies until both sides have ended, or the permit is revoked. */
function join(context: PodContext, arrived: Arrived, permit: Permit, application: ByteStream): void {
  const { request, local, decision, record } = arrived;
  const tunnel = request.accept(responseHeaders(local, context.config.responseBaggage));
  const connection = {
    src: request.remote,
    originalDst: forwardedHost(request.head.headers) ?? null,
    actualDst: decision.destination,
    protocol: 'HBONE',
  } as const;
  if (decision.proxyTo !== undefined)
    application.write(
      encodeProxyHeader({ source: request.remote, destination: decision.proxyTo, identity: request.peer.uri }),
    );
  const copy = splice(tunnel, application, (result) => {
    context.connections.remove(entry);
    permit.release();
    record.complete({ ...spliceOutcome(result), verdict: permit.verdict });
  });
  const cut = (error: MeshError): void => copy.abort(error);
  const entry = context.connections.add('inbound', connection, cut);
  record.measure(copy);
  permit.whenRevoked(cut);
}
