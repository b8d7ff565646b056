import { type KeyObject, createPublicKey, sign } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';
import { ipToBytes, parseIp } from '../address/ip.ts';

const { asn1, util } = forge;

/** One ASN.1 value. */
export type Der = forge.asn1.Asn1;

const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class;
const { Type } = asn1;

const primitive = (type: forge.asn1.Type, bytes: string): Der => asn1.create(UNIVERSAL, type, false, bytes);

export const sequence = (...items: Der[]): Der => asn1.create(UNIVERSAL, Type.SEQUENCE, true, items);
export const set = (...items: Der[]): Der => asn1.create(UNIVERSAL, Type.SET, true, items);
export const objectId = (dotted: string): Der => primitive(Type.OID, asn1.oidToDer(dotted).getBytes());
export const boolean = (value: boolean): Der => primitive(Type.BOOLEAN, value ? '\xff' : '\0');
export const utf8 = (text: string): Der => primitive(Type.UTF8, util.encodeUtf8(text));
export const nothing = (): Der => primitive(Type.NULL, '');
export const octets = (bytes: Uint8Array): Der => primitive(Type.OCTETSTRING, binary(bytes));
export const bits = (bytes: Uint8Array, unused = 0): Der =>
  primitive(Type.BITSTRING, String.fromCharCode(unused) + binary(bytes));
/** Big-endian bytes of a number that is not negative. */
export const integer = (bytes: Uint8Array): Der =>
  primitive(Type.INTEGER, ((bytes[0] ?? 0) & 0x80 ? '\0' : '') + binary(bytes));

/** Tag numbers 0 to 7; forge names them after the universal types of the same number. */
const TAGS = [
  Type.NONE,
  Type.BOOLEAN,
  Type.INTEGER,
  Type.BITSTRING,
  Type.OCTETSTRING,
  Type.NULL,
  Type.OID,
  Type.ODESC,
] as const;
type Tag = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;

/** A value under a context tag of its own. */
export const tagged = (tag: Tag, ...items: Der[]): Der => asn1.create(CONTEXT_SPECIFIC, TAGS[tag], true, items);
const implicit = (tag: Tag, bytes: string): Der => asn1.create(CONTEXT_SPECIFIC, TAGS[tag], false, bytes);

/** UTCTime to 2049, GeneralizedTime after (RFC 5280 §4.1.2.5); whole seconds. */
export function time(ms: number): Der {
  const date = new Date(ms);
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, asn1.dateToUtcTime(date))
    : primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date));
}

export const encodeDer = (value: Der): Buffer => Buffer.from(asn1.toDer(value).getBytes(), 'binary');

/** @throws Error when the bytes are not one DER value. */
export const parseDer = (bytes: Uint8Array): Der => asn1.fromDer(binary(bytes));

/** The parts of a SEQUENCE or SET; none for a primitive value. */
export const parts = (value: Der | undefined): readonly Der[] =>
  value !== undefined && Array.isArray(value.value) ? value.value : [];

/** The dotted form of an OBJECT IDENTIFIER; '' for anything else. */
export const readObjectId = (value: Der | undefined): string =>
  value?.type === Type.OID && typeof value.value === 'string' ? asn1.derToOid(value.value) : '';

/** Bytes of a BIT STRING without its count of unused bits. */
export function readBits(value: Der | undefined): Buffer | undefined {
  const encoded = value?.type === Type.BITSTRING ? encodeDer(value) : undefined;
  if (encoded === undefined) return undefined;
  const lengthBytes = (encoded[1] ?? 0) & 0x80 ? (encoded[1] ?? 0) & 0x7f : 0;
  return encoded.subarray(3 + lengthBytes);
}

/** One X.509 extension. */
export const extension = (id: string, critical: boolean, value: Der): Der =>
  sequence(objectId(id), ...(critical ? [boolean(true)] : []), octets(encodeDer(value)));

export const SUBJECT_ALT_NAME = '2.5.29.17';

/** Bytes under a context tag of their own. */
export const taggedOctets = (tag: Tag, bytes: Uint8Array): Der => implicit(tag, binary(bytes));

/** `subjectAltName`: URIs, then DNS names and IP addresses as they come. */
export function subjectAltNames(critical: boolean, uris: readonly string[], hosts: readonly string[] = []): Der {
  const uriNames = uris.map((uri) => implicit(6, uri));
  const hostNames = hosts.map((host) => {
    const ip = isIP(host) === 0 ? undefined : parseIp(host);
    return ip === undefined ? implicit(2, host) : implicit(7, binary(ipToBytes(ip)));
  });
  return extension(SUBJECT_ALT_NAME, critical, sequence(...uriNames, ...hostNames));
}

/** `SubjectPublicKeyInfo` of a key, private or public. */
export function publicKeyInfo(key: KeyObject): Der {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return parseDer(publicKey.export({ type: 'spki', format: 'der' }));
}

/** `AlgorithmIdentifier` of SHA-256 signatures made with this key: ECDSA or RSA. */
export function signatureAlgorithm(key: KeyObject): Der {
  return key.asymmetricKeyType === 'ec'
    ? sequence(objectId('1.2.840.10045.4.3.2'))
    : sequence(objectId('1.2.840.113549.1.1.11'), nothing());
}

/** The three-part form of CSRs and certificates: what is signed, how, and the signature. */
export const signed = (content: Der, key: KeyObject): Buffer =>
  encodeDer(sequence(content, signatureAlgorithm(key), bits(sign('sha256', encodeDer(content), key))));

/** PEM with lines of 64 characters and a final newline. */
export const toPem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(der)
    .toString('base64')
    .replace(/(.{64})(?=.)/g, '$1\n')}\n-----END ${label}-----\n`;

const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('binary');
