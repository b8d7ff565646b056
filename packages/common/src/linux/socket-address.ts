import { endianness } from 'node:os';
import { type IpAddress, ipFromBytes, ipToBytes, isV6 } from '../address/ip.ts';
import type { HostPort } from '../address/host-port.ts';
import { MeshError } from '../errors.ts';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;

/** sockaddr_un.sun_path with its final zero. */
const UNIX_PATH_BYTES = 108;

/** struct sockaddr_in or sockaddr_in6. */
export function inetAddress(ip: IpAddress, port: number): Uint8Array {
  const v6 = isV6(ip);
  const address = Buffer.alloc(v6 ? 28 : 16);
  writeFamily(address, v6 ? AF_INET6 : AF_INET);
  address.writeUInt16BE(port, 2);
  address.set(ipToBytes(ip), v6 ? 8 : 4);
  return address;
}

/** Reads sockaddr_in or sockaddr_in6; IPv4-mapped addresses become IPv4. Undefined for another family. */
export function readInetAddress(bytes: Uint8Array): HostPort | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = view.getUint16(0, endianness() === 'LE');
  const ip =
    family === AF_INET
      ? ipFromBytes(bytes.subarray(4, 8))
      : family === AF_INET6
        ? ipFromBytes(bytes.subarray(8, 24))
        : undefined;
  return ip === undefined ? undefined : { ip, port: view.getUint16(2) };
}

/**
 * struct sockaddr_un.
 * @throws MeshError CONFIG when the path is longer than the kernel takes.
 */
export function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length >= UNIX_PATH_BYTES)
    throw new MeshError(
      'CONFIG',
      `the socket path ${path} has ${name.length} bytes; Linux takes ${UNIX_PATH_BYTES - 1}: choose a shorter folder`,
    );
  const address = Buffer.alloc(2 + name.length + 1);
  writeFamily(address, AF_UNIX);
  name.copy(address, 2);
  return address;
}

/** struct sockaddr_ll for one interface and every protocol. */
export function packetAddress(interfaceIndex: number, protocol: number): Uint8Array {
  const address = Buffer.alloc(20);
  writeFamily(address, AF_PACKET);
  address.writeUInt16BE(protocol, 2);
  if (endianness() === 'LE') address.writeInt32LE(interfaceIndex, 4);
  else address.writeInt32BE(interfaceIndex, 4);
  return address;
}

function writeFamily(address: Buffer, family: number): void {
  if (endianness() === 'LE') address.writeUInt16LE(family, 0);
  else address.writeUInt16BE(family, 0);
}
