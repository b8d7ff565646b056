import type { ByteStream } from '@ambit/common/net/byte-stream';

/** Up to this many bytes are copied into one write; more is written as it is, in one gathered system call. */
const COPY_BYTES = 16_384;

/**
 * Gathers what is written during one turn: a response head, its body and its end become one DATA frame in one TLS record
 * instead of three.
 */
export class WriteGather {
  readonly #stream: ByteStream;
  readonly #parts: Uint8Array[] = [];
  readonly #flushLater: () => void;
  #bytes = 0;
  #scheduled = false;
  #blocked = false;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#flushLater = (): void => {
      this.#scheduled = false;
      this.flush();
    };
  }

  /** True between a write that could not be taken and onDrain. */
  get blocked(): boolean {
    return this.#blocked;
  }

  add(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > COPY_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#flushLater);
    }
  }

  flush(): void {
    const parts = this.#parts;
    if (parts.length === 0) return;
    const only = parts.length === 1 ? parts[0] : undefined;
    if (only !== undefined) this.#write(only);
    else if (this.#bytes <= COPY_BYTES) this.#write(Buffer.concat(parts, this.#bytes));
    else {
      this.#stream.cork();
      for (const part of parts) this.#write(part);
      this.#stream.uncork();
    }
    parts.length = 0;
    this.#bytes = 0;
  }

  onDrain(): void {
    this.#blocked = false;
  }

  #write(bytes: Uint8Array): void {
    if (!this.#stream.write(bytes)) this.#blocked = true;
  }
}
