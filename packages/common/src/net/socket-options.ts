import type { Socket } from 'node:net';

/** TCP keepalive as Istio's ztunnel sets it: first probe after 180 s, then every 180 s, given up after 9. */
export interface KeepAlive {
  readonly idleMs: number;
  readonly intervalMs: number;
  readonly probes: number;
}

export const DEFAULT_KEEPALIVE: KeepAlive = Object.freeze({ idleMs: 180_000, intervalMs: 180_000, probes: 9 });

/** Sends small writes at once and, if given, probes idle peers. */
export function tuneSocket(socket: Socket, keepAlive?: KeepAlive): void {
  socket.setNoDelay(true);
  if (keepAlive === undefined) return;
  socket.setKeepAlive({
    enable: true,
    initialDelay: keepAlive.idleMs,
    interval: keepAlive.intervalMs,
    count: keepAlive.probes,
  });
}
