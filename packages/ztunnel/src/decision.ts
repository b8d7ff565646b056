import type { HostPort } from '@ambit/common/address/host-port';
import type { IpAddress } from '@ambit/common/address/ip';
import type { ErrorCode } from '@ambit/common/errors';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';

/** What a decision lacks: the hub fetches it and decides again. */
export type Need =
  /** The addresses of a workload that is known by host name only. */
  | { readonly what: 'dns'; readonly hostname: string; readonly workload: string }
  /** An entry that on-demand discovery has not asked for yet: `<network>/<ip>` or `<namespace>/<hostname>`. */
  | { readonly what: 'address'; readonly key: string };

/** What the hub has fetched so far for one connection. */
export interface Fetched {
  /** Addresses by host name; an empty list means that resolution failed. */
  readonly resolved: ReadonlyMap<string, readonly IpAddress[]>;
  /** Keys asked for on demand; undefined when the mesh is known completely and nothing needs asking. */
  readonly asked: ReadonlySet<string> | undefined;
}

export const NOTHING_FETCHED: Fetched = Object.freeze({ resolved: new Map<string, never>(), asked: undefined });

/** Every variant has every key in this order, so that the readers of a decision see one shape. */
interface OutboundShape {
  /** Where the TCP connection of the next hop goes. */
  readonly hop: HostPort | undefined;
  /** The CONNECT authority; '' for plain TCP. */
  readonly authority: string;
  /** Identities of which the next hop must present one. */
  readonly accept: readonly SpiffeId[];
  /** The same for the tunnel inside the tunnel. */
  readonly innerAccept: readonly SpiffeId[];
  /** The service that the client addressed. */
  readonly service: Service | undefined;
  /** The workload at the next hop. */
  readonly workload: Workload | undefined;
  readonly code: ErrorCode | undefined;
  readonly reason: string;
  readonly need: Need | undefined;
}

export interface OutboundTcp extends OutboundShape {
  readonly kind: 'tcp';
  readonly hop: HostPort;
}

export interface OutboundHbone extends OutboundShape {
  readonly kind: 'hbone';
  readonly hop: HostPort;
}

export interface OutboundDoubleHbone extends OutboundShape {
  readonly kind: 'double-hbone';
  readonly hop: HostPort;
}

/** The connection cannot be made; `reason` is what the log says. */
export interface OutboundReject extends OutboundShape {
  readonly kind: 'reject';
  readonly code: ErrorCode;
}

export interface OutboundNeed extends OutboundShape {
  readonly kind: 'need';
  readonly need: Need;
}

export type OutboundRoute = OutboundTcp | OutboundHbone | OutboundDoubleHbone;

/** Where an outbound connection goes, or why it cannot. */
export type OutboundDecision = OutboundRoute | OutboundReject | OutboundNeed;

const EMPTY: OutboundShape = {
  hop: undefined,
  authority: '',
  accept: [],
  innerAccept: [],
  service: undefined,
  workload: undefined,
  code: undefined,
  reason: '',
  need: undefined,
};

/** Plain TCP to `hop`. */
export const outboundTcp = (hop: HostPort, part: Pick<OutboundShape, 'service' | 'workload'>): OutboundTcp => ({
  kind: 'tcp',
  ...EMPTY,
  ...part,
  hop,
});

type TunnelPart = Pick<OutboundShape, 'authority' | 'accept' | 'service' | 'workload'>;

/** One tunnel to `hop`. */
export const outboundHbone = (hop: HostPort, part: TunnelPart): OutboundHbone => ({
  kind: 'hbone',
  ...EMPTY,
  ...part,
  hop,
});

/** A tunnel to the gateway of another network, and in it one to the destination. */
export const outboundDoubleHbone = (
  hop: HostPort,
  part: TunnelPart & Pick<OutboundShape, 'innerAccept'>,
): OutboundDoubleHbone => ({ kind: 'double-hbone', ...EMPTY, ...part, hop });

export const outboundReject = (code: ErrorCode, reason: string): OutboundReject => ({
  kind: 'reject',
  ...EMPTY,
  code,
  reason,
});

export const outboundNeed = (need: Need): OutboundNeed => ({ kind: 'need', ...EMPTY, need });

/** What becomes of a tunnel that a peer asks for. */
export type InboundDecision = InboundDeliver | InboundReject | InboundNeed;

interface InboundShape {
  /** Where the application is dialled; policies see this address too. */
  readonly destination: HostPort | undefined;
  /** Dial the loopback address of the same family instead (the port is `destination`'s). */
  readonly loopback: boolean;
  /** Set when the application expects a PROXY v2 header: the destination it names. */
  readonly proxyTo: HostPort | undefined;
  /** Services that the destination may belong to, for telemetry. */
  readonly services: readonly Service[];
  /** HTTP status of the refusal; 0 otherwise. */
  readonly status: number;
  readonly reason: string;
  readonly need: Need | undefined;
}

export interface InboundDeliver extends InboundShape {
  readonly kind: 'deliver';
  readonly destination: HostPort;
}

export interface InboundReject extends InboundShape {
  readonly kind: 'reject';
  readonly status: 400 | 503;
}

export interface InboundNeed extends InboundShape {
  readonly kind: 'need';
  readonly need: Need;
}

const NO_INBOUND: InboundShape = {
  destination: undefined,
  loopback: false,
  proxyTo: undefined,
  services: [],
  status: 0,
  reason: '',
  need: undefined,
};

export const inboundDeliver = (
  part: Pick<InboundDeliver, 'destination' | 'loopback' | 'proxyTo' | 'services'>,
): InboundDeliver => ({ kind: 'deliver', ...NO_INBOUND, ...part });

export const inboundReject = (status: 400 | 503, reason: string): InboundReject => ({
  kind: 'reject',
  ...NO_INBOUND,
  status,
  reason,
});

export const inboundNeed = (need: Need): InboundNeed => ({ kind: 'need', ...NO_INBOUND, need });
