import type { Credential } from '@ambit/common/model/backend';
import type { KubeObject } from '../collections/object.ts';
import { memoized } from './memoized.ts';

const KEYS = {
  certificateChain: ['tls.crt', 'cert'],
  privateKey: ['tls.key', 'key'],
  caCertificates: ['ca.crt', 'cacert'],
} as const;

/** A Secret as key material for `credentialName`, either in Kubernetes' spelling of the keys or in Istio's older one. */
export const ingestSecret: (secret: KubeObject) => Credential = memoized((secret) => {
  const text = (names: readonly string[]): string => {
    for (const name of names) {
      const plain = secret.stringData?.[name];
      if (plain !== undefined) return plain;
      const encoded = secret.data?.[name];
      if (encoded !== undefined) return Buffer.from(encoded, 'base64').toString('utf8');
    }
    return '';
  };
  return {
    namespace: secret.metadata.namespace ?? 'default',
    name: secret.metadata.name,
    certificateChain: text(KEYS.certificateChain),
    privateKey: text(KEYS.privateKey),
    caCertificates: text(KEYS.caCertificates),
  };
});
