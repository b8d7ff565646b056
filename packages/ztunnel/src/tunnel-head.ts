import type { HostPort } from '@ambit/common/address/host-port';
import type { Workload } from '@ambit/common/model/workload';
import {
  type Baggage,
  formatBaggage,
  formatForwarded,
  newTraceparent,
  parseBaggage,
  parseForwardedHost,
} from '@ambit/hbone/index';
import { Headers } from '@ambit/http/headers';

/** Headers of a CONNECT request: who we are, who the client is, a trace id. */
export function requestHeaders(part: {
  readonly workload: Workload;
  readonly client: HostPort;
  /** The service that the client addressed. */
  readonly host: string | undefined;
  /** Our network, even when it has no name; told only inside a tunnel in a tunnel. */
  readonly originNetwork?: string;
}): Headers {
  const { originNetwork } = part;
  return new Headers([
    'baggage',
    formatBaggage(baggageOf(part.workload)),
    'forwarded',
    formatForwarded(part.client, part.host),
    'traceparent',
    newTraceparent(),
    ...(originNetwork === undefined ? [] : ['x-forwarded-network', originNetwork]),
  ]);
}

/** Headers of a 200: who we are, unless that is switched off. */
export const responseHeaders = (local: Workload, enabled: boolean): Headers =>
  new Headers(enabled ? ['baggage', formatBaggage(baggageOf(local))] : []);

/** The service that a peer's client addressed, if it says. */
export const forwardedHost = (headers: Headers): string | undefined => parseForwardedHost(headers.get('forwarded'));

/** What a peer says of itself: for labels, never for policy. */
export const peerBaggage = (headers: Headers): Baggage => parseBaggage(headers.getAll('baggage'));

const baggageOf = (workload: Workload): Baggage => ({
  cluster: workload.clusterId,
  namespace: workload.namespace,
  workloadType: workload.workloadType,
  workloadName: workload.workloadName,
  serviceName: workload.canonicalName,
  serviceVersion: workload.canonicalRevision,
  region: workload.locality.region,
  zone: workload.locality.zone,
});
