import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Credentials } from '@ambit/common/identity/credentials';
import {
  bits,
  boolean,
  type Der,
  extension,
  integer,
  objectId,
  publicKeyInfo,
  sequence,
  set,
  signatureAlgorithm,
  signed,
  subjectAltNames,
  tagged,
  time,
  toPem,
  utf8,
} from '@ambit/common/identity/der';
import { parseSpiffe, spiffeId } from '@ambit/common/identity/spiffe';

export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** What a test wants to be unusual about a certificate. */
export interface LeafOptions {
  /** URI SANs; default: the identity. */
  readonly uris?: readonly string[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** Extended key usages; default: none, so no such extension. */
  readonly usages?: readonly string[];
}

/** A certificate authority for tests. */
export interface TestAuthority {
  readonly root: string;
  /** Credentials of `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. */
  issue(uri: string, options?: LeafOptions): Credentials;
}

const DAY = 86_400_000;
const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const commonName = (text: string): Der => sequence(set(sequence(objectId('2.5.4.3'), utf8(text))));

interface Content {
  readonly issuer: Der;
  readonly subject: Der;
  readonly key: KeyObject;
  readonly from: number;
  readonly to: number;
  readonly extensions: readonly Der[];
}

function certificate(content: Content, signer: KeyObject): string {
  const serial = randomBytes(16);
  serial[0] = 1;
  const body = sequence(
    tagged(0, integer(Uint8Array.of(2))),
    integer(serial),
    signatureAlgorithm(signer),
    content.issuer,
    sequence(time(content.from), time(content.to)),
    content.subject,
    publicKeyInfo(content.key),
    tagged(3, sequence(...content.extensions)),
  );
  return toPem('CERTIFICATE', signed(body, signer));
}

/** Makes a new root; two of them do not trust each other. */
export function createTestAuthority(name = 'test root'): TestAuthority {
  const key = newKey();
  const issuer = commonName(name);
  const now = Date.now();
  const isAuthority = extension('2.5.29.19', true, sequence(boolean(true)));
  const mayCertify = extension('2.5.29.15', true, bits(Uint8Array.of(0x06), 1));
  const root = certificate(
    { issuer, subject: issuer, key, from: now - DAY, to: now + 365 * DAY, extensions: [isAuthority, mayCertify] },
    key,
  );
  return { root, issue: (uri, options = {}) => issue({ root, issuer, key }, uri, options) };
}

function issue(
  authority: { root: string; issuer: Der; key: KeyObject },
  uri: string,
  options: LeafOptions,
): Credentials {
  const key = newKey();
  const from = options.notBefore ?? Date.now() - DAY;
  const to = options.notAfter ?? Date.now() + DAY;
  const extensions = [subjectAltNames(true, options.uris ?? [uri])];
  if (options.usages !== undefined)
    extensions.push(extension('2.5.29.37', false, sequence(...options.usages.map(objectId))));
  const chain = certificate(
    { issuer: authority.issuer, subject: sequence(), key, from, to, extensions },
    authority.key,
  );
  const privateKey = key.export({ type: 'pkcs8', format: 'pem' });
  return {
    identity: parseSpiffe(uri) ?? spiffeId('unknown', 'unknown', 'unknown'),
    certificateChain: chain,
    privateKey,
    roots: [authority.root],
    notBefore: from,
    notAfter: to,
    context: createSecureContext({
      key: privateKey,
      cert: chain,
      ca: [authority.root],
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
    }),
  };
}
