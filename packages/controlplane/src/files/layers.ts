import type { KubeObject } from '../collections/object.ts';
import { digest, isEmptyPatch, type Layer, type MetadataPatch } from './state-folder.ts';

const digests = new WeakMap<KubeObject, string>();

/** The digest of an object, '' for none; objects are never changed, so it is taken once. */
export function objectDigest(object: KubeObject | undefined): string {
  if (object === undefined) return '';
  let known = digests.get(object);
  if (known === undefined) digests.set(object, (known = digest(object)));
  return known;
}

/**
 * The object in force: what was applied last wins. A layer made over another version of the folder's object than
 * today's is older than the edit, so the folder wins again; labels and annotations that were set stay.
 */
export function inForce(base: KubeObject | undefined, layer: Layer | undefined): KubeObject | undefined {
  if (layer === undefined) return base;
  const current = base === undefined || layer.over === objectDigest(base);
  if (layer.deleted && current) return undefined;
  const object = layer.object !== undefined && current ? layer.object : base;
  return object === undefined ? undefined : patched(object, layer.patch);
}

/** True when the layer changes nothing any more and its files can go. */
export function isSpent(base: KubeObject | undefined, layer: Layer): boolean {
  if (!isEmptyPatch(layer.patch)) return false;
  if (layer.deleted) return layer.over !== objectDigest(base);
  return layer.object === undefined || (base !== undefined && layer.over !== objectDigest(base));
}

/** The object with labels and annotations set or, by null, removed. */
export function patched(object: KubeObject, patch: MetadataPatch): KubeObject {
  if (isEmptyPatch(patch)) return object;
  const { labels: _labels, annotations: _annotations, ...metadata } = object.metadata;
  const labels = merged(object.metadata.labels, patch.labels);
  const annotations = merged(object.metadata.annotations, patch.annotations);
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(labels !== undefined && { labels }),
      ...(annotations !== undefined && { annotations }),
    },
  };
}

function merged(
  values: Readonly<Record<string, string>> | undefined,
  patch: Readonly<Record<string, string | null>> | undefined,
): Readonly<Record<string, string>> | undefined {
  const result = new Map(Object.entries(values ?? {}));
  for (const [key, value] of Object.entries(patch ?? {})) {
    if (value === null) result.delete(key);
    else result.set(key, value);
  }
  return result.size === 0 ? undefined : Object.fromEntries(result);
}

/** Two patches, the later one on top. */
export const joinPatches = (first: MetadataPatch, then: MetadataPatch): MetadataPatch => ({
  labels: { ...first.labels, ...then.labels },
  annotations: { ...first.annotations, ...then.annotations },
});

/** The patch without what an applied object says itself: the newer word counts. */
export const withoutStated = (patch: MetadataPatch, { metadata }: KubeObject): MetadataPatch => ({
  labels: unstated(patch.labels, metadata.labels),
  annotations: unstated(patch.annotations, metadata.annotations),
});

const unstated = (
  values: Readonly<Record<string, string | null>> | undefined,
  stated: Readonly<Record<string, string>> | undefined,
): Record<string, string | null> =>
  Object.fromEntries(Object.entries(values ?? {}).filter(([key]) => stated?.[key] === undefined));
