import type { ListenerProtocol } from '@ambit/common/model/listener';
import type { RequestHead } from '@ambit/http/h2/contract';
import { Headers } from '@ambit/http/headers';
import type { DownstreamRequest } from '../downstream.ts';

/** A request that no policy and no backend gets to see, and how it is answered. */
export interface RefusedRequest {
  readonly status: number;
  readonly text: string;
  readonly flag: string;
  readonly detail: string;
}

const refused = (status: number, flag: string, detail: string): RefusedRequest => ({ status, text: '', flag, detail });

/** Says why a well-formed request is not for an HTTP service, as Envoy's connection manager does; undefined when it is. */
export function refuseRequest(request: DownstreamRequest): RefusedRequest | undefined {
  if (request.authority === undefined) return refused(400, '', 'missing_host_header');
  if (request.method === 'CONNECT') return refused(404, 'NR', 'route_not_found');
  if (request.target.charCodeAt(0) !== 0x2f) return refused(404, '', 'absolute_path_rejected');
  const { upgrade } = request;
  if (upgrade !== undefined && upgrade !== 'websocket' && upgrade !== 'h2c') return refused(403, '', 'upgrade_failed');
  // RFC 6455 §4.1: a handshake has no body. What were body to one reader would be frames to another.
  if (upgrade === 'websocket' && !request.ended) return refused(400, '', 'upgrade_failed');
  return undefined;
}

/** HTTP version towards the backend: what the port declares, else what the client speaks; an Upgrade needs HTTP/1.1. */
export function upstreamProtocol(port: ListenerProtocol, request: DownstreamRequest): 'HTTP1' | 'HTTP2' {
  if (request.upgrade === 'websocket') return 'HTTP1';
  if (port === 'HTTP2' || port === 'GRPC') return 'HTTP2';
  if (port === 'HTTP') return 'HTTP1';
  return request.protocol === 'HTTP/2' ? 'HTTP2' : 'HTTP1';
}

/** Lower case, without port and without the brackets of an IPv6 address. */
export function hostWithoutPort(authority: string | undefined): string | undefined {
  if (authority === undefined || authority === '') return undefined;
  const end = authority.lastIndexOf(':');
  const host = end > authority.lastIndexOf(']') ? authority.slice(0, end) : authority;
  return host.startsWith('[') ? host.slice(1, -1) : host.toLowerCase();
}

/** Stands for the head of a request that has none yet. */
export const NO_HEAD: RequestHead = Object.freeze({
  method: '',
  scheme: undefined,
  authority: undefined,
  path: undefined,
  protocol: undefined,
  headers: new Headers(),
});
