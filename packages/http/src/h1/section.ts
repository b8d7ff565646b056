import { type HeadLimits, refuse, type Refusal } from './fault.ts';

const CR = 0x0d;
const LF = 0x0a;
const BLANK_LINE = Buffer.from('\r\n\r\n');
/** First size of the buffer for a section that arrives in pieces; most fit. */
const INITIAL_BYTES = 2048;

/**
 * Collects one head or trailer section, up to its empty line, from chunks split anywhere.
 * A section that lies whole in one chunk is never copied into a buffer first. No byte is searched twice.
 */
export class SectionReader {
  readonly #limits: HeadLimits;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Where in the chunk of the last take() the bytes after the section begin. */
  next = 0;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  /** True when part of a section has been taken. */
  get started(): boolean {
    return this.#length > 0;
  }

  /** Bytes of a section taken so far. */
  get partial(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** The section as Latin-1 with the CRLF of its last line, '' when it is empty, undefined when more bytes are needed. */
  take(chunk: Buffer, at: number): string | Refusal | undefined {
    if (this.#length > 0) return this.#takeMore(chunk, at);
    const first = chunk[at];
    if (first === LF) return bareLf();
    if (first === CR && chunk[at + 1] === LF) {
      this.next = at + 2;
      return '';
    }
    const end = chunk.indexOf(BLANK_LINE, at);
    if (end < 0) return this.#takeMore(chunk, at);
    if (end + 4 - at > this.#limits.headBytes) return this.#tooLarge();
    this.next = end + 4;
    return chunk.toString('latin1', at, end + 2);
  }

  #takeMore(chunk: Buffer, at: number): string | Refusal | undefined {
    const before = this.#length;
    const added = Math.min(chunk.length - at, this.#limits.headBytes + 1 - before);
    this.#append(chunk, at, added);
    const buffer = this.#buffer.subarray(0, this.#length);
    if (buffer[0] === CR && buffer[1] === LF) return this.#finish(at, before, 2, '');
    const end = buffer.indexOf(BLANK_LINE, Math.max(0, before - 3));
    if (end >= 0 && end + 4 <= this.#limits.headBytes) {
      return this.#finish(at, before, end + 4, buffer.toString('latin1', 0, end + 2));
    }
    if (hasBareLf(buffer, before)) return bareLf();
    if (this.#length > this.#limits.headBytes) return this.#tooLarge();
    this.next = at + added;
    return undefined;
  }

  #finish(at: number, before: number, sectionBytes: number, text: string): string {
    this.next = at + sectionBytes - before;
    this.#length = 0;
    // A section in pieces is rare: the buffer is not kept, so an idle connection holds none.
    this.#buffer = Buffer.alloc(0);
    return text;
  }

  #append(chunk: Buffer, at: number, bytes: number): void {
    const needed = this.#length + bytes;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(INITIAL_BYTES, needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length, at, at + bytes);
    this.#length = needed;
  }

  #tooLarge(): Refusal {
    return refuse('size', `more than ${this.#limits.headBytes} bytes of start line and headers`);
  }
}

const bareLf = (): Refusal => refuse('codec', 'a line that ends with LF alone');

/** Looks at the LFs from `from` on, so that a peer which ends lines by LF is told so rather than waited for. */
function hasBareLf(buffer: Buffer, from: number): boolean {
  for (let lf = buffer.indexOf(LF, from); lf >= 0; lf = buffer.indexOf(LF, lf + 1)) {
    if (lf === 0 || buffer[lf - 1] !== CR) return true;
  }
  return false;
}
