import type { Credentials } from '@ambit/common/identity/credentials';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { MeshError } from '@ambit/common/errors';
import type { ByteStream } from '@ambit/common/net/byte-stream';
import type { ConnectHead, Tunnel } from '@ambit/hbone/index';

/** What the tunnel inside a tunnel needs: never pooled, and verified against the service at the far network. */
export interface InnerTunnel {
  readonly credentials: Credentials;
  readonly accept: readonly SpiffeId[];
  readonly head: ConnectHead;
  /** Our network, told to the far side as x-forwarded-network. */
  readonly network: string;
}

/**
 * Opens a tunnel through the gateway of another network.
 * @throws MeshError always, for now: destinations on other networks are refused rather than reached without their identity checked.
 */
export function openInnerTunnel(outer: Tunnel, { head }: InnerTunnel): Promise<ByteStream> {
  outer.destroy();
  return Promise.reject(
    new MeshError('UNKNOWN_BACKEND', `${head.authority} is on another network, which this version does not reach`),
  );
}
