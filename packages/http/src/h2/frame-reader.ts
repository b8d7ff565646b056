import { ConnectionFault, FLAG, FRAME, FRAME_HEADER_BYTES, readUint32 } from './frame.ts';

/** What the reader finds. DATA comes in the pieces it arrived in, every other frame whole. Any method may throw ConnectionFault. */
export interface FrameSink {
  /** `length` counts against flow control, padding included. */
  onDataStart(streamId: number, length: number): void;
  onDataChunk(chunk: Uint8Array): void;
  onDataEnd(endStream: boolean): void;
  /** The payload is only valid during the call. */
  onFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void;
}

export interface ReaderLimits {
  readonly maxFrameSize: number;
  /** Of HEADERS and CONTINUATION frames, which are collected before they are read. */
  readonly maxHeaderFrame: number;
}

/** SETTINGS, GOAWAY and the like: nothing sane is larger. */
const MAX_CONTROL_FRAME = 4096;

type State = 'header' | 'padLength' | 'data' | 'padding' | 'collect' | 'skip';

/**
 * Cuts the byte stream into frames without copying payloads of DATA.
 *
 *   header ─► padLength ─► data ─► padding ─► header      DATA
 *          └► collect ─► header                           known types
 *          └► skip ─► header                              unknown types (RFC 9113 §4.1: ignored)
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #limits: ReaderLimits;
  readonly #header: Buffer = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerFill = 0;
  #state: State = 'header';
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Payload bytes still to come. */
  #left = 0;
  #padding = 0;
  #collected: Buffer | undefined;
  /** Only CONTINUATION of this stream may come next; 0 for none. */
  expectContinuation = 0;
  /** Set to stop in the middle of a chunk: the rest of the input is of no interest. */
  stopped = false;

  constructor(sink: FrameSink, limits: ReaderLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.stopped) {
      if (this.#state === 'header') at = this.#readHeader(chunk, at);
      else if (this.#state === 'data') at = this.#readData(chunk, at);
      else at = this.#readOther(chunk, at);
    }
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    if (this.#headerFill === 0 && chunk.length - at >= FRAME_HEADER_BYTES) {
      this.#begin(chunk, at);
      return at + FRAME_HEADER_BYTES;
    }
    let next = at;
    while (next < chunk.length && this.#headerFill < FRAME_HEADER_BYTES)
      this.#header[this.#headerFill++] = chunk[next++] ?? 0;
    if (this.#headerFill < FRAME_HEADER_BYTES) return next;
    this.#headerFill = 0;
    this.#begin(this.#header, 0);
    return next;
  }

  #begin(bytes: Uint8Array, at: number): void {
    const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    this.#left = length;
    this.#type = bytes[at + 3] ?? 0;
    this.#flags = bytes[at + 4] ?? 0;
    this.#streamId = readUint32(bytes, at + 5) & 0x7f_ff_ff_ff;
    if (length > this.#limits.maxFrameSize)
      throw new ConnectionFault('FRAME_SIZE_ERROR', `frame of ${length} bytes, above ${this.#limits.maxFrameSize}`);
    if (this.expectContinuation !== 0) this.#checkContinuation();
    if (this.#type === FRAME.data) this.#beginData(length);
    else if (this.#type > FRAME.continuation) this.#state = length > 0 ? 'skip' : 'header';
    else this.#beginCollect(length);
  }

  #checkContinuation(): void {
    if (this.#type === FRAME.continuation && this.#streamId === this.expectContinuation) return;
    throw new ConnectionFault('PROTOCOL_ERROR', `frame type ${this.#type} inside a header block`);
  }

  #beginData(length: number): void {
    this.#padding = 0;
    const padded = (this.#flags & FLAG.padded) !== 0;
    if (padded && length === 0) throw new ConnectionFault('FRAME_SIZE_ERROR', 'padded DATA without a pad length');
    this.#sink.onDataStart(this.#streamId, length);
    this.#state = padded ? 'padLength' : 'data';
    if (length === 0) this.#endData();
  }

  #beginCollect(length: number): void {
    const isHeaders = this.#type === FRAME.headers || this.#type === FRAME.continuation;
    const limit = isHeaders ? this.#limits.maxHeaderFrame : MAX_CONTROL_FRAME;
    if (length > limit)
      throw new ConnectionFault('ENHANCE_YOUR_CALM', `frame type ${this.#type} of ${length} bytes, above ${limit}`);
    this.#state = 'collect';
    if (length === 0) this.#complete(NOTHING);
  }

  #readData(chunk: Uint8Array, at: number): number {
    const want = this.#left - this.#padding;
    const have = chunk.length - at;
    const size = want < have ? want : have;
    this.#left -= size;
    this.#sink.onDataChunk(size === chunk.length ? chunk : chunk.subarray(at, at + size));
    if (this.#left === this.#padding) this.#afterData();
    return at + size;
  }

  #afterData(): void {
    if (this.#padding > 0) this.#state = 'padding';
    else this.#endData();
  }

  #endData(): void {
    this.#state = 'header';
    this.#sink.onDataEnd((this.#flags & FLAG.endStream) !== 0);
  }

  #readOther(chunk: Uint8Array, at: number): number {
    if (this.#state === 'padLength') {
      this.#left--;
      this.#padding = chunk[at] ?? 0;
      if (this.#padding > this.#left) throw new ConnectionFault('PROTOCOL_ERROR', 'DATA padding longer than its frame');
      this.#state = 'data';
      if (this.#left === this.#padding) this.#afterData();
      return at + 1;
    }
    const size = Math.min(this.#left, chunk.length - at);
    if (this.#state === 'collect') return this.#collect(chunk, at, size);
    this.#left -= size;
    if (this.#left === 0 && this.#state === 'padding') this.#endData();
    else if (this.#left === 0) this.#state = 'header';
    return at + size;
  }

  #collect(chunk: Uint8Array, at: number, size: number): number {
    const piece = chunk.subarray(at, at + size);
    if (this.#collected === undefined && size === this.#left) {
      this.#complete(piece);
      return at + size;
    }
    this.#collected ??= Buffer.alloc(this.#left);
    this.#collected.set(piece, this.#collected.length - this.#left);
    this.#left -= size;
    if (this.#left === 0) this.#complete(this.#collected);
    return at + size;
  }

  #complete(payload: Uint8Array): void {
    this.#state = 'header';
    this.#collected = undefined;
    this.#sink.onFrame(this.#type, this.#flags, this.#streamId, payload);
  }
}

const NOTHING = new Uint8Array(0);
