import { type FSWatcher, watch } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { findKind } from '@ambit/common/model/kinds';
import { type KubeObject, objectKey } from '../collections/object.ts';
import type { ObjectStore } from '../collections/object-store.ts';
import type { ObjectWriter } from '../collections/object-writer.ts';
import type { LayerWrite } from './journal.ts';
import { inForce, isSpent, joinPatches, objectDigest, patched, withoutStated } from './layers.ts';
import type { SourceError } from './parse.ts';
import { type Layer, type MetadataPatch, NO_LAYER, StateFolder } from './state-folder.ts';
import { isEphemeral, StatusRecords } from './status-records.ts';
import { UserFolder } from './user-folder.ts';
import { checkMetadataPatch, formatSourceError, validateText, ValidationErrors, warningsOf } from './validate.ts';

export interface FolderSourceOptions {
  /** The user's files and folders: read, never written. */
  readonly folders: readonly string[];
  /** Sub-folders too; like `kubectl apply -f`, a folder means its own files by default. */
  readonly recursive?: boolean;
  /** Where `objects/` and `status/` are kept. */
  readonly stateDir: string;
  readonly store: ObjectStore;
  readonly log?: ScopedLogger;
  /** Completes every object before it is stored, as admission does: cluster IPs, defaults. */
  readonly admit?: (object: KubeObject) => KubeObject;
  readonly now?: () => number;
}

export interface ApplyResult {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly action: 'created' | 'configured' | 'unchanged';
  /** What the file says that has no effect here, with its place. */
  readonly warnings: readonly string[];
}

/** What is to lie over one object from now on; the object names its files. */
interface LayerChange {
  readonly key: string;
  readonly object: KubeObject;
  readonly layer: Layer;
}

/** Namespaces that are always there. */
const NAMESPACES = ['default', 'istio-system', 'kube-system'];
const DEBOUNCE_MS = 100;
const RESCAN_MS = 2000;

/**
 * A folder of YAML as the mesh's API server.
 *
 *     user's folder (read-only)  ┐
 *     state/objects (applied)    ├─ in force ─ admit ─ uid, generation, status ─► ObjectStore
 *     state/status               ┘
 *
 * Pods are the exception: their status and what is set on them live in memory only.
 */
