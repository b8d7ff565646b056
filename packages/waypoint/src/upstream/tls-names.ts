import type { X509Certificate } from 'node:crypto';
import { parseIp } from '@ambit/common/address/ip';
import { uriNames } from '@ambit/common/identity/certificate';

/** A certificate that names none of these is not the destination's. */
export interface ExpectedNames {
  /** Any of them is enough; DNS names, IP addresses or URIs. Empty: names are not checked. */
  readonly names: readonly string[];
  /** Where the names come from, for messages. */
  readonly origin: string;
}

/** Does a subject alternative name of the certificate fit one of the names? The common name does not count (RFC 9525 §2). */
export function presentsName(certificate: X509Certificate, names: readonly string[]): boolean {
  const uris = uriNames(certificate);
  return names.some((name) => {
    if (name.includes('://')) return uris.includes(name);
    if (parseIp(name) !== undefined) return certificate.checkIP(name) !== undefined;
    return certificate.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined;
  });
}

/** Subject alternative names as OpenSSL writes them, for messages. */
export function presentedNames(certificate: X509Certificate): string {
  const names = (certificate.subjectAltName ?? '').replaceAll(/\b(?:DNS|URI|IP Address):/g, '');
  if (names === '') return 'no subject alternative name';
  return names.length > MAX_NAMES ? `${names.slice(0, MAX_NAMES)}…` : names;
}

/** A certificate may name hundreds. */
const MAX_NAMES = 500;
