import { generateKeyPairSync } from 'node:crypto';
import { type DistinguishedName, issueCertificate, type Issuer } from '@ambit/controlplane/serve/x509';

/** A PEM certificate with its key. */
export interface Issued {
  readonly certificate: string;
  readonly privateKey: string;
}

const DAY_MS = 86_400_000;

/** A certificate authority of the pretended internet; it lives as long as the demo. */
export class DemoAuthority {
  /** Its certificate. */
  readonly root: string;
  readonly #issuer: Issuer;

  constructor(commonName = 'Ambit demo internet CA') {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#issuer = { name: distinguished(commonName), key: privateKey };
    this.root = issueCertificate({ ...content(commonName, []), publicKey, authority: true }, this.#issuer);
  }

  /** A server certificate for these names, or a client certificate when there are none. */
  issue(commonName: string, names: readonly string[]): Issued {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const certificate = issueCertificate({ ...content(commonName, names), publicKey, authority: false }, this.#issuer);
    return { certificate, privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
  }
}

const distinguished = (commonName: string): DistinguishedName => ({ organization: 'Ambit demo', commonName });

const content = (
  commonName: string,
  hosts: readonly string[],
): Pick<Parameters<typeof issueCertificate>[0], 'subject' | 'notBefore' | 'notAfter' | 'uris' | 'hosts'> => ({
  subject: distinguished(commonName),
  notBefore: Date.now() - DAY_MS,
  notAfter: Date.now() + 30 * DAY_MS,
  uris: [],
  hosts,
});
