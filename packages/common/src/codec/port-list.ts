import type { Unset } from '../proto/load.ts';

export interface WirePort {
  readonly servicePort: number;
  readonly targetPort: number;
  readonly appProtocol: number;
}

export interface WirePortList {
  readonly ports: readonly WirePort[];
}

/** Service port → target port; the last wins where a port is named twice. */
export const decodePortMap = (list: WirePortList | Unset): ReadonlyMap<number, number> =>
  new Map((list?.ports ?? []).map((port) => [port.servicePort, port.targetPort]));

export const encodePortMap = (
  ports: ReadonlyMap<number, number>,
): { readonly ports: readonly { readonly servicePort: number; readonly targetPort: number }[] } => ({
  ports: [...ports].map(([servicePort, targetPort]) => ({ servicePort, targetPort })),
});
