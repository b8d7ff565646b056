import { makeCidr } from '../address/cidr.ts';
import { type IpAddress, ipFromBytes, ipToBytes } from '../address/ip.ts';
import type { CidrAddress, NetworkAddress } from '../model/network-address.ts';
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

/** Addresses and ranges in one list, as every wire has them: a range says its length. */
export const encodeAddresses = (
  addresses: readonly NetworkAddress[],
  ranges: readonly CidrAddress[],
): WireInput<WireNetworkAddress>[] => [
  ...addresses.map(encodeNetworkAddress),
  ...ranges.map(({ network, cidr }) => ({ network, address: ipToBytes(cidr.ip), length: cidr.length })),
];

/** Without a length, or with the full one, an address is one address; otherwise it is a range of them. */
export function decodeAddresses(
  wire: readonly WireNetworkAddress[],
  resource: string,
): { readonly addresses: readonly NetworkAddress[]; readonly cidrAddresses: readonly CidrAddress[] } {
  const addresses: NetworkAddress[] = [];
  const cidrAddresses: CidrAddress[] = [];
  wire.forEach(({ network, address, length }, i) => {
    const ip = decodeIp(address, resource, `addresses[${i}]`);
    if (length === null || length === undefined || length === address.length * 8) {
      addresses.push({ network, ip });
      return;
    }
    const cidr = makeCidr(ip, length) ?? refuse(resource, `addresses[${i}]`, `${ip} has no prefix of ${length} bits`);
    cidrAddresses.push({ network, cidr });
  });
  return { addresses, cidrAddresses };
}

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
