import type { Socket } from 'node:net';
import type { HostPort } from '@ambit/common/address/host-port';
import { parseIp } from '@ambit/common/address/ip';
import { fdOf, originalDestination } from '@ambit/common/linux/sockets';

/** Where an intercepted connection wanted to go; its local address when it was not redirected. Undefined once it is closed. */
export function capturedDestination(socket: Socket): HostPort | undefined {
  const fd = fdOf(socket);
  return (fd < 0 ? undefined : originalDestination(fd)) ?? endOf(socket.localAddress, socket.localPort);
}

/** Address of the peer, IPv4-mapped ones as IPv4; undefined once the socket is closed. */
export const peerOf = (socket: Socket): HostPort | undefined => endOf(socket.remoteAddress, socket.remotePort);

/** Own address of the socket, in the same form. */
export const localOf = (socket: Socket): HostPort | undefined => endOf(socket.localAddress, socket.localPort);

function endOf(address: string | undefined, port: number | undefined): HostPort | undefined {
  const ip = address === undefined ? undefined : parseIp(address.replace(/%.*$/, ''));
  return ip === undefined || port === undefined ? undefined : { ip, port };
}
