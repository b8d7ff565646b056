import type { Labels } from './labels.ts';

/** Names under which telemetry groups a workload. */
export interface CanonicalNames {
  readonly canonicalName: string;
  readonly canonicalRevision: string;
}

const NAME_LABELS = ['service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app'];
const REVISION_LABELS = ['service.istio.io/canonical-revision', 'app.kubernetes.io/version', 'version'];

export const canonicalNames = (labels: Labels, workloadName: string): CanonicalNames => ({
  canonicalName: firstOf(labels, NAME_LABELS) ?? workloadName,
  canonicalRevision: firstOf(labels, REVISION_LABELS) ?? 'latest',
});

const firstOf = (labels: Labels, keys: readonly string[]): string | undefined =>
  keys.map((key) => labels[key]).find((value) => value !== undefined);

/** Whether a workload takes HBONE: captured by a node agent, or a proxy that terminates it itself. */
export function tunnelOf(object: { readonly labels?: Labels; readonly annotations?: Labels }): {
  readonly protocol: 'HBONE' | 'TCP';
  readonly nativeTunnel: boolean;
} {
  const nativeTunnel = (object.labels?.['networking.istio.io/tunnel'] ?? '').split(',').includes('http');
  const captured = object.annotations?.['ambient.istio.io/redirection'] === 'enabled';
  return { protocol: captured || nativeTunnel ? 'HBONE' : 'TCP', nativeTunnel };
}
