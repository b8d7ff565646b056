import type { MeshView } from '@ambit/common/mesh/view';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { TunnelRequest } from '@ambit/hbone';
import { Headers } from '@ambit/http/headers';
import { findDestination, type ListenerLookup, type WaypointSelf } from './capture/destination.ts';
import { serveTunnel } from './connection.ts';
import type { Destination } from './decision.ts';
import { type Pipeline, TunnelContext } from './pipeline.ts';

export interface TunnelParts {
  readonly self: WaypointSelf;
  readonly listeners: ListenerLookup;
  readonly mesh: MeshView;
  readonly pipeline: Pipeline;
  readonly log: ScopedLogger;
}

/** Answers one request on the tunnel port: a CONNECT to what is served here becomes a tunnel, all else is refused. */
export function answerTunnel(request: TunnelRequest, parts: TunnelParts): void {
  const { pipeline, self, listeners, mesh } = parts;
  if (request.method !== 'CONNECT') return refuse(request, parts, { status: 404, detail: 'not a CONNECT request' });
  const destination = findDestination(request.head.authority, self, listeners, mesh);
  if (destination.kind === 'refused') return refuse(request, parts, destination);
  const facts = { identity: request.peer, source: request.remote, destination: destination.address };
  const tunnel = new TunnelContext(pipeline, facts, destination);
  serveTunnel(tunnel, request.accept(new Headers()));
}

/** A tunnel is logged only when it is refused; why is said in words beside Envoy's line. */
function refuse(request: TunnelRequest, parts: TunnelParts, why: Pick<Destination, 'status' | 'detail'>): void {
  const { pipeline, log } = parts;
  const record = pipeline.newRecord();
  const { ip, port } = request.remote;
  request.reject(why.status);
  record.method = request.method;
  record.protocol = 'HTTP/2';
  record.authority = request.head.authority;
  record.responseCode = why.status;
  record.addFlag('NR');
  record.detail = 'route_not_found';
  record.downstreamLocal = `${request.local.ip}:${request.local.port}`;
  record.downstreamRemote = `${ip}:${port}`;
  pipeline.write(record);
  log.warn('tunnel refused', {
    'src.addr': record.downstreamRemote,
    'src.identity': request.peer.uri,
    error: why.detail,
  });
}
