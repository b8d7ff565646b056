import type { KubeObject } from '../collections/object.ts';

/** Order in which conflicts are settled: the oldest object wins, then the first by namespace and name. */
export function olderFirst(a: KubeObject, b: KubeObject): number {
  return (
    compare(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '') ||
    compare(a.metadata.namespace ?? '', b.metadata.namespace ?? '') ||
    compare(a.metadata.name, b.metadata.name)
  );
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
