/** Chunks below this are copied together, so that a queue of one-byte slices cannot pin the buffers they were cut from. */
const SMALL = 1024;
const MERGE_BYTES = 8192;

/** Bytes waiting in order, kept as the slices they came in. */
export class ChunkQueue {
  #chunks: Uint8Array[] = [];
  #head = 0;
  /** Our own buffer behind the last chunk while it has room, and how far it is filled. */
  #merge: Buffer | undefined;
  #mergeEnd = 0;
  /** Bytes in the queue. */
  bytes = 0;

  push(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    if (chunk.length >= SMALL) {
      this.#chunks.push(chunk);
      this.#merge = undefined;
    } else this.#append(chunk);
  }

  /** The next slice, at most `max` bytes (max > 0); an empty queue gives an empty slice. */
  shift(max: number): Uint8Array {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return EMPTY;
    const last = this.#head === this.#chunks.length - 1;
    if (chunk.length > max) {
      if (last) this.#merge = undefined;
      this.#chunks[this.#head] = chunk.subarray(max);
      this.bytes -= max;
      return chunk.subarray(0, max);
    }
    this.bytes -= chunk.length;
    if (last) this.clear();
    else if (++this.#head >= 256) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    return chunk;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#head = 0;
    this.#merge = undefined;
    this.bytes = 0;
  }

  #append(chunk: Uint8Array): void {
    const merge = this.#merge;
    if (merge === undefined || this.#mergeEnd + chunk.length > merge.length) {
      this.#open(chunk);
      return;
    }
    merge.set(chunk, this.#mergeEnd);
    this.#mergeEnd += chunk.length;
    this.#chunks[this.#chunks.length - 1] = merge.subarray(0, this.#mergeEnd);
  }

  #open(chunk: Uint8Array): void {
    // Room for more only when something waits already: a lone small chunk is the common case and is copied exactly.
    const merge = Buffer.allocUnsafe(this.#chunks.length > this.#head ? MERGE_BYTES : Math.max(chunk.length, 64));
    merge.set(chunk, 0);
    this.#merge = merge;
    this.#mergeEnd = chunk.length;
    this.#chunks.push(merge.subarray(0, chunk.length));
  }
}

const EMPTY = new Uint8Array(0);
