/** What is kept of a request body so that it can be sent again. */
const LIMIT_BYTES = 65_536;
const NONE: readonly Uint8Array[] = [];

/** The beginning of a request body, kept until a response has begun or it has grown too long to be sent twice. */
export class ReplayBuffer {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #complete = true;

  get chunks(): readonly Uint8Array[] {
    return this.#complete ? this.#chunks : NONE;
  }

  /** Nothing of a body has come so far. */
  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** Everything that came is still here. */
  get complete(): boolean {
    return this.#complete;
  }

  /**
   * Keeps a chunk. `only`: it is kept nowhere else, so it is copied and kept beyond the limit too;
   * its source is paused, which bounds how much that can be. Otherwise it was also written to a stream, and the
   * contract of ByteStream says that nobody changes it any more.
   */
  add(chunk: Uint8Array, only: boolean): void {
    this.#bytes += chunk.length;
    if (!this.#complete) return;
    if (this.#bytes > LIMIT_BYTES && !only) return this.#giveUp();
    this.#chunks.push(only ? Buffer.from(chunk) : chunk);
  }

  /** No second sending any more. */
  drop(): void {
    this.#giveUp();
  }

  #giveUp(): void {
    this.#complete = false;
    this.#chunks = [];
  }
}
