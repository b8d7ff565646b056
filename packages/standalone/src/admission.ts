import type { KubeObject } from '@ambit/controlplane/collections/object';
import { record } from './fields.ts';
import type { ClusterIps } from './services/cluster-ips.ts';

/** The one node of this cluster. */
export const NODE_NAME = 'local';

/** Completes objects as an API server's admission does: cluster IPs of Services, node and service account of Pods. */
export function admission(clusterIps: ClusterIps): (object: KubeObject) => KubeObject {
  return (object) => {
    if (object.kind === 'Pod') return { ...object, spec: podDefaults(object.spec) };
    return clusterIps.admit(object);
  };
}

/** A pod's spec with what scheduling would add. */
export function podDefaults(spec: unknown): Record<string, unknown> {
  const given = record(spec);
  return {
    ...given,
    nodeName: NODE_NAME,
    serviceAccountName: given['serviceAccountName'] ?? given['serviceAccount'] ?? 'default',
  };
}
