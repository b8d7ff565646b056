import { refuse, type Refusal } from './fault.ts';

const CR = 0x0d;
const LF = 0x0a;
const HTAB = 0x09;
const SEMICOLON = 0x3b;
/** Bytes of one chunk extension; they are dropped, so a bound is only against endless ones. */
const EXTENSION_LIMIT = 4096;

/** Value of each hex digit plus one; 0 for every other byte. */
const HEX = new Uint8Array(256);
for (let i = 0; i < 16; i++) {
  const digit = i.toString(16);
  HEX[digit.charCodeAt(0)] = i + 1;
  HEX[digit.toUpperCase().charCodeAt(0)] = i + 1;
}

/**
 * The framing between the data of a chunked body (RFC 9112 §7.1), byte by byte as it may be split anywhere:
 *
 *     size ─(SP/HTAB)─► padding ─(;)─► extension ─CR─► line-feed ─► data ─► data-cr ─► data-lf ─► size
 *                                                          └─(size 0)─► last
 *
 * Every line must end with CRLF and extensions hold no control characters: no second reading of the same bytes is possible.
 */
export class ChunkedDecoder {
  #phase: 'size' | 'padding' | 'extension' | 'line-feed' | 'data-cr' | 'data-lf' = 'size';
  #size = 0;
  #digits = 0;
  #extension = 0;
  /** Data bytes of the current chunk that are still to come. */
  remaining = 0;
  /** The last chunk was read: the trailer section follows. */
  last = false;

  /** Reads framing from `at` until data begins, the last chunk, or the end of `buffer`; the position after, or a refusal. */
  advance(buffer: Buffer, at: number): number | Refusal {
    let position = at;
    while (position < buffer.length && this.remaining === 0 && !this.last) {
      const fault = this.#step(buffer[position++] ?? 0);
      if (fault !== undefined) return fault;
    }
    return position;
  }

  /** Data was delivered; at the end of a chunk its CRLF is next. */
  consume(bytes: number): void {
    this.remaining -= bytes;
    if (this.remaining === 0) this.#phase = 'data-cr';
  }

  #step(byte: number): Refusal | undefined {
    switch (this.#phase) {
      case 'size':
        return HEX[byte] === 0 ? this.#afterSize(byte) : this.#digit((HEX[byte] ?? 1) - 1);
      case 'padding':
        return this.#afterSize(byte);
      case 'extension':
        return this.#inExtension(byte);
      case 'line-feed':
        return byte === LF ? this.#startData() : refuse('codec', 'a chunk size line that does not end with CR LF');
      case 'data-cr':
        return byte === CR ? this.#enter('data-lf') : refuse('codec', 'a chunk longer than its size');
      case 'data-lf':
        return byte === LF ? this.#enter('size') : refuse('codec', 'a chunk that does not end with CR LF');
      default:
        this.#phase satisfies never;
        return undefined;
    }
  }

  #enter(phase: 'size' | 'data-lf'): Refusal | undefined {
    this.#phase = phase;
    return undefined;
  }

  #digit(value: number): Refusal | undefined {
    this.#size = this.#size * 16 + value;
    this.#digits++;
    return this.#digits > 16 || this.#size > Number.MAX_SAFE_INTEGER
      ? refuse('codec', 'a chunk size out of range')
      : undefined;
  }

  /** Only blanks, an extension or CR may follow the digits, of which there must be one. */
  #afterSize(byte: number): Refusal | undefined {
    if (this.#digits === 0) return refuse('codec', 'a chunk without a size');
    if (byte === CR) this.#phase = 'line-feed';
    else if (byte === SEMICOLON) this.#phase = 'extension';
    else if (byte === 0x20 || byte === HTAB) this.#phase = 'padding';
    else return refuse('codec', 'a chunk size that is not a number');
    return ++this.#extension > EXTENSION_LIMIT ? refuse('codec', 'an endless chunk size line') : undefined;
  }

  #inExtension(byte: number): Refusal | undefined {
    if (byte === CR) this.#phase = 'line-feed';
    else if ((byte < 0x20 && byte !== HTAB) || byte === 0x7f) {
      return refuse('codec', 'a control character in a chunk extension');
    }
    return ++this.#extension > EXTENSION_LIMIT ? refuse('codec', 'an endless chunk extension') : undefined;
  }

  #startData(): Refusal | undefined {
    this.remaining = this.#size;
    this.last = this.#size === 0;
    this.#size = 0;
    this.#digits = 0;
    this.#extension = 0;
    this.#phase = 'size';
    return undefined;
  }
}
