import type { KubeObject } from '../collections/object.ts';

/** Reads each object once: objects are replaced whole, so the same object has the same normal form. */
export function memoized<T>(read: (object: KubeObject) => T): (object: KubeObject) => T {
  const known = new WeakMap<KubeObject, { readonly form: T }>();
  return (object) => {
    let entry = known.get(object);
    if (entry === undefined) known.set(object, (entry = { form: read(object) }));
    return entry.form;
  };
}
