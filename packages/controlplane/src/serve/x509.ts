import { type KeyObject, createHash, randomBytes } from 'node:crypto';
import {
  type Der,
  bits,
  boolean,
  extension,
  integer,
  objectId,
  octets,
  parts,
  publicKeyInfo,
  readBits,
  sequence,
  set,
  signatureAlgorithm,
  signed,
  subjectAltNames,
  tagged,
  taggedOctets,
  time,
  toPem,
  utf8,
} from '@ambit/common/identity/der';

/** Names of an issuer or subject: organisation and common name; none for a workload. */
export interface DistinguishedName {
  readonly organization: string;
  readonly commonName: string;
}

/** Everything that one certificate says. */
export interface CertificateContent {
  readonly subject: DistinguishedName | undefined;
  readonly publicKey: KeyObject;
  readonly notBefore: number;
  readonly notAfter: number;
  /** A root may sign others; a leaf may be both client and server. */
  readonly authority: boolean;
  readonly uris: readonly string[];
  readonly hosts: readonly string[];
}

/** Who signs it. */
export interface Issuer {
  readonly name: DistinguishedName;
  readonly key: KeyObject;
}

const OID = {
  organization: '2.5.4.10',
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** Makes an X.509 v3 certificate (RFC 5280) with a random 128-bit serial number, as PEM. */
export function issueCertificate(content: CertificateContent, issuer: Issuer): string {
  const body = sequence(
    tagged(0, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    signatureAlgorithm(issuer.key),
    name(issuer.name),
    sequence(time(content.notBefore), time(content.notAfter)),
    content.subject === undefined ? sequence() : name(content.subject),
    publicKeyInfo(content.publicKey),
    tagged(3, sequence(...extensions(content, issuer))),
  );
  return toPem('CERTIFICATE', signed(body, issuer.key));
}

/** Positive and never zero. */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

function extensions(content: CertificateContent, issuer: Issuer): Der[] {
  const list = [
    extension(OID.basicConstraints, true, content.authority ? sequence(boolean(true)) : sequence()),
    extension(OID.keyUsage, true, keyUsage(content)),
    extension(OID.subjectKeyIdentifier, false, octets(keyIdentifier(content.publicKey))),
  ];
  if (!content.authority) {
    list.push(
      extension(OID.extendedKeyUsage, false, sequence(objectId(OID.serverAuth), objectId(OID.clientAuth))),
      extension(OID.authorityKeyIdentifier, false, authorityKey(issuer)),
    );
  }
  if (content.uris.length + content.hosts.length > 0) {
    // Critical when there is no subject to name the holder (RFC 5280 §4.2.1.6).
    list.push(subjectAltNames(content.subject === undefined, content.uris, content.hosts));
  }
  return list;
}

/** A root signs certificates and revocation lists; a leaf signs handshakes, an RSA one may also encipher keys. */
function keyUsage(content: CertificateContent): Der {
  if (content.authority) return bits(Uint8Array.of(0x06), 1);
  return content.publicKey.asymmetricKeyType === 'rsa' ? bits(Uint8Array.of(0xa0), 5) : bits(Uint8Array.of(0x80), 7);
}

/** SHA-1 of the key, as RFC 5280 §4.2.1.2 has it: an identifier, no protection. */
const keyIdentifier = (key: KeyObject): Buffer =>
  createHash('sha1')
    .update(readBits(parts(publicKeyInfo(key))[1]) ?? '')
    .digest();

const authorityKey = (issuer: Issuer): Der => sequence(taggedOctets(0, keyIdentifier(issuer.key)));

const name = ({ organization, commonName }: DistinguishedName): Der =>
  sequence(
    set(sequence(objectId(OID.organization), utf8(organization))),
    set(sequence(objectId(OID.commonName), utf8(commonName))),
  );
