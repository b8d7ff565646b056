/**
 * One step of derivation that remembers its last result: while its sources are the same values as before, it is not
 * computed again. This is what makes one changed pod cost little in a mesh of thousands.
 */
export class Remembered<T> {
  #sources: readonly unknown[] | undefined;
  #result: { readonly value: T } | undefined;

  /** What `compute` gives; it must depend on nothing but `sources`. */
  from(sources: readonly unknown[], compute: () => T): T {
    if (this.#result !== undefined && sameValues(this.#sources ?? [], sources)) return this.#result.value;
    this.#result = { value: compute() };
    this.#sources = sources;
    return this.#result.value;
  }
}

const sameValues = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((one, i) => one === b[i]);
