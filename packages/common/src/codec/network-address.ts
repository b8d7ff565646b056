import { type IpAddress, ipFromBytes, ipToBytes } from '../address/ip.ts';
import type { NetworkAddress } from '../model/service.ts';
import type { GatewayAddress } from '../model/waypoint.ts';
import type { Unset, WireInput } from '../proto/load.ts';
import { refuse } from './wire-enum.ts';

export interface WireNetworkAddress {
  readonly network: string;
  readonly address: Uint8Array;
  readonly length?: number | Unset;
}

export interface WireGatewayAddress {
  readonly hostname: { readonly namespace: string; readonly hostname: string } | Unset;
  readonly address: WireNetworkAddress | Unset;
  readonly hboneMtlsPort: number;
}

/** Four bytes are IPv4, sixteen IPv6; anything else refuses the resource. */
export function decodeIp(bytes: Uint8Array, resource: string, field: string): IpAddress {
  return (
    ipFromBytes(bytes) ?? refuse(resource, field, `an address of ${bytes.length} bytes, expected 4 (IPv4) or 16 (IPv6)`)
  );
}

export const encodeNetworkAddress = (address: NetworkAddress): WireInput<WireNetworkAddress> => ({
  network: address.network,
  address: ipToBytes(address.ip),
});

export const decodeNetworkAddress = (wire: WireNetworkAddress, resource: string, field: string): NetworkAddress => ({
  network: wire.network,
  ip: decodeIp(wire.address, resource, field),
});

export function encodeGatewayAddress(gateway: GatewayAddress): WireInput<WireGatewayAddress> {
  const { destination, port } = gateway;
  return destination.kind === 'hostname'
    ? { hostname: { namespace: destination.namespace, hostname: destination.hostname }, hboneMtlsPort: port }
    : { address: encodeNetworkAddress(destination.address), hboneMtlsPort: port };
}

/** A gateway without a destination refuses the resource. */
export function decodeGatewayAddress(wire: WireGatewayAddress, resource: string, field: string): GatewayAddress {
  const port = wire.hboneMtlsPort;
  if (port > 65_535) refuse(resource, `${field}.hbone_mtls_port`, `${port} is no port`);
  if (wire.hostname) {
    const { namespace, hostname } = wire.hostname;
    return { destination: { kind: 'hostname', namespace, hostname }, port };
  }
  if (wire.address) {
    return { destination: { kind: 'address', address: decodeNetworkAddress(wire.address, resource, field) }, port };
  }
  return refuse(resource, field, 'neither a hostname nor an address');
}

/** The same for a field that may be absent. */
export function decodeOptionalGateway(
  wire: WireGatewayAddress | Unset,
  resource: string,
  field: string,
): GatewayAddress | undefined {
  return wire ? decodeGatewayAddress(wire, resource, field) : undefined;
}
