/**
 * Owns what a part of a program has opened: a signal that aborts when the part ends, cleanups run in reverse order, and
 * children that end first.
 */
export class Scope implements AsyncDisposable {
  readonly name: string;
  readonly #controller = new AbortController();
  readonly #parent: Scope | undefined;
  readonly #children = new Set<Scope>();
  readonly #cleanups: (() => void | Promise<void>)[] = [];
  #ended: Promise<void> | undefined;

  constructor(name: string, parent?: Scope) {
    this.name = name;
    this.#parent = parent;
    if (parent === undefined) return;
    if (parent.#ended !== undefined) throw new Error(`${parent.name} has ended: it cannot start ${name}`);
    parent.#children.add(this);
  }

  /** Aborts when the scope ends; pass it to everything that waits. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A part of this part, ended with it or earlier on its own. */
  child(name: string): Scope {
    return new Scope(`${this.name}/${name}`, this);
  }

  /** Runs `cleanup` when the scope ends, last registered first; at once when it has ended already. */
  defer(cleanup: () => void | Promise<void>): void {
    if (this.#ended === undefined) this.#cleanups.push(cleanup);
    else this.#ended = this.#ended.then(cleanup);
  }

  /** Ends the scope: aborts the signal, ends the children, runs the cleanups. All run even if one fails; the failures are thrown together. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#controller.abort(new Error(`${this.name} has ended`));
    const failures: unknown[] = [];
    const attempt = async (step: () => void | Promise<void>): Promise<void> => {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    };
    await Promise.all([...this.#children].map((child) => attempt(() => child[Symbol.asyncDispose]())));
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop())
      await attempt(cleanup);
    if (this.#parent !== undefined) this.#parent.#children.delete(this);
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, `${this.name}: ${failures.length} cleanups failed`);
  }
}
