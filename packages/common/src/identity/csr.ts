import { generateKeyPairSync } from 'node:crypto';
import { integer, objectId, publicKeyInfo, sequence, set, signed, subjectAltNames, tagged, toPem } from './der.ts';
import type { SpiffeId } from './spiffe.ts';

/** `extensionRequest` of PKCS #9. */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/** A certificate request and the key that it is for. */
export interface SigningRequest {
  readonly csr: string;
  /** PKCS #8 PEM. Never logged. */
  readonly privateKey: string;
}

/** Makes a new ECDSA P-256 key and a request for it: empty subject, one critical URI SAN (RFC 2986). */
export function createSigningRequest(identity: SpiffeId): SigningRequest {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const extensions = sequence(subjectAltNames(true, [identity.uri]));
  const content = sequence(
    integer(Uint8Array.of(0)),
    sequence(),
    publicKeyInfo(privateKey),
    tagged(0, sequence(objectId(EXTENSION_REQUEST), set(extensions))),
  );
  return {
    csr: toPem('CERTIFICATE REQUEST', signed(content, privateKey)),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}
