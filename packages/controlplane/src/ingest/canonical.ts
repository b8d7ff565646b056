import type { Labels } from './labels.ts';

/** Names under which telemetry groups a workload. */
export interface CanonicalNames {
  readonly canonicalName: string;
  readonly canonicalRevision: string;
}

export const canonicalNames = (labels: Labels | undefined, workloadName: string): CanonicalNames => ({
  canonicalName:
    labels?.['service.istio.io/canonical-name'] ??
    labels?.['app.kubernetes.io/name'] ??
    labels?.['app'] ??
    workloadName,
  canonicalRevision:
    labels?.['service.istio.io/canonical-revision'] ??
    labels?.['app.kubernetes.io/version'] ??
    labels?.['version'] ??
    'latest',
});

/** Whether a workload takes HBONE: captured by a node agent, or a proxy that terminates it itself. */
export function tunnelOf(object: { readonly labels?: Labels; readonly annotations?: Labels }): {
  readonly protocol: 'HBONE' | 'TCP';
  readonly nativeTunnel: boolean;
} {
  const nativeTunnel = (object.labels?.['networking.istio.io/tunnel'] ?? '').split(',').includes('http');
  const captured = object.annotations?.['ambient.istio.io/redirection'] === 'enabled';
  return { protocol: captured || nativeTunnel ? 'HBONE' : 'TCP', nativeTunnel };
}
