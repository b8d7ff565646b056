/**
 * One ordered header list for HTTP/1.1 and HTTP/2: names are lower case, order and repetition are kept.
 * Pseudo headers are not in it. Stored flat ([name, value, …]) as it is built and walked on the hot path.
 */
export class Headers {
  readonly #flat: string[];

  constructor(flat: string[] = []) {
    this.#flat = flat;
  }

  /** Number of header lines. */
  get size(): number {
    return this.#flat.length / 2;
  }

  /** The first value, or undefined. */
  get(name: string): string | undefined {
    const flat = this.#flat;
    for (let i = 0; i < flat.length; i += 2) if (flat[i] === name) return flat[i + 1];
    return undefined;
  }

  /** Every value in order. */
  getAll(name: string): string[] {
    const values: string[] = [];
    const flat = this.#flat;
    for (let i = 0; i < flat.length; i += 2) if (flat[i] === name) values.push(flat[i + 1] ?? '');
    return values;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Adds a further line. */
  append(name: string, value: string): void {
    this.#flat.push(name, value);
  }

  /** Replaces all lines of the name by one; it keeps the place of the first. */
  set(name: string, value: string): void {
    const flat = this.#flat;
    for (let i = 0; i < flat.length; i += 2) {
      if (flat[i] !== name) continue;
      flat[i + 1] = value;
      this.#removeFrom(name, i + 2);
      return;
    }
    flat.push(name, value);
  }

  delete(name: string): void {
    this.#removeFrom(name, 0);
  }

  clone(): Headers {
    return new Headers(this.#flat.slice());
  }

  /** The flat list itself, for codecs that walk it: [name, value, …]. Not to be changed. */
  flat(): readonly string[] {
    return this.#flat;
  }

  *[Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    const flat = this.#flat;
    for (let i = 0; i < flat.length; i += 2) yield [flat[i] ?? '', flat[i + 1] ?? ''];
  }

  #removeFrom(name: string, start: number): void {
    const flat = this.#flat;
    let kept = start;
    for (let i = start; i < flat.length; i += 2) {
      if (flat[i] === name) continue;
      flat[kept++] = flat[i] ?? '';
      flat[kept++] = flat[i + 1] ?? '';
    }
    flat.length = kept;
  }
}
