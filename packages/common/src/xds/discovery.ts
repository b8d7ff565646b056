import { type Message, type Unset, message } from '../proto/load.ts';
import type { WireStruct } from '../proto/struct.ts';

/** The one method of ADS that is spoken: delta, all types on one stream. */
export const DELTA_METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

/** A full push to a wildcard client is one message. */
export const MAX_MESSAGE_BYTES: number = 200 << 20;

export interface WireNode {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: WireStruct | Unset;
}

/** `DeltaDiscoveryRequest` as decoded. */
export interface DeltaRequest {
  readonly node: WireNode | Unset;
  readonly typeUrl: string;
  readonly resourceNamesSubscribe: readonly string[];
  readonly resourceNamesUnsubscribe: readonly string[];
  readonly initialResourceVersions: Readonly<Record<string, string>>;
  readonly responseNonce: string;
  readonly errorDetail: { readonly code: number; readonly message: string } | Unset;
}

/** `DeltaDiscoveryResponse` as decoded. */
export interface DeltaResponse {
  readonly systemVersionInfo: string;
  readonly resources: readonly WireResource[];
  readonly typeUrl: string;
  readonly nonce: string;
  readonly removedResources: readonly string[];
}

export interface WireResource {
  readonly version: string;
  /** `google.protobuf.Any`, whose definition keeps its own spelling. */
  readonly resource: { readonly type_url: string; readonly value: Uint8Array } | Unset;
  readonly name: string;
  readonly aliases: readonly string[];
}

export const DELTA_REQUEST: Message<DeltaRequest> = message<DeltaRequest>(
  'envoy.service.discovery.v3.DeltaDiscoveryRequest',
);
export const DELTA_RESPONSE: Message<DeltaResponse> = message<DeltaResponse>(
  'envoy.service.discovery.v3.DeltaDiscoveryResponse',
);
