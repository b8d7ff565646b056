import { ConnectionFault, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, FLAG, MAX_WINDOW } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Stream } from './stream.ts';

/** No stream sends more than this in a row while others wait. */
const TURN_BYTES = 65_536;

export interface SenderEvents {
  /** The stream's last byte is written: END_STREAM is still to be sent, by trailers if it has some. */
  finishNow(stream: Stream): void;
}

/**
 * The sending side of flow control: what windows and transport allow goes straight through, the rest waits in the streams' queues and is
 * sent in turns.
 */
export class Sender {
  readonly #writer: FrameWriter;
  readonly #events: SenderEvents;
  readonly #sendBuffer: number;
  /** Streams that wait and have window of their own. */
  readonly #ready: Stream[] = [];
  #window = DEFAULT_WINDOW;
  #pumping = false;
  maxFrame: number = DEFAULT_FRAME_SIZE;

  constructor(writer: FrameWriter, sendBuffer: number, events: SenderEvents) {
    this.#writer = writer;
    this.#sendBuffer = sendBuffer;
    this.#events = events;
  }

  /** False: the stream has as much queued as it may, pause until it drains. */
  write(stream: Stream, chunk: Uint8Array): boolean {
    const length = chunk.length;
    if (stream.queue.bytes === 0 && this.#fits(stream, length)) {
      stream.sendWindow -= length;
      this.#window -= length;
      this.#writer.data(stream.id, 0, chunk);
      return true;
    }
    stream.queue.push(chunk);
    this.#enqueue(stream);
    this.pump();
    if (stream.queue.bytes < this.#sendBuffer) return true;
    stream.starved = true;
    return false;
  }

  grow(bytes: number): void {
    this.#window += bytes;
    if (this.#window > MAX_WINDOW) throw new ConnectionFault('FLOW_CONTROL_ERROR', 'connection window above 2^31-1');
    this.pump();
  }

  /** False when the stream's window passes its maximum, an error of the stream. */
  growStream(stream: Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    if (stream.sendWindow > MAX_WINDOW) return false;
    if (stream.queue.bytes > 0) {
      this.#enqueue(stream);
      this.pump();
    }
    return true;
  }

  /** Sends what may be sent now, a turn for each waiting stream. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#writer.blocked && this.#window > 0) {
      const stream = this.#ready.shift();
      if (stream === undefined) break;
      stream.queued = false;
      if (!stream.closed) this.#turn(stream);
      this.#enqueue(stream);
    }
    this.#pumping = false;
  }

  #fits(stream: Stream, length: number): boolean {
    return !this.#writer.blocked && length <= this.maxFrame && length <= stream.sendWindow && length <= this.#window;
  }

  #enqueue(stream: Stream): void {
    if (stream.queued || stream.closed || stream.queue.bytes === 0 || stream.sendWindow <= 0) return;
    stream.queued = true;
    this.#ready.push(stream);
  }

  #turn(stream: Stream): void {
    let left = TURN_BYTES;
    while (left > 0 && stream.queue.bytes > 0 && !this.#writer.blocked) {
      const max = Math.min(left, stream.sendWindow, this.#window, this.maxFrame);
      if (max <= 0) break;
      const chunk = stream.queue.shift(max);
      left -= chunk.length;
      stream.sendWindow -= chunk.length;
      this.#window -= chunk.length;
      const last = stream.ending && stream.queue.bytes === 0 && stream.trailers === undefined;
      this.#writer.data(stream.id, last ? FLAG.endStream : 0, chunk);
      if (last) stream.localEnded = true;
    }
    this.#afterTurn(stream);
  }

  #afterTurn(stream: Stream): void {
    if (stream.ending && stream.queue.bytes === 0) this.#events.finishNow(stream);
    else if (stream.starved && stream.queue.bytes * 2 <= this.#sendBuffer) {
      stream.starved = false;
      stream.drained();
    }
  }
}
