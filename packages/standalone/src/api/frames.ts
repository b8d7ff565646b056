/** Streams of an `exec` answer: one byte stream, four bytes big-endian length, the bytes. */
export const STREAM = { stdout: 1, stderr: 2, end: 3 } as const;
const HEAD_BYTES = 5;
/** No sender makes larger frames; a larger length means that the two ends lost each other. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** One frame as bytes to send. */
export function encodeFrame(stream: number, data: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + data.length);
  frame.writeUInt8(stream, 0);
  frame.writeUInt32BE(data.length, 1);
  frame.set(data, HEAD_BYTES);
  return frame;
}

/** Cuts a byte stream into frames, whatever its chunks are. */
export class FrameReader {
  readonly #onFrame: (stream: number, data: Uint8Array) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onFrame: (stream: number, data: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  /** Throws RangeError on a frame that cannot be one. */
  push(chunk: Uint8Array): void {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= HEAD_BYTES) {
      const length = this.#rest.readUInt32BE(1);
      if (length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${length} bytes`);
      if (this.#rest.length < HEAD_BYTES + length) return;
      this.#onFrame(this.#rest.readUInt8(0), this.#rest.subarray(HEAD_BYTES, HEAD_BYTES + length));
      this.#rest = this.#rest.subarray(HEAD_BYTES + length);
    }
  }
}
