import { type KubeObject, objectKey } from './object.ts';

/** One change of the store; `object` is undefined on removal. */
export interface ObjectChange {
  readonly key: string;
  readonly kind: string;
  readonly object: KubeObject | undefined;
  readonly previous: KubeObject | undefined;
}

/**
 * Every object the control plane knows, whatever it came from: an API server's watch, a folder of YAML, the standalone cluster.
 * Objects are replaced whole, never changed. Listeners are told synchronously, once per batch.
 */
export class ObjectStore {
  readonly #objects = new Map<string, KubeObject>();
  readonly #byKind = new Map<string, Map<string, KubeObject>>();
  readonly #versions = new Map<string, number>();
  readonly #listeners = new Set<(changes: readonly ObjectChange[]) => void>();

  get(kind: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(objectKey(kind, namespace, name));
  }

  /** All objects of a kind, in no particular order. */
  list(kind: string): Iterable<KubeObject> {
    return this.#byKind.get(kind)?.values() ?? [];
  }

  /** Grows with every change of an object of this kind: the same number, the same objects. */
  version(kind: string): number {
    return this.#versions.get(kind) ?? 0;
  }

  kinds(): Iterable<string> {
    return this.#byKind.keys();
  }

  /** Applies the changes together; unchanged objects (deep equality is the caller's matter) may be passed, identical references are skipped. */
  apply(upserts: Iterable<KubeObject>, removals: Iterable<string> = []): void {
    const changes: ObjectChange[] = [];
    for (const key of removals) {
      const previous = this.#objects.get(key);
      if (previous === undefined) continue;
      this.#objects.delete(key);
      this.#byKind.get(previous.kind)?.delete(key);
      changes.push({ key, kind: previous.kind, object: undefined, previous });
    }
    for (const object of upserts) {
      const key = objectKey(object.kind, object.metadata.namespace, object.metadata.name);
      const previous = this.#objects.get(key);
      if (previous === object) continue;
      this.#objects.set(key, object);
      let kind = this.#byKind.get(object.kind);
      if (kind === undefined) this.#byKind.set(object.kind, (kind = new Map()));
      kind.set(key, object);
      changes.push({ key, kind: object.kind, object, previous });
    }
    for (const kind of new Set(changes.map((change) => change.kind))) this.#versions.set(kind, this.version(kind) + 1);
    if (changes.length > 0) for (const listener of this.#listeners) listener(changes);
  }

  /** @returns the function that ends the subscription. */
  subscribe(listener: (changes: readonly ObjectChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
