import { type KeyObject, generateKeyPairSync } from 'node:crypto';
import { verifySigningRequest } from '@ambit/controlplane/serve/signing-request';
import { type Issuer, issueCertificate } from '@ambit/controlplane/serve/x509';

/** A CA that answers as it is told to, also wrongly. Times are milliseconds since the epoch. */
export interface FakeCa {
  readonly root: string;
  /** Leaf for the key of the request and for `uri`, then the root. */
  answer(csr: string, uri: string, validity: { readonly notBefore: number; readonly notAfter: number }): string[];
  /** A certificate for a TLS server of these names. */
  server(hosts: readonly string[]): { readonly key: string; readonly cert: string };
}

const YEAR = 365 * 86_400_000;

export function createFakeCa(commonName = 'fake root'): FakeCa {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer: Issuer = { name: { organization: 'test', commonName }, key: privateKey };
  const lasting = { notBefore: Date.now() - YEAR, notAfter: Date.now() + YEAR };
  const leaf = (key: KeyObject, uris: string[], hosts: readonly string[], validity: typeof lasting): string =>
    issueCertificate({ subject: undefined, publicKey: key, authority: false, uris, hosts, ...validity }, issuer);
  const root = issueCertificate(
    { subject: issuer.name, publicKey, authority: true, uris: [], hosts: [], ...lasting },
    issuer,
  );
  return {
    root,
    answer: (csr, uri, validity) => [leaf(verifySigningRequest(csr), [uri], [], validity), root],
    server: (hosts) => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
      return { key, cert: leaf(pair.publicKey, [], hosts, lasting) };
    },
  };
}
