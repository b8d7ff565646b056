import { formatHostPort } from '@ambit/common/address/host-port';
import { MeshError } from '@ambit/common/errors';
import type { Credentials } from '@ambit/common/identity/credentials';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { toDuplex } from '@ambit/common/net/duplex';
import { HboneClient } from './client.ts';
import type { ConnectHead, Tunnel } from './index.ts';
import { secureClient } from './mtls.ts';

/** The far end of a tunnel inside a tunnel. */
export interface InnerTarget {
  readonly credentials: Credentials;
  /** Ids of the destination service; with none the verification always fails. */
  readonly accept: readonly SpiffeId[];
  readonly head: ConnectHead;
}

/**
 * Opens a tunnel inside `outer`, which leads through another network's gateway: a TLS session and HTTP/2 connection of its own, never shared,
 * that end with the tunnel. Owns `outer` from the call on.
 *
 * @throws MeshError like HbonePool.open
 */
export async function openInner(outer: Tunnel, target: InnerTarget, signal: AbortSignal): Promise<Tunnel> {
  const { local, remote } = outer;
  const where = `${target.head.authority} through ${formatHostPort(remote.ip, remote.port)}`;
  const secure = await secureClient(toDuplex(outer), { ...target, signal, where });
  const client = new HboneClient(secure.socket, { local, remote, peer: secure.peer }, {}, NO_POOL);
  const opening = client.open(target.head, signal);
  if (opening === undefined) {
    client.destroy();
    throw new MeshError('UPSTREAM_CLOSED', `${where}: closed before a tunnel could be opened`);
  }
  try {
    return await opening;
  } finally {
    // Nothing else uses the connection: it closes by itself when the tunnel has ended.
    client.drain();
  }
}

const NO_POOL = {
  onRefusing: (): void => undefined,
  onClose: (): void => undefined,
};
