import { Duplex } from 'node:stream';
import type { ByteSink, ByteStream } from './byte-stream.ts';

/** Gives a ByteStream the shape of a Node Duplex, so that TLS can run inside a tunnel. Not for the hot path. */
export function toDuplex(stream: ByteStream): Duplex {
  return new StreamDuplex(stream);
}

class StreamDuplex extends Duplex implements ByteSink {
  readonly #stream: ByteStream;
  #ended = false;
  #closed = false;
  #waiting: ((error?: Error | null) => void) | undefined;

  constructor(stream: ByteStream) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    stream.attach(this);
  }

  onData(chunk: Uint8Array): void {
    // The chunk may not be kept after this call, and a Readable keeps it.
    if (!this.push(Buffer.from(chunk))) this.#stream.pause();
  }

  onEnd(): void {
    this.#ended = true;
    this.push(null);
  }

  onDrain(): void {
    this.#release(null);
  }

  onClose(error: Error | undefined): void {
    this.#closed = true;
    this.#release(error ?? null);
    if (error !== undefined || !this.#ended) this.destroy(error);
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#stream.write(chunk)) callback();
    else this.#waiting = callback;
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#stream.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#release(error);
    const finished = error === null && this.#ended && this.writableFinished;
    if (!this.#closed && !finished) this.#stream.destroy(error ?? undefined);
    callback(error);
  }

  #release(error: Error | null): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(error);
  }
}
