import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findKind } from '@ambit/common/model/kinds';
import { type KubeObject, objectKey } from '../collections/object.ts';
import { Journal, type LayerWrite } from './journal.ts';
import { parseYamlValue } from './parse.ts';
import { readStoredObject, readStoredLayer, readStoredStatus } from './schema/object.ts';
import { removeFile, writeWhole } from './whole-file.ts';
import { writeYaml } from './write-yaml.ts';

/** What lies over one object of the user's folder. */
export interface Layer {
  /** The object applied since; undefined when there is none. */
  readonly object: KubeObject | undefined;
  readonly deleted: boolean;
  /** Digest of the folder's object that `object` or the deletion was made over; '' when there was none. */
  readonly over: string;
  /** Labels and annotations set since; null removes one. */
  readonly patch: MetadataPatch;
}

export interface MetadataPatch {
  readonly labels?: Readonly<Record<string, string | null>>;
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/** What a server keeps of an object beside what people write. */
export interface StatusRecord {
  readonly uid: string;
  readonly creationTimestamp: string;
  readonly generation: number;
  /** Digest of the spec that `generation` counts. */
  readonly spec: string;
  readonly status: Readonly<Record<string, unknown>> | undefined;
}

export const NO_LAYER: Layer = Object.freeze({ object: undefined, deleted: false, over: '', patch: {} });

/**
 * The state folder's `objects/` and `status/`: one file per object, written whole and renamed into place.
 *
 *     objects/<plural>/<namespace or _>/<name>.yaml    the object applied
 *     objects/<plural>/<namespace or _>/<name>.json    deletion, labels and annotations set, digest of what it lies over
 *     status/<plural>/<namespace or _>/<name>.json     uid, creation time, generation, status
 *     objects.journal                                  layers that are being written, see Journal
 */
export class StateFolder {
  readonly #directory: string;
  readonly #journal: Journal;

  constructor(directory: string) {
    this.#directory = directory;
    this.#journal = new Journal(join(directory, 'objects.journal'));
  }

  /**
   * All layers by object key, after changes that a crash cut short are complete. Files that are not ours or are damaged
   * are named to `unreadable`.
   */
  readLayers(unreadable: (file: string, reason: string) => void): Map<string, Layer> {
    this.#journal.complete((one) => this.#writeLayer(one), unreadable);
    const layers = new Map<string, Layer>();
    for (const { key, file } of this.#files('objects')) {
      const before = layers.get(key) ?? NO_LAYER;
      const text = readFileSync(file, 'utf8');
      if (file.endsWith('.yaml')) {
        const object = readStoredObject(parseYamlValue(text).value);
        if (object === undefined) unreadable(file, 'expected one object as YAML');
        else layers.set(key, { ...before, object });
      } else {
        const stored = readStoredLayer(parseJson(text));
        if (stored === undefined) unreadable(file, 'expected an object as JSON');
        else layers.set(key, { ...before, ...stored });
      }
    }
    return layers;
  }

  readStatuses(unreadable: (file: string, reason: string) => void): Map<string, StatusRecord> {
    const records = new Map<string, StatusRecord>();
    for (const { key, file } of this.#files('status')) {
      const record = readStoredStatus(parseJson(readFileSync(file, 'utf8')));
      if (record === undefined) unreadable(file, 'expected a status record as JSON');
      else records.set(key, record);
    }
    return records;
  }

  /** Writes all of these layers or none, whenever the process may be killed. @throws Error when the disk takes no more; `before` lies there then */
  writeLayers(writes: readonly LayerWrite[], before: readonly LayerWrite[]): void {
    this.#journal.run(writes, before, (one) => this.#writeLayer(one));
  }

  #writeLayer({ layer, ...id }: LayerWrite): void {
    const yaml = this.#path('objects', id, 'yaml');
    const json = this.#path('objects', id, 'json');
    const { object, ...rest } = layer;
    if (object === undefined) removeFile(yaml);
    else writeWhole(yaml, writeYaml(object), 'durable');
    const plain = !layer.deleted && layer.over === '' && isEmptyPatch(layer.patch);
    if (plain) removeFile(json);
    else writeWhole(json, `${JSON.stringify(rest)}\n`, 'durable');
  }

  writeStatus(kind: string, namespace: string | undefined, name: string, record: StatusRecord | undefined): void {
    const file = this.#path('status', { kind, namespace, name }, 'json');
    if (record === undefined) removeFile(file);
    else writeWhole(file, `${JSON.stringify(record)}\n`);
  }

  #path(part: string, id: { kind: string; namespace: string | undefined; name: string }, extension: string): string {
    const plural = findKind(id.kind)?.plural ?? id.kind.toLowerCase();
    return join(this.#directory, part, plural, id.namespace ?? '_', `${id.name}.${extension}`);
  }

  *#files(part: string): Generator<{ key: string; file: string }> {
    const root = join(this.#directory, part);
    for (const plural of entries(root)) {
      const kind = findKind(plural);
      if (kind === undefined) continue;
      for (const namespace of entries(join(root, plural)))
        for (const name of entries(join(root, plural, namespace)).sort()) {
          if (name.endsWith('.tmp')) removeFile(join(root, plural, namespace, name));
          const match = /^(.+)\.(yaml|json)$/.exec(name);
          if (match?.[1] === undefined) continue;
          const key = objectKey(kind.kind, namespace === '_' ? undefined : namespace, match[1]);
          yield { key, file: join(root, plural, namespace, name) };
        }
    }
  }
}

export const isEmptyPatch = (patch: MetadataPatch): boolean =>
  Object.keys(patch.labels ?? {}).length === 0 && Object.keys(patch.annotations ?? {}).length === 0;

/** Names one version of an object: equal objects, equal digests. */
export const digest = (value: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(value) ?? '')
    .digest('base64url')
    .slice(0, 22);

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // ENOENT or ENOTDIR: nothing was stored yet
    return [];
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // SyntaxError: the caller reports the file
    return undefined;
  }
}
