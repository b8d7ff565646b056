import { type KeyObject, createPublicKey, verify } from 'node:crypto';
import { MeshError } from '@ambit/common/errors';
import { type Der, encodeDer, parseDer, parts, readBits, readObjectId } from '@ambit/common/identity/der';

const PEM =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;
/** A request with an RSA key of 8192 bits has about 3 KiB. */
const MAX_PEM_BYTES = 16_384;

/** Signature algorithms that are accepted, by object identifier. */
const HASHES: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

/**
 * The public key of a certificate request whose holder proved to have the private one (RFC 2986). Names and extensions that
 * were asked for are not looked at: the CA alone decides what a certificate says.
 *
 * @throws MeshError CONFIG saying what is wrong with the request.
 */
export function verifySigningRequest(pem: string): KeyObject {
  if (pem.length > MAX_PEM_BYTES) refuse(`longer than ${MAX_PEM_BYTES} bytes`);
  const base64 = PEM.exec(pem)?.[1] ?? refuse('not one PEM block CERTIFICATE REQUEST');
  const [content, algorithm, signature] = parts(readDer(Buffer.from(base64, 'base64')));
  const key = readKey(parts(content)[2]);
  const hash =
    HASHES[readObjectId(parts(algorithm)[0])] ?? refuse('its signature algorithm is not ECDSA or RSA with SHA-2');
  const proof = readBits(signature);
  if (content === undefined || proof === undefined) refuse('it has no signature');
  else if (!verify(hash, encodeDer(content), key, proof)) refuse('its signature does not fit its key');
  return key;
}

function readDer(bytes: Uint8Array): Der {
  try {
    return parseDer(bytes);
  } catch {
    // forge throws plain errors for bytes that are no DER
    return refuse('not DER');
  }
}

/** EC on P-256 or P-384, or RSA of 2048 to 8192 bits. */
function readKey(info: Der | undefined): KeyObject {
  const key = info === undefined ? undefined : publicKey(info);
  if (key === undefined) return refuse('it holds no public key');
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const strong =
    key.asymmetricKeyType === 'ec'
      ? namedCurve === 'prime256v1' || namedCurve === 'secp384r1'
      : key.asymmetricKeyType === 'rsa' && modulusLength >= 2048 && modulusLength <= 8192;
  return strong ? key : refuse('its key is neither ECDSA P-256 or P-384 nor RSA of 2048 to 8192 bits');
}

function publicKey(info: Der): KeyObject | undefined {
  try {
    return createPublicKey({ key: encodeDer(info), type: 'spki', format: 'der' });
  } catch {
    // OpenSSL throws for what is no SubjectPublicKeyInfo
    return undefined;
  }
}

function refuse(problem: string): never {
  throw new MeshError('CONFIG', `certificate request: ${problem}`);
}
