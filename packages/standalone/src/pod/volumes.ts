import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { podField } from './downward.ts';
import { type FindObject, objectData } from './environment.ts';
import type { FileSource, VolumeSpec } from './spec.ts';

/** What volumes are filled from. */
export interface VolumeSources {
  readonly find: FindObject;
  /** A token of the pod's service account for an audience. */
  readonly token: (pod: KubeObject, audience: string) => string;
}

/**
 * Makes or refreshes the folder of every volume under `folder`. Each file is replaced as a whole, so that a reader never sees half of one.
 * @returns sentences about what is missing; empty when the pod may start.
 */
export function fillVolumes(
  pod: KubeObject,
  volumes: ReadonlyMap<string, VolumeSpec>,
  folder: string,
  sources: VolumeSources,
): string[] {
  const problems: string[] = [];
  for (const [name, volume] of volumes) {
    const target = join(folder, name);
    if (volume.kind === 'host') continue;
    mkdirSync(target, { recursive: true });
    if (volume.kind === 'empty') continue;
    for (const source of volume.sources) {
      const files = sourceFiles(pod, source, sources);
      if (typeof files === 'string') problems.push(`volume "${name}": ${files}`);
      else
        for (const [path, content] of Object.entries(files))
          replaceFile(target, path, content, source.kind === 'token' ? 0o600 : volume.mode);
    }
  }
  return problems;
}

function sourceFiles(pod: KubeObject, source: FileSource, sources: VolumeSources): Record<string, string> | string {
  if (source.kind === 'token') return { [source.path]: sources.token(pod, source.audience) };
  if (source.kind === 'field') {
    const value = podField(pod, source.field);
    return value === undefined ? `there is no pod field "${source.field}"` : { [source.path]: value };
  }
  const content = objectData(sources.find, pod, source);
  if (content === undefined)
    return source.optional
      ? {}
      : `${source.kind} "${source.name}" not found in namespace "${pod.metadata.namespace ?? ''}"`;
  if (source.items === undefined) return content;
  const absent = source.items.find((item) => content[item.key] === undefined);
  if (absent !== undefined && !source.optional) return `${source.kind} "${source.name}" has no key "${absent.key}"`;
  return Object.fromEntries(source.items.map((item) => [item.path, content[item.key] ?? '']));
}

function replaceFile(folder: string, path: string, content: string, mode: number): void {
  const file = join(folder, normalize(`/${path}`));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, content, { mode });
  renameSync(`${file}.new`, file);
}
