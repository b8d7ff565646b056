import type { NetworkAddress } from './network-address.ts';

/** How to reach a waypoint or network gateway: by service hostname or by address, HBONE on `port` (`istio.workload.GatewayAddress`). */
export interface GatewayAddress {
  readonly destination:
    | { readonly kind: 'hostname'; readonly namespace: string; readonly hostname: string }
    | { readonly kind: 'address'; readonly address: NetworkAddress };
  readonly port: number;
}

/** One of several waypoints of a service, chosen per connection in proportion to `weight` (canary). */
export interface WeightedWaypoint {
  readonly destination: GatewayAddress;
  readonly weight: number;
}
