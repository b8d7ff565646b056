import type { Listener, ListenerProtocol } from '../model/listener.ts';
import { message } from '../proto/load.ts';
import { type WireNetworkAddress, decodeAddresses, encodeAddresses } from './network-address.ts';
import { wireEnum } from './wire-enum.ts';

interface WireListener {
  readonly namespace: string;
  readonly hostname: string;
  readonly name: string;
  readonly kind: number;
  readonly addresses: readonly WireNetworkAddress[];
  readonly ports: readonly { readonly port: number; readonly name: string; readonly protocol: number }[];
}

const LISTENER = message<WireListener>('ambit.l7.v1.Listener');
const KIND = wireEnum<Listener['kind']>('kind', ['Service', 'ServiceEntry']);
const PROTOCOL = wireEnum<ListenerProtocol>('ports.protocol', ['AUTO', 'HTTP', 'HTTP2', 'GRPC', 'TCP', 'TLS']);

/** `ambit.l7.v1.Listener`; its resource name is `namespace/hostname`. */
export const encodeListener = (listener: Listener): Uint8Array =>
  LISTENER.encode({
    namespace: listener.namespace,
    hostname: listener.hostname,
    name: listener.name,
    kind: KIND.encode(listener.kind),
    addresses: encodeAddresses(listener.addresses, listener.cidrAddresses),
    ports: listener.ports.map(({ port, name, protocol }) => ({ port, name, protocol: PROTOCOL.encode(protocol) })),
  });

/** @throws MeshError CONFIG naming the listener and the field at fault. */
export function decodeListener(bytes: Uint8Array): Listener {
  const wire = LISTENER.decode(bytes);
  const resource = `listener ${wire.namespace}/${wire.hostname}`;
  return Object.freeze({
    namespace: wire.namespace,
    hostname: wire.hostname,
    name: wire.name,
    kind: KIND.decode(wire.kind, resource),
    ...decodeAddresses(wire.addresses, resource),
    ports: wire.ports.map(({ port, name, protocol }) => ({
      port,
      name,
      protocol: PROTOCOL.decode(protocol, resource),
    })),
  });
}
