import { apiVersionOf, type Kind } from '@ambit/common/model/kinds';
import type { KubeObject, ObjectMeta } from '../../collections/object.ts';
import type { Layer, StatusRecord } from '../state-folder.ts';
import { isRecord } from './schema.ts';

/** A checked document as an object: defaults filled in, what only a server may write left out. */
export function readObject(value: Record<string, unknown>, kind: Kind): KubeObject {
  const meta = isRecord(value['metadata']) ? value['metadata'] : {};
  const metadata = {
    name: meta['name'],
    ...(kind.namespaced && { namespace: meta['namespace'] ?? 'default' }),
    ...(isRecord(meta['labels']) && { labels: meta['labels'] }),
    ...(isRecord(meta['annotations']) && { annotations: meta['annotations'] }),
    ...(Array.isArray(meta['ownerReferences']) && { ownerReferences: meta['ownerReferences'] }),
  };
  const { status: _status, apiVersion: _version, kind: _kind, metadata: _metadata, ...body } = value;
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: metadata as unknown as ObjectMeta,
    ...withoutNulls(body),
  };
}

/** A field that is null means the same as one that is not there. */
function withoutNulls(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).flatMap(([key, one]) => (one === null ? [] : [[key, compact(one)]])));
}

function compact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(compact);
  return isRecord(value) ? withoutNulls(value) : value;
}

/** An object that was stored as JSON by us; undefined when the text is not one. */
export function readStoredObject(value: unknown): KubeObject | undefined {
  if (!isRecord(value) || typeof value['kind'] !== 'string' || !isRecord(value['metadata'])) return undefined;
  return typeof value['metadata']['name'] === 'string' ? (value as unknown as KubeObject) : undefined;
}

/** A layer of the state folder as it was written. */
export function readStoredLayer(value: unknown): Omit<Layer, 'object'> | undefined {
  if (!isRecord(value) || typeof value['deleted'] !== 'boolean' || typeof value['over'] !== 'string') return undefined;
  return isRecord(value['patch']) ? (value as unknown as Omit<Layer, 'object'>) : undefined;
}

/** A status record of the state folder as it was written. */
export function readStoredStatus(value: unknown): StatusRecord | undefined {
  if (!isRecord(value) || typeof value['uid'] !== 'string' || typeof value['generation'] !== 'number') return undefined;
  return typeof value['creationTimestamp'] === 'string' ? (value as unknown as StatusRecord) : undefined;
}
