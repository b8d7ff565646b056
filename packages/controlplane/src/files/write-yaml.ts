import { stringify } from 'yaml';
import type { KubeObject } from '../collections/object.ts';

/** An object as a YAML document in Kubernetes' order of fields. */
export function writeYaml(object: KubeObject): string {
  const { apiVersion, kind, metadata, ...rest } = object;
  return stringify({ apiVersion, kind, metadata, ...rest }, { lineWidth: 0, aliasDuplicateObjects: false });
}
