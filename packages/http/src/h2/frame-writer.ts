import type { ByteStream } from '@ambit/common/net/byte-stream';
import { FLAG, FRAME, FRAME_HEADER_BYTES } from './frame.ts';

const SLAB_BYTES = 16_384;
/** Payloads up to this are copied behind their header: one write instead of two (bench/h2.ts: more requests/s, same throughput). */
const COPY_UP_TO = 2048;

/** What the transport is given beyond the point where it asks to pause: a socket that has nothing left to write idles for a turn of the event loop. */
const BEYOND_FULL = 256 * 1024;

/**
 * Writes frames to the transport. Headers, control frames and small payloads gather in a slab; larger payloads pass as the slices they are.
 * Everything written while the event loop delivers one round of input goes out together (one TLS record, one system call).
 *
 *   slab: | sent | start … end (not yet given to the transport) | free |
 */
export class FrameWriter {
  readonly #transport: ByteStream;
  readonly #flushLater = (): void => this.flush();
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #start = 0;
  #end = 0;
  #scheduled = false;
  #urgent = false;
  /** Bytes written since the transport asked to pause. */
  #beyond = 0;
  /** The transport has enough; DATA waits, control frames do not. */
  blocked = false;

  constructor(transport: ByteStream) {
    this.#transport = transport;
  }

  data(streamId: number, flags: number, payload: Uint8Array): void {
    const length = payload.length;
    if (length <= COPY_UP_TO) {
      this.#reserve(FRAME_HEADER_BYTES + length);
      this.#header(FRAME.data, flags, streamId, length);
      if (length > 0) this.#slab.set(payload, this.#end);
      this.#end += length;
      return;
    }
    this.#reserve(FRAME_HEADER_BYTES);
    this.#header(FRAME.data, flags, streamId, length);
    this.#handOver();
    this.#give(payload);
    // Bulk does not wait for company: less CPU per byte (bench/h2.ts).
    if (this.#urgent) return;
    this.#urgent = true;
    process.nextTick(this.#flushLater);
  }

  /** HEADERS, with CONTINUATION when the block is larger than the peer's frames. The block is copied. */
  headers(streamId: number, block: Uint8Array, end: boolean, maxFrame: number): void {
    const first = block.length <= maxFrame;
    const flags = (end ? FLAG.endStream : 0) | (first ? FLAG.endHeaders : 0);
    this.#copied(FRAME.headers, flags, streamId, block.subarray(0, maxFrame));
    for (let at = maxFrame; at < block.length; at += maxFrame) {
      const last = at + maxFrame >= block.length;
      this.#copied(FRAME.continuation, last ? FLAG.endHeaders : 0, streamId, block.subarray(at, at + maxFrame));
    }
  }

  /** A frame whose payload is only 32-bit numbers: RST_STREAM, WINDOW_UPDATE, GOAWAY without text. */
  numbers(type: number, streamId: number, first: number, second?: number): void {
    const length = second === undefined ? 4 : 8;
    this.#reserve(FRAME_HEADER_BYTES + length);
    this.#header(type, 0, streamId, length);
    this.#uint32(first);
    if (second !== undefined) this.#uint32(second);
  }

  /** Any other control frame: SETTINGS, PING. The payload is copied. */
  control(type: number, flags: number, payload: Uint8Array): void {
    this.#copied(type, flags, 0, payload);
  }

  /** Bytes that are no frame: the client's preface. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#slab.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The transport has written everything. */
  drained(): void {
    this.#beyond = 0;
    this.blocked = false;
  }

  /** Gives everything to the transport now. */
  flush(): void {
    if (!this.#scheduled) return;
    this.#scheduled = false;
    this.#urgent = false;
    this.#handOver();
    this.#transport.uncork();
  }

  #copied(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.#reserve(FRAME_HEADER_BYTES + payload.length);
    this.#header(type, flags, streamId, payload.length);
    this.#slab.set(payload, this.#end);
    this.#end += payload.length;
  }

  /** Writes a frame header; the caller has reserved the bytes. */
  #header(type: number, flags: number, streamId: number, length: number): void {
    const slab = this.#slab;
    let at = this.#end;
    slab[at++] = length >>> 16;
    slab[at++] = length >>> 8;
    slab[at++] = length;
    slab[at++] = type;
    slab[at++] = flags;
    slab[at++] = streamId >>> 24;
    slab[at++] = streamId >>> 16;
    slab[at++] = streamId >>> 8;
    slab[at++] = streamId;
    this.#end = at;
  }

  #uint32(value: number): void {
    const slab = this.#slab;
    slab[this.#end++] = value >>> 24;
    slab[this.#end++] = value >>> 16;
    slab[this.#end++] = value >>> 8;
    slab[this.#end++] = value;
  }

  #reserve(bytes: number): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#transport.cork();
      // After the poll phase: what many sockets deliver in one round of the event loop leaves in one write.
      setImmediate(this.#flushLater);
    }
    if (this.#end + bytes <= this.#slab.length) return;
    this.#handOver();
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes));
    this.#start = 0;
    this.#end = 0;
  }

  #handOver(): void {
    if (this.#end === this.#start) return;
    const region = this.#slab.subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#give(region);
  }

  #give(bytes: Uint8Array): void {
    if (this.#transport.write(bytes)) return;
    this.#beyond += bytes.length;
    if (this.#beyond >= BEYOND_FULL) this.blocked = true;
  }
}
