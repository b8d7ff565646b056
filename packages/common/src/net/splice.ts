import type { ByteSink, ByteStream } from './byte-stream.ts';

/** How a splice ended. */
export interface SpliceResult {
  readonly bytesAToB: number;
  readonly bytesBToA: number;
  /** Undefined when both directions ended by half-close. */
  readonly error: Error | undefined;
  /** The side that failed first; undefined for a clean end or an abort. */
  readonly failed: 'a' | 'b' | undefined;
}

/** A running splice; the counters may be read at any time. */
export interface Splice {
  readonly bytesAToB: number;
  readonly bytesBToA: number;
  /** Resets both sides; the result carries the error. */
  abort(error: Error): void;
}

/**
 * Copies both ways until both sides are closed, then calls `done` once.
 * Half-close passes through, a reset on one side resets the other, and a source pauses while the other side cannot take more.
 */
export function splice(a: ByteStream, b: ByteStream, done: (result: SpliceResult) => void): Splice {
  return new StreamSplice(a, b, done);
}

class StreamSplice implements Splice {
  readonly #a: Side;
  readonly #b: Side;
  readonly #done: (result: SpliceResult) => void;
  #error: Error | undefined;
  #failed: 'a' | 'b' | undefined;
  #over = false;

  constructor(a: ByteStream, b: ByteStream, done: (result: SpliceResult) => void) {
    this.#done = done;
    this.#a = new Side(a, b, (error) => this.#closed('a', error));
    this.#b = new Side(b, a, (error) => this.#closed('b', error));
    a.attach(this.#a);
    b.attach(this.#b);
  }

  get bytesAToB(): number {
    return this.#a.bytes;
  }

  get bytesBToA(): number {
    return this.#b.bytes;
  }

  abort(error: Error): void {
    if (this.#over) return;
    this.#error ??= error;
    this.#a.stream.destroy(error);
    this.#b.stream.destroy(error);
  }

  #closed(name: 'a' | 'b', error: Error | undefined): void {
    const own = name === 'a' ? this.#a : this.#b;
    const other = name === 'a' ? this.#b : this.#a;
    const clean = error === undefined && own.ended && other.ended;
    if (!clean && !other.closed) this.#reset(name, error ?? this.#error, other);
    if (!other.closed) return;
    this.#over = true;
    this.#done({ bytesAToB: this.bytesAToB, bytesBToA: this.bytesBToA, error: this.#error, failed: this.#failed });
  }

  /** One side is gone before both ended: what the other still sends would go nowhere, and it must not take the end for a clean one. */
  #reset(name: 'a' | 'b', error: Error | undefined, other: Side): void {
    const reason = error ?? new Error('closed before both directions had ended');
    if (this.#error === undefined) {
      this.#error = reason;
      this.#failed = name;
    }
    other.stream.destroy(reason);
  }
}

/** Receives from one stream and writes to the other. */
class Side implements ByteSink {
  readonly stream: ByteStream;
  readonly #to: ByteStream;
  readonly #onClosed: (error: Error | undefined) => void;
  bytes = 0;
  ended = false;
  closed = false;

  constructor(stream: ByteStream, to: ByteStream, onClosed: (error: Error | undefined) => void) {
    this.stream = stream;
    this.#to = to;
    this.#onClosed = onClosed;
  }

  onData(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    if (!this.#to.write(chunk)) this.stream.pause();
  }

  onEnd(): void {
    this.ended = true;
    this.#to.end();
  }

  onDrain(): void {
    this.#to.resume();
  }

  onClose(error: Error | undefined): void {
    this.closed = true;
    this.#onClosed(error);
  }
}
