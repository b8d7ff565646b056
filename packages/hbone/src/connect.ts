import type { HostPort } from '@ambit/common/address/host-port';
import { Headers } from '@ambit/http/headers';
import { type Baggage, formatBaggage } from './baggage.ts';
import { formatForwarded } from './forwarded.ts';

/** What a CONNECT tells the far end about the connection inside. Never an identity: that comes from mTLS alone. */
export interface ConnectContext {
  /** The source workload. */
  readonly baggage: Baggage;
  readonly client: HostPort;
  /** Host name of the service that was addressed. */
  readonly service: string | undefined;
  readonly traceparent: string;
  /** Only inside a tunnel in a tunnel: the network the connection comes from, sent even when empty. */
  readonly originNetwork?: string | undefined;
}

/** Headers of a CONNECT, in the order Istio's ztunnel sends them. */
export function connectHeaders(context: ConnectContext): Headers {
  const flat = [
    'baggage',
    formatBaggage(context.baggage),
    'forwarded',
    formatForwarded(context.client, context.service),
    'traceparent',
    context.traceparent,
  ];
  if (context.originNetwork !== undefined) flat.push('x-forwarded-network', context.originNetwork);
  return new Headers(flat);
}
