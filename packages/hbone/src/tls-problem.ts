import { MeshError } from '@ambit/common/errors';

/** What OpenSSL and node call it → what it means for the operator. */
const MEANINGS: readonly { readonly code: RegExp; readonly meaning: string }[] = [
  { code: /HTTP_REQUEST/, meaning: 'plain HTTP came, expected mutual TLS 1.3' },
  {
    code: /WRONG_VERSION_NUMBER|PACKET_LENGTH|UNEXPECTED_MESSAGE|RECORD/,
    meaning: 'bytes that are no TLS came, expected mutual TLS 1.3',
  },
  { code: /UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/, meaning: 'the peer offers no TLS 1.3' },
  {
    code: /DID_NOT_RETURN_A_CERTIFICATE|CERTIFICATE_REQUIRED/,
    meaning: 'the client sent no certificate, expected one of this mesh',
  },
  { code: /NO_APPLICATION_PROTOCOL/, meaning: 'the peer offers no ALPN "h2"' },
  { code: /NO_SHARED_CIPHER|HANDSHAKE_FAILURE/, meaning: 'no cipher, group or signature in common' },
  {
    code: /HAS_EXPIRED|EXPIRED/,
    meaning: 'the certificate has expired: is the clock right and the certificate being renewed?',
  },
  { code: /NOT_YET_VALID/, meaning: 'the certificate is not valid yet: is the clock right?' },
  {
    code: /SELF_SIGNED|UNABLE_TO|ISSUER|UNKNOWN_CA|BAD_CERTIFICATE|CERT_SIGNATURE/,
    meaning: 'the certificate was not issued under the roots of this mesh',
  },
  { code: /INVALID_PURPOSE|PURPOSE/, meaning: 'the certificate is not meant for this use (extended key usage)' },
  { code: /HANDSHAKE_TIMEOUT/, meaning: 'the handshake was not finished in time' },
  { code: /ECONNRESET/, meaning: 'the peer closed the connection before the handshake was finished' },
];

/** Makes one MeshError of a failed handshake. */
export function tlsProblem(what: string, cause: Error): MeshError {
  const code = 'code' in cause ? String(cause.code) : '';
  const meaning = MEANINGS.find((one) => one.code.test(code))?.meaning;
  const text = meaning === undefined ? cause.message : `${meaning} (${code})`;
  return new MeshError('TLS_FAILED', `${what}: ${text}`, { cause });
}
