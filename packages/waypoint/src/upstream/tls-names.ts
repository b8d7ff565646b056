import type { X509Certificate } from 'node:crypto';
import { parseIp } from '@ambit/common/address/ip';

/** A certificate that names none of these is not the destination's. */
export interface ExpectedNames {
  /** Any of them is enough; DNS names, IP addresses or URIs. Empty: names are not checked. */
  readonly names: readonly string[];
  /** Where the names come from, for messages. */
  readonly origin: string;
}

/** Does a subject alternative name of the certificate fit one of the names? The common name does not count (RFC 9525 §2). */
export function presentsName(certificate: X509Certificate, names: readonly string[]): boolean {
  const uris = presentedNames(certificate).filter((name) => name.includes('://'));
  return names.some((name) => {
    if (name.includes('://')) return uris.includes(name);
    if (parseIp(name) !== undefined) return certificate.checkIP(name) !== undefined;
    return certificate.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined;
  });
}

/** Subject alternative names without their types. Node quotes, as JSON, every one that could be read as two. */
export function presentedNames(certificate: X509Certificate): string[] {
  const names: string[] = [];
  const pattern = /(?:^|, )[A-Za-z0-9 ]+:("(?:[^"\\]|\\.)*"|[^,"]*)/gy;
  for (const [, text = ''] of (certificate.subjectAltName ?? '').matchAll(pattern)) names.push(unquoted(text));
  return names;
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  const parsed: unknown = JSON.parse(text);
  return typeof parsed === 'string' ? parsed : text;
}
