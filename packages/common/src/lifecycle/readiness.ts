/** Ready when no named task is pending; what is pending can be told to whoever asks. */
export class Readiness {
  readonly #pending = new Map<string, number>();

  /** Registers a task that must finish first. The function returned marks it done; calling it again does nothing. */
  task(name: string): () => void {
    this.#pending.set(name, (this.#pending.get(name) ?? 0) + 1);
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      const left = (this.#pending.get(name) ?? 1) - 1;
      if (left > 0) this.#pending.set(name, left);
      else this.#pending.delete(name);
    };
  }

  /** Names of unfinished tasks, sorted. */
  pending(): string[] {
    return [...this.#pending.keys()].toSorted();
  }

  get ready(): boolean {
    return this.#pending.size === 0;
  }
}
