import type { KubeObject } from '../collections/object.ts';
import { type MtlsMode, peerAuthenticationSpec } from '../files/schema/peer-authentication.ts';
import { read } from '../files/schema/schema.ts';
import type { Labels } from './labels.ts';
import { memoized } from './memoized.ts';

export interface PeerAuthenticationForm {
  readonly object: KubeObject;
  readonly namespace: string;
  readonly name: string;
  /** Empty: the whole namespace, or the whole mesh in the root namespace. */
  readonly selector: Labels;
  readonly mode: MtlsMode;
  readonly ports: ReadonlyMap<number, MtlsMode>;
}

export const ingestPeerAuthentication: (object: KubeObject) => PeerAuthenticationForm | undefined = memoized(
  (object) => {
    const spec = read(peerAuthenticationSpec, object.spec ?? {});
    if (spec === undefined) return undefined;
    return {
      object,
      namespace: object.metadata.namespace ?? 'default',
      name: object.metadata.name,
      selector: spec.selector?.matchLabels ?? {},
      mode: spec.mtls?.mode ?? 'UNSET',
      ports: new Map(
        Object.entries(spec.portLevelMtls ?? {}).map(([port, { mode = 'UNSET' }]) => [Number(port), mode]),
      ),
    };
  },
);
