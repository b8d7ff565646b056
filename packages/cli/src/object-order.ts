import type { KubeObject } from '@ambit/standalone/api/client';

const FIRST = ['apiVersion', 'kind', 'metadata'];
const LAST = ['spec', 'status'];
const METADATA = ['name', 'namespace', 'labels', 'annotations'];

/** The same object with its fields where readers of Kubernetes look for them: apiVersion, kind, metadata, …, spec, status. */
export function ordered(object: KubeObject): Readonly<Record<string, unknown>> {
  const sorted = sortKeys(object, FIRST, LAST);
  return { ...sorted, metadata: sortKeys(object.metadata, METADATA, []) };
}

function sortKeys(object: object, first: readonly string[], last: readonly string[]): Record<string, unknown> {
  const rank = (key: string): number => {
    if (first.includes(key)) return first.indexOf(key);
    return last.includes(key) ? first.length + 1 + last.indexOf(key) : first.length;
  };
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => rank(a) - rank(b)));
}
