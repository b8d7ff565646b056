import type { MeshView } from '@ambit/common/mesh/view';
import { formatHostPort } from '@ambit/common/address/host-port';
import type { LogFields } from '@ambit/common/telemetry/log';
import type { TunnelRequest } from '@ambit/hbone';
import { Headers } from '@ambit/http/headers';
import { OTHER_METHOD_STATUS } from './capture/listener.ts';
import type { Refusals } from './capture/refusals.ts';
import { findDestination, type ListenerLookup, type WaypointSelf } from './capture/destination.ts';
import { serveTunnel } from './connection.ts';
import { type Pipeline, TunnelContext } from './pipeline.ts';

export interface TunnelParts {
  readonly self: WaypointSelf;
  readonly listeners: ListenerLookup;
  readonly mesh: MeshView;
  readonly pipeline: Pipeline;
  readonly refusals: Refusals;
  /** MAX_TUNNELS_PER_CLIENT. */
  readonly maxTunnelsPerClient: number;
}

/**
 * Answers one CONNECT on the tunnel port: to what is served here it becomes a tunnel, all else is refused.
 * @param open tunnels of this client, with this one.
 */
export function answerTunnel(request: TunnelRequest, open: number, parts: TunnelParts): void {
  const { pipeline, self, listeners, mesh, maxTunnelsPerClient } = parts;
  if (open > maxTunnelsPerClient) {
    const detail = `its client has ${maxTunnelsPerClient} tunnels open, as many as MAX_TUNNELS_PER_CLIENT allows`;
    return refuse(request, parts, { status: 503, flag: 'UO', detail });
  }
  const destination = findDestination(request.head.authority, self, listeners, mesh);
  if (destination.kind === 'refused') {
    return refuse(request, parts, { status: destination.status, flag: 'NR', detail: destination.detail });
  }
  const facts = { identity: request.peer, source: request.remote, destination: destination.address };
  const tunnel = new TunnelContext(pipeline, facts, destination);
  serveTunnel(tunnel, request.accept(new Headers()));
}

/** Why a tunnel was not opened; the flag as Envoy's access log has it. */
interface Refusal {
  readonly status: number;
  readonly flag: string;
  readonly detail: string;
}

/** A tunnel is logged only when it is refused: one line, whatever the access log is set to. */
function refuse(request: TunnelRequest, { refusals }: TunnelParts, { status, flag, detail }: Refusal): void {
  request.reject(status);
  refusals.refused('tunnel refused', {
    ...clientFields(request),
    method: request.method,
    authority: request.head.authority,
    response_code: status,
    response_flags: flag,
    error: detail,
  });
}

/** Tells of a request on the tunnel port that is no CONNECT; it was answered already. */
export function tellOtherRequest(request: OtherRequest, refusals: Refusals): void {
  refusals.refused('request refused', {
    ...clientFields(request),
    method: request.method,
    authority: request.head.authority,
    response_code: OTHER_METHOD_STATUS,
    error: 'the tunnel port takes CONNECT requests only: was it addressed directly?',
  });
}

type OtherRequest = Pick<TunnelRequest, 'method' | 'head' | 'peer' | 'remote'>;

const clientFields = ({ remote, peer }: OtherRequest): LogFields => ({
  'src.addr': formatHostPort(remote.ip, remote.port),
  'src.identity': peer.uri,
});
