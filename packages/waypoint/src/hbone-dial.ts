import { connect, type Socket } from 'node:net';
import { formatHostPort, type HostPort } from '@ambit/common/address/host-port';
import type { IpAddress } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';

/** Connects below a tunnel to the mesh, from one of the waypoint's own addresses. Rejects with a MeshError. */
export function dialHbone(address: HostPort, source: IpAddress, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({
    host: address.ip,
    port: address.port,
    localAddress: source,
    noDelay: true,
  });
  const where = formatHostPort(address.ip, address.port);
  const settle = (): void => {
    signal.removeEventListener('abort', onAbort);
    socket.off('error', onError).off('connect', onConnect);
  };
  const onConnect = (): void => {
    settle();
    resolve(socket);
  };
  const onError = (error: Error): void => {
    settle();
    reject(new MeshError('CONNECT_REFUSED', `HBONE connection to ${where} failed: ${error.message}`, { cause: error }));
  };
  const onAbort = (): void => {
    settle();
    socket.on('error', () => undefined).destroy();
    reject(new MeshError('HBONE_TIMEOUT', `HBONE connection to ${where} was given up`, { cause: signal.reason }));
  };
  socket.once('connect', onConnect).once('error', onError);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}
