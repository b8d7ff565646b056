import type { KubeObject } from '@ambit/controlplane/collections/object';
import { record, records, text } from '../fields.ts';

/** The fields of a pod that its containers may ask for, as the downward API names them. */
const FIELDS: Readonly<Record<string, (pod: KubeObject) => string>> = {
  'metadata.name': (pod) => pod.metadata.name,
  'metadata.namespace': (pod) => pod.metadata.namespace ?? '',
  'metadata.uid': (pod) => pod.metadata.uid ?? '',
  'metadata.labels': (pod) => mapLines(pod.metadata.labels),
  'metadata.annotations': (pod) => mapLines(pod.metadata.annotations),
  'spec.nodeName': (pod) => text(record(pod.spec)['nodeName']) ?? '',
  'spec.serviceAccountName': (pod) => text(record(pod.spec)['serviceAccountName']) ?? 'default',
  'status.podIP': (pod) => text(record(pod.status)['podIP']) ?? '',
  'status.hostIP': (pod) => text(record(pod.status)['hostIP']) ?? '',
  'status.podIPs': (pod) =>
    records(record(pod.status)['podIPs'])
      .map((one) => text(one['ip']) ?? '')
      .join(','),
};

/** A value of the downward API, such as `metadata.name`, `metadata.labels['app']` or `status.podIP`; undefined for unknown paths. */
export function podField(pod: KubeObject, path: string): string | undefined {
  const subscript = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (subscript === null) return FIELDS[path]?.(pod);
  const map = subscript[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations;
  return map?.[subscript[2] ?? ''] ?? '';
}

const mapLines = (map: Readonly<Record<string, string>> | undefined): string =>
  Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
