import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { MeshError } from '../errors.ts';
import type { Credentials } from './credentials.ts';
import { type SpiffeId, parseSpiffe } from './spiffe.ts';

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** The certificates of a PEM text, one PEM each. @throws MeshError CONFIG when a block is no certificate or cannot be parsed. */
export function splitCertificates(pem: string): string[] {
  return [...pem.matchAll(PEM_BLOCK)].map(([block, label]) => {
    if (label !== 'CERTIFICATE') throw new MeshError('CONFIG', `a PEM block is "${label}", expected CERTIFICATE`);
    return `${parseCertificate(block).toString().trimEnd()}\n`;
  });
}

/** @throws MeshError CONFIG when the text is no X.509 certificate. */
export function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MeshError('CONFIG', `a certificate cannot be parsed: ${why}`, { cause });
  }
}

/** URI SANs, in order. */
export function uriNames(certificate: X509Certificate): string[] {
  return altNames(certificate.subjectAltName ?? '')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length));
}

/** The SPIFFE ids among the URI SANs of a peer's certificate; the caller has verified the chain. */
export function peerIdentities(certificate: X509Certificate): SpiffeId[] {
  return uriNames(certificate)
    .map(parseSpiffe)
    .filter((id) => id !== undefined);
}

/** Splits node's text form `URI:a, DNS:b`; a value with special characters comes as a JSON string and can hold the separator. */
function altNames(text: string): string[] {
  const names: string[] = [];
  for (const [, type, quoted, plain] of text.matchAll(/([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^,]*))(?:, |$)/g)) {
    names.push(`${type ?? ''}:${quoted === undefined ? (plain ?? '') : String(JSON.parse(quoted))}`);
  }
  return names;
}

/** The ciphers of Istio's agent, in its order. */
const CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256';
/** Its groups; the first is the one key share that is offered. Node's default, the post-quantum hybrid first, costs a third more per handshake. */
const GROUPS = 'X25519:P-256:P-384:X25519MLKEM768';

/**
 * Makes credentials of a CA's answer: leaf first, then intermediates, the root bundle (one text, maybe several
 * certificates) last.
 *
 * @throws MeshError NO_IDENTITY when the answer is not a chain for this identity.
 */
export function credentialsFromChain(identity: SpiffeId, privateKey: string, answer: readonly string[]): Credentials {
  const leafPem = answer[0] ?? refuse(`chain returned from CA is empty for: ${identity.uri}`);
  if (answer.length === 1) refuse('no root certificate present');
  const leaf = parseCertificate(leafPem);
  if (uriNames(leaf)[0] !== identity.uri) refuse(`did not find expected SAN: ${identity.uri}`);
  const chain = answer.slice(0, -1).flatMap(splitCertificates).join('');
  const roots = splitCertificates(answer.at(-1) ?? '');
  if (roots.length === 0) refuse('no root certificate present');
  return Object.freeze({
    identity,
    certificateChain: chain,
    privateKey,
    roots,
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
    context: createSecureContext({
      key: privateKey,
      cert: chain,
      ca: roots,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ciphers: CIPHERS,
      ecdhCurve: GROUPS,
    }),
  });
}

function refuse(problem: string): never {
  throw new MeshError('NO_IDENTITY', problem);
}
