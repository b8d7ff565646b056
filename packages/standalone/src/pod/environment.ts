import type { KubeObject } from '@ambit/controlplane/collections/object';
import { textMap } from '../fields.ts';
import { podField } from './downward.ts';
import type { ContainerSpec, EnvEntry, ObjectKeyRef } from './spec.ts';

/** Looks an object up by kind, namespace and name. */
export type FindObject = (kind: string, namespace: string | undefined, name: string) => KubeObject | undefined;

/** A container's variables and command line, or why it cannot start yet. */
export type Environment =
  | { readonly kind: 'ready'; readonly env: Readonly<Record<string, string>>; readonly command: readonly string[] }
  | { readonly kind: 'missing'; readonly message: string };

/** Resolves a container's variables, and `$(NAME)` in its variables, command and arguments as Kubernetes does. */
export function resolveEnvironment(
  pod: KubeObject,
  container: ContainerSpec,
  base: Readonly<Record<string, string>>,
  find: FindObject,
): Environment {
  const env: Record<string, string> = { ...base };
  for (const entry of container.env) {
    const values = resolveEntry(pod, entry, find);
    if (typeof values === 'string') return { kind: 'missing', message: values };
    for (const [name, value] of Object.entries(values)) env[name] = entry.kind === 'value' ? expand(value, env) : value;
  }
  return { kind: 'ready', env, command: container.command.map((word) => expand(word, env)) };
}

/** The variables an entry gives, or a sentence about what it needs. */
function resolveEntry(pod: KubeObject, entry: EnvEntry, find: FindObject): Record<string, string> | string {
  switch (entry.kind) {
    case 'value':
      return { [entry.name]: entry.value };
    case 'field': {
      const value = podField(pod, entry.path);
      return value === undefined
        ? `variable ${entry.name}: there is no pod field "${entry.path}"`
        : { [entry.name]: value };
    }
    case 'key': {
      const content = objectData(find, pod, entry.from);
      const value = content?.[entry.from.key];
      if (value !== undefined) return { [entry.name]: value };
      return entry.from.optional ? {} : `variable ${entry.name}: ${missing(pod, entry.from, content === undefined)}`;
    }
    case 'all': {
      const content = objectData(find, pod, entry.from);
      if (content === undefined) return entry.from.optional ? {} : missing(pod, { ...entry.from, key: '' }, true);
      return Object.fromEntries(Object.entries(content).map(([key, value]) => [`${entry.prefix}${key}`, value]));
    }
    default:
      return entry satisfies never;
  }
}

const missing = (pod: KubeObject, from: ObjectKeyRef, object: boolean): string =>
  object
    ? `${from.kind} "${from.name}" not found in namespace "${pod.metadata.namespace ?? ''}"`
    : `${from.kind} "${from.name}" has no key "${from.key}"`;

/** The decoded keys of a ConfigMap or Secret of the pod's namespace; undefined when there is none. */
export function objectData(
  find: FindObject,
  pod: KubeObject,
  from: { readonly kind: 'ConfigMap' | 'Secret'; readonly name: string },
): Record<string, string> | undefined {
  const object = find(from.kind, pod.metadata.namespace, from.name);
  if (object === undefined) return undefined;
  const data = textMap(object.data);
  if (from.kind === 'ConfigMap') return data;
  const decoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()] as const);
  return { ...Object.fromEntries(decoded), ...textMap(object.stringData) };
}

/** `$(NAME)` becomes the variable if it is known, `$$` becomes `$`. */
export const expand = (text: string, env: Readonly<Record<string, string>>): string =>
  text.replace(/\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)/g, (match, name: string | undefined) =>
    match === '$$' ? '$' : (env[name ?? ''] ?? match),
  );
