import type { SecureContext } from 'node:tls';
import type { SpiffeId } from './spiffe.ts';

/** A workload certificate with its key and the roots it was issued under. Never logged. */
export interface Credentials {
  readonly identity: SpiffeId;
  /** Leaf and intermediates, PEM, never the root. */
  readonly certificateChain: string;
  readonly privateKey: string;
  /** Trust anchors, one PEM each. */
  readonly roots: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
  /** TLS 1.3 context over the above, made once. */
  readonly context: SecureContext;
}

/** Gives credentials by identity: cached, renewed early, kept until they really expire. */
export interface CredentialSource {
  /** @throws MeshError NO_IDENTITY when there is no valid certificate and none can be had now. */
  credentials(identity: SpiffeId): Promise<Credentials>;
}