export class FolderSource implements ObjectWriter {
  readonly #options: FolderSourceOptions;
  readonly #store: ObjectStore;
  readonly #user: UserFolder;
  readonly #state: StateFolder;
  readonly #layers: Map<string, Layer>;
  readonly #records: StatusRecords;
  readonly #stateErrors: SourceError[] = [];
  /** What this source has put into the store: the object before admission, and as stored. */
  readonly #published = new Map<string, { readonly input: KubeObject; readonly output: KubeObject }>();
  readonly #said = new WeakMap<KubeObject, readonly SourceError[]>();
  readonly #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #rescan: NodeJS.Timeout | undefined;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#user = new UserFolder(options.folders, options.recursive ?? false);
    this.#state = new StateFolder(options.stateDir);
    const unreadable = (file: string, message: string): void =>
      void this.#stateErrors.push({ file, line: 1, column: 1, field: '', message });
    this.#layers = this.#state.readLayers(unreadable);
    this.#records = new StatusRecords(this.#state, this.#state.readStatuses(unreadable), options.now ?? Date.now);
  }

  /** Loads everything and, unless told not to, follows changes until closed. */
  start(options: { readonly watch?: boolean } = {}): void {
    this.#user.scan();
    this.#reload();
    if (options.watch === false) return;
    for (const folder of this.#options.folders) this.#watch(folder);
    this.#rescan = setInterval(() => this.scan(), RESCAN_MS).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#rescan);
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Looks at the user's folder now. */
  scan(): void {
    if (this.#user.scan()) this.#reload();
  }

  /** What is wrong in files now; the last good version of those files is in force. */
  errors(): readonly SourceError[] {
    return [...this.#user.errors, ...this.#stateErrors];
  }

  /** What is in force and accepted but has no effect here: of the user's files, and of what was applied since. */
  warnings(): readonly SourceError[] {
    const applied = [...this.#layers.values()].flatMap(({ object }) => (object === undefined ? [] : this.#say(object)));
    return [...this.#user.warnings, ...applied];
  }

  /** What programs make of other objects is not for people to change. */
  #say(object: KubeObject): readonly SourceError[] {
    const { kind, metadata } = object;
    if (metadata.ownerReferences !== undefined) return [];
    let known = this.#said.get(object);
    if (known === undefined) {
      const name = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
      this.#said.set(object, (known = warningsOf(object, `${kind.toLowerCase()} ${name}`)));
    }
    return known;
  }

  /** The user's files that are followed. */
  files(): readonly string[] {
    return this.#user.files;
  }

  apply(object: KubeObject, fieldManager: string): Promise<void>;
  /** Applies a YAML stream as a whole. @throws ValidationErrors, and then nothing has changed. */
  apply(text: string, fileName: string, options?: { readonly dryRun?: boolean }): ApplyResult[];
  apply(
    input: KubeObject | string,
    name: string,
    options: { readonly dryRun?: boolean } = {},
  ): Promise<void> | ApplyResult[] {
    if (typeof input === 'string') return this.#applyText(input, name, options.dryRun ?? false);
    this.#put([withNamespace(input)]);
    return Promise.resolve();
  }

  /** Deletes an object, and with a Namespace everything in it. The user's files stay as they are. */
  delete(kind: string, namespace: string | undefined, name: string): Promise<void> {
    const keys = [objectKey(kind, namespace, name)];
    if (kind === 'Namespace')
      for (const [key, { output }] of this.#published) if (output.metadata.namespace === name) keys.push(key);
    this.#setLayers(keys.flatMap((key) => this.#deletion(key)));
    this.#publish();
    return Promise.resolve();
  }

  /** Sets labels and annotations, null removes. @returns the object afterwards, undefined when there is none. @throws ValidationErrors */
  merge(kind: string, namespace: string | undefined, name: string, patch: MetadataPatch): KubeObject | undefined {
    const key = objectKey(kind, namespace, name);
    const current = this.#store.get(kind, namespace, name);
    if (current === undefined) return undefined;
    const errors = checkMetadataPatch(patch, `${kind.toLowerCase()}/${name}`);
    if (errors.length > 0) throw new ValidationErrors(errors);
    if (!this.#published.has(key)) this.#store.apply([patched(current, patch)]);
    else {
      const layer = this.#layers.get(key) ?? NO_LAYER;
      this.#setLayers([{ key, object: current, layer: { ...layer, patch: joinPatches(layer.patch, patch) } }]);
      this.#publish();
    }
    return this.#store.get(kind, namespace, name);
  }

  patchStatus(
    kind: string,
    namespace: string | undefined,
    name: string,
    status: Record<string, unknown>,
  ): Promise<void> {
    const key = objectKey(kind, namespace, name);
    const current = this.#store.get(kind, namespace, name);
    if (current === undefined) return Promise.resolve();
    const published = this.#published.get(key);
    if (published === undefined || isEphemeral(kind)) {
      const next = { ...current.status, ...status };
      if (!isDeepStrictEqual(next, current.status)) this.#store.apply([{ ...current, status: next }]);
      return Promise.resolve();
    }
    if (!this.#records.patch(key, current, status)) return Promise.resolve();
    const output = this.#records.dress(key, this.#admit(published.input));
    this.#published.set(key, { input: published.input, output });
    this.#store.apply([output]);
    return Promise.resolve();
  }

  #applyText(text: string, file: string, dryRun: boolean): ApplyResult[] {
    const { objects, errors } = validateText(text, file);
    if (errors.length > 0) throw new ValidationErrors(errors);
    const results = objects.map(({ object, warnings }): ApplyResult => {
      const { kind, metadata } = object;
      return {
        kind,
        namespace: metadata.namespace,
        name: metadata.name,
        action: this.#actionFor(object),
        warnings: warnings.map(formatSourceError),
      };
    });
    if (!dryRun) this.#put(objects.filter((_, i) => results[i]?.action !== 'unchanged').map(({ object }) => object));
    return results;
  }

  #actionFor(object: KubeObject): ApplyResult['action'] {
    const key = objectKey(object.kind, object.metadata.namespace, object.metadata.name);
    const input = this.#published.get(key)?.input;
    if (input === undefined) return 'created';
    const layer = this.#layers.get(key);
    const next = layer === undefined ? object : patched(object, withoutStated(layer.patch, object));
    return isDeepStrictEqual(next, input) ? 'unchanged' : 'configured';
  }

  /** Lays the objects over what is there. */
  #put(objects: readonly KubeObject[]): void {
    const changes = objects.map((object): LayerChange => {
      const key = objectKey(object.kind, object.metadata.namespace, object.metadata.name);
      const patch = withoutStated((this.#layers.get(key) ?? NO_LAYER).patch, object);
      const over = objectDigest(this.#user.objects.get(key)?.object);
      return { key, object, layer: { object, deleted: false, over, patch } };
    });
    this.#setLayers(changes.filter(({ key, layer }) => !isDeepStrictEqual(this.#layers.get(key) ?? NO_LAYER, layer)));
    this.#publish();
  }

  /** How an object goes: a layer that hides the folder's object, or no layer any more. */
  #deletion(key: string): LayerChange[] {
    const published = this.#published.get(key);
    if (published === undefined) {
      this.#store.apply([], [key]);
      return [];
    }
    const base = this.#user.objects.get(key)?.object;
    const layer = { ...NO_LAYER, deleted: base !== undefined, over: objectDigest(base) };
    return [{ key, object: published.input, layer }];
  }

  /** All of these changes count, or none: on disk first, then in memory. */
  #setLayers(changes: readonly LayerChange[]): void {
    const next = changes.map(({ key, object, layer }) => ({
      key,
      object,
      layer: isSpent(this.#user.objects.get(key)?.object, layer) ? NO_LAYER : layer,
      inMemory: isEphemeral(object.kind) && layer.object === undefined && !layer.deleted,
    }));
    const kept = next.filter((one) => !one.inMemory);
    this.#state.writeLayers(
      kept.map(({ object, layer }) => layerWrite(object, layer)),
      kept.map(({ object, key }) => layerWrite(object, this.#layers.get(key) ?? NO_LAYER)),
    );
    for (const { key, layer } of next)
      if (layer === NO_LAYER) this.#layers.delete(key);
      else this.#layers.set(key, layer);
  }

  /** After the user's files changed: layers that an edit overtook go, unless a broken file hides what they lie over. */
  #reload(): void {
    for (const error of this.#user.errors) this.#options.log?.error('file refused', { at: formatSourceError(error) });
    const complete = this.#user.errors.length === 0;
    if (complete) this.#setLayers([...this.#layers].flatMap(([key, layer]) => this.#overtaken(key, layer)));
    this.#publish();
    if (!complete) return;
    for (const key of this.#records.keys()) if (!this.#published.has(key)) this.#records.forget(key);
  }

  #overtaken(key: string, layer: Layer): LayerChange[] {
    const base = this.#user.objects.get(key)?.object;
    if (base !== undefined && layer.object !== undefined && layer.over !== objectDigest(base))
      return [{ key, object: base, layer: { ...NO_LAYER, patch: layer.patch } }];
    return isSpent(base, layer) ? [{ key, object: base ?? layerObject(key), layer: NO_LAYER }] : [];
  }

  /** Brings the store to what is in force now. */
  #publish(): void {
    const wanted = this.#wanted();
    const upserts: KubeObject[] = [];
    for (const [key, input] of wanted) {
      const before = this.#published.get(key);
      if (before?.input === input || (before !== undefined && isDeepStrictEqual(before.input, input))) continue;
      const output = this.#withLiveStatus(this.#records.dress(key, this.#admit(input)));
      this.#published.set(key, { input, output });
      upserts.push(output);
    }
    const removals = [...this.#published.keys()].filter((key) => !wanted.has(key));
    for (const key of removals) {
      this.#published.delete(key);
      this.#records.forget(key);
    }
    this.#store.apply(upserts, removals);
  }

  /** Every object in force, with the namespaces that objects are in but nobody wrote. */
  #wanted(): Map<string, KubeObject> {
    const wanted = new Map<string, KubeObject>();
    for (const key of new Set([...this.#user.objects.keys(), ...this.#layers.keys()])) {
      const object = inForce(this.#user.objects.get(key)?.object, this.#layers.get(key));
      if (object !== undefined) wanted.set(key, object);
    }
    const namespaces = new Set(NAMESPACES);
    for (const { metadata } of wanted.values())
      if (metadata.namespace !== undefined) namespaces.add(metadata.namespace);
    for (const name of namespaces) {
      const key = objectKey('Namespace', undefined, name);
      if (!wanted.has(key)) wanted.set(key, patched(namespaceObject(name), this.#layers.get(key)?.patch ?? {}));
    }
    return wanted;
  }

  #admit(object: KubeObject): KubeObject {
    const labelled = object.kind === 'Namespace' ? named(object) : object;
    return this.#options.admit?.(labelled) ?? labelled;
  }

  #withLiveStatus(object: KubeObject): KubeObject {
    if (!isEphemeral(object.kind)) return object;
    const status = this.#store.get(object.kind, object.metadata.namespace, object.metadata.name)?.status;
    return status === undefined ? object : { ...object, status };
  }

  #watch(path: string): void {
    try {
      const watcher = watch(path, { persistent: false, recursive: this.#options.recursive ?? false }, () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.scan(), DEBOUNCE_MS).unref();
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // ENOENT or the limit of watches: the periodic scan sees changes, only later
    }
  }
}

const namespaceObject = (name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

/** Kubernetes labels every namespace with its name, so that selectors can name it. */
const named = (object: KubeObject): KubeObject =>
  patched(object, { labels: { 'kubernetes.io/metadata.name': object.metadata.name } });

const layerWrite = ({ kind, metadata }: KubeObject, layer: Layer): LayerWrite => ({
  kind,
  namespace: metadata.namespace,
  name: metadata.name,
  layer,
});

/** Enough of an object to name its files. */
function layerObject(key: string): KubeObject {
  const [kind = '', namespace = '', name = ''] = key.split('/');
  return { apiVersion: '', kind, metadata: { name, ...(namespace !== '' && { namespace }) } };
}

function withNamespace(object: KubeObject): KubeObject {
  const kind = findKind(object.kind);
  const { metadata, status: _status, ...rest } = object;
  if (kind?.namespaced !== true || metadata.namespace !== undefined) return { ...rest, metadata };
  return { ...rest, metadata: { ...metadata, namespace: 'default' } };
}
