import type { KubeObject } from '../collections/object.ts';

/** The ConfigMap from which pods of every namespace learn whom to trust. */
export const ROOT_CERTIFICATE_CONFIG_MAP = 'istio-ca-root-cert';

const WITHOUT: ReadonlySet<string> = new Set(['kube-public', 'kube-node-lease', 'local-path-storage']);

export const wantsRootCertificate = (namespace: string): boolean => !WITHOUT.has(namespace);

export const rootCertificateConfigMap = (namespace: string, roots: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: ROOT_CERTIFICATE_CONFIG_MAP, namespace, labels: { 'istio.io/config': 'true' } },
  data: { 'root-cert.pem': roots },
});
