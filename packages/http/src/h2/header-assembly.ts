import { ConnectionFault, FLAG } from './frame.ts';

/** A header block with the frame it began with. */
export interface AssembledBlock {
  readonly streamId: number;
  readonly end: boolean;
  readonly block: Uint8Array;
}

/** An honest peer needs two or three; empty ones would otherwise be free of charge. */
const MAX_CONTINUATIONS = 64;

/** Joins HEADERS and CONTINUATION. Bounded in bytes and in frames (CONTINUATION flood, CVE-2024-27316). */
export class HeaderAssembly {
  readonly #maxBytes: number;
  #streamId = 0;
  #end = false;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The stream whose CONTINUATION must come next; 0 for none. */
  get waitsFor(): number {
    return this.#streamId;
  }

  /** A HEADERS frame; the block when it is complete. @throws ConnectionFault */
  begin(streamId: number, flags: number, payload: Uint8Array): AssembledBlock | undefined {
    const block = stripHeadersFrame(flags, payload);
    const end = (flags & FLAG.endStream) !== 0;
    if (flags & FLAG.endHeaders) return { streamId, end, block };
    this.#streamId = streamId;
    this.#end = end;
    this.#pieces = [];
    this.#bytes = 0;
    this.#keep(block);
    return undefined;
  }

  /** A CONTINUATION frame; the block when it is complete. @throws ConnectionFault */
  append(flags: number, payload: Uint8Array): AssembledBlock | undefined {
    if (this.#streamId === 0) throw new ConnectionFault('PROTOCOL_ERROR', 'CONTINUATION without HEADERS');
    this.#keep(payload);
    if (!(flags & FLAG.endHeaders)) return undefined;
    const streamId = this.#streamId;
    this.#streamId = 0;
    return { streamId, end: this.#end, block: Buffer.concat(this.#pieces) };
  }

  #keep(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#maxBytes || this.#pieces.length > MAX_CONTINUATIONS)
      throw new ConnectionFault(
        'ENHANCE_YOUR_CALM',
        `header block above ${this.#maxBytes} bytes or in too many frames`,
      );
    this.#pieces.push(Buffer.from(piece));
  }
}

/** Takes padding and priority off a HEADERS payload (RFC 9113 §6.2). */
function stripHeadersFrame(flags: number, payload: Uint8Array): Uint8Array {
  const padded = (flags & FLAG.padded) !== 0;
  const start = (padded ? 1 : 0) + (flags & FLAG.priority ? 5 : 0);
  const end = payload.length - (padded ? (payload[0] ?? 0) : 0);
  if (payload.length < start) throw new ConnectionFault('FRAME_SIZE_ERROR', 'HEADERS shorter than its own fields');
  if (end < start) throw new ConnectionFault('PROTOCOL_ERROR', 'HEADERS padding longer than its frame');
  return payload.subarray(start, end);
}
