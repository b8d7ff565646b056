import type { Credential } from '../model/backend.ts';
import { message } from '../proto/load.ts';

const CREDENTIAL = message<Credential>('ambit.l7.v1.Credential');

/** `ambit.l7.v1.Credential`; its resource name is `namespace/name` of the Secret. */
export const encodeCredential = (credential: Credential): Uint8Array => CREDENTIAL.encode({ ...credential });

/** @throws MeshError CONFIG when the bytes are no credential; the message never shows them. */
export function decodeCredential(bytes: Uint8Array): Credential {
  const { namespace, name, certificateChain, privateKey, caCertificates } = CREDENTIAL.decode(bytes);
  return Object.freeze({ namespace, name, certificateChain, privateKey, caCertificates });
}
