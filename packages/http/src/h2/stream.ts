import { MeshError } from '@ambit/common/errors';
import type { Headers } from '../headers.ts';
import { ChunkQueue } from './chunk-queue.ts';
import { DEFAULT_WINDOW } from './frame.ts';
import type { ErrorCode, Http2Stream, ResponseHead, StreamHandler } from './contract.ts';

/** What a stream asks of its session. */
export interface StreamOwner {
  readonly receiveWindow: number;
  write(stream: Stream, chunk: Uint8Array): boolean;
  /** The sending side is to end once its queue is empty. */
  finish(stream: Stream): void;
  respond(stream: Stream, head: ResponseHead, end: boolean): void;
  /** Sends RST_STREAM and forgets the stream. */
  reset(stream: Stream, code: ErrorCode): void;
  /** Both sides ended. */
  release(stream: Stream): void;
  /** Bytes left our buffers: the connection's window may grow. */
  consumed(bytes: number): void;
  growWindow(stream: Stream, bytes: number): void;
}

/**
 * One stream. The session feeds the receiving side (receive, receiveEnd, close); its owner uses the Http2Stream side.
 *
 *   receiving: data waits in `#pending` while paused or without a handler; window is given back as data is handed over
 *   sending:   `queue` holds what windows or the transport do not let through yet
 */
export class Stream implements Http2Stream {
  readonly id: number;
  readonly #owner: StreamOwner;
  #handler: StreamHandler | undefined;

  /** Sending side; kept by the session's sender. */
  readonly queue: ChunkQueue = new ChunkQueue();
  sendWindow: number;
  queued = false;
  starved = false;
  ending = false;
  localEnded = false;
  trailers: Headers | undefined;
  /** Client: from the start. Server: since the final response head. */
  writable = false;

  /** Receiving side. */
  receiveWindow: number;
  /** Body bytes the head announced and that are still to come; -1 when it announced none. */
  expected = -1;
  remoteEnded = false;
  /** Client: the request was HEAD. */
  bodiless = false;
  /** The final response head was sent (server) or received (client). */
  answered = false;
  resetCode: ErrorCode | undefined;

  readonly #pending: ChunkQueue = new ChunkQueue();
  #credit = 0;
  #paused = false;
  #scheduled = false;
  #endTold = false;
  #closed = false;
  #closeTold = false;
  #error: Error | undefined;
  #receivedTrailers: Headers | undefined;

  constructor(id: number, owner: StreamOwner, sendWindow: number) {
    this.id = id;
    this.#owner = owner;
    this.sendWindow = sendWindow;
    // Until the peer has our SETTINGS it may send what the protocol grants from the start.
    this.receiveWindow = Math.max(owner.receiveWindow, DEFAULT_WINDOW);
  }

  get closed(): boolean {
    return this.#closed;
  }

  attach(handler: StreamHandler): void {
    const first = this.#handler === undefined;
    this.#handler = handler;
    if (this.#pending.bytes > 0 || (first && (this.remoteEnded || this.#closed))) this.#schedule();
  }

  detach(): void {
    this.#handler = undefined;
  }

  /** For the session: the handler a request starts with, which nothing can have preceded. */
  begin(handler: StreamHandler): void {
    this.#handler = handler;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed || this.ending || chunk.length === 0) return true;
    return this.#owner.write(this, chunk);
  }

  end(): void {
    if (this.#closed || this.ending) return;
    this.ending = true;
    this.#owner.finish(this);
  }

  endWithTrailers(trailers: Headers): void {
    if (this.#closed || this.ending) return;
    this.trailers = trailers;
    this.end();
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.#closed || this.ending || this.answered) return;
    this.#owner.respond(this, head, end);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#pending.bytes > 0 || this.#closed || this.remoteEnded) this.#schedule();
  }

  cork(): void {
    // The session already gathers what is written during one round of the event loop.
  }

  uncork(): void {
    // See cork().
  }

  destroy(error?: Error): void {
    this.#abandon('CANCEL', error);
  }

  reset(code: ErrorCode): void {
    this.#abandon(code, undefined);
  }

  /** For the session: the peer broke the rules of this stream. */
  fail(code: ErrorCode): void {
    this.#owner.reset(this, code);
    this.close(
      new MeshError('HTTP2_FAILED', `the peer broke the rules of an HTTP/2 stream; it was reset with ${code}`),
    );
  }

  #abandon(code: ErrorCode, error: Error | undefined): void {
    if (this.#closed) return;
    this.#owner.reset(this, code);
    this.#shut(error);
    this.#schedule();
  }

  /** For the session: a head arrived (client). */
  receiveHead(head: ResponseHead, end: boolean): void {
    this.#handler?.onHead?.(head, end);
  }

  /** For the session: a piece of DATA, already taken off the windows. */
  receive(chunk: Uint8Array): void {
    const handler = this.#handler;
    if (handler !== undefined && !this.#paused && !this.#scheduled && this.#pending.bytes === 0) {
      handler.onData(chunk);
      this.#giveBack(chunk.length);
    } else this.#pending.push(chunk);
  }

  /** For the session: padding, which counts as received and read. */
  receivePadding(bytes: number): void {
    this.#giveBack(bytes);
  }

  receiveEnd(trailers: Headers | undefined): void {
    this.remoteEnded = true;
    this.#receivedTrailers = trailers;
    if (!this.#scheduled) this.#deliver();
    if (this.localEnded && !this.#closed) this.#owner.release(this);
  }

  /** For the session: the stream is gone, by reset, by its connection's end, or cleanly after both sides ended. */
  close(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.queue.clear();
    if (!this.#scheduled) this.#schedule();
  }

  drained(): void {
    this.#handler?.onDrain();
  }

  /** Closed by our own side: what waits for delivery is of no interest any more. */
  #shut(error: Error | undefined): void {
    this.#closed = true;
    this.#error = error;
    this.#endTold = true;
    this.queue.clear();
    this.#discard();
  }

  #discard(): void {
    const bytes = this.#pending.bytes;
    this.#pending.clear();
    if (bytes > 0) this.#owner.consumed(bytes);
  }

  #giveBack(bytes: number): void {
    this.#owner.consumed(bytes);
    this.#credit += bytes;
    if (this.#credit * 2 < this.#owner.receiveWindow || this.remoteEnded || this.#closed) return;
    const credit = this.#credit;
    this.#credit = 0;
    this.receiveWindow += credit;
    this.#owner.growWindow(this, credit);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(deliverLater, this);
  }

  /** Called by the scheduled turn. */
  deliverNow(): void {
    this.#scheduled = false;
    this.#deliver();
  }

  /** Tells the handler what waits, in order: data, trailers, end, close. */
  #deliver(): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    // A reset ends delivery at once; after END_STREAM the message is complete and is still handed over.
    if (this.#closed && !this.remoteEnded) this.#discard();
    while (this.#pending.bytes > 0) {
      if (this.#paused || this.#handler !== handler) return;
      const chunk = this.#pending.shift(this.#pending.bytes);
      handler.onData(chunk);
      this.#giveBack(chunk.length);
    }
    if (this.#handler === handler) this.#deliverEnds(handler);
    else this.#schedule();
  }

  #deliverEnds(handler: StreamHandler): void {
    if (this.remoteEnded && !this.#endTold) {
      this.#endTold = true;
      if (this.#receivedTrailers !== undefined) handler.onTrailers?.(this.#receivedTrailers);
      handler.onEnd();
    }
    if (!this.#closed || this.#closeTold) return;
    this.#closeTold = true;
    handler.onClose(this.#error);
  }
}

function deliverLater(stream: Stream): void {
  stream.deliverNow();
}

/** The error a stream ends with when the peer resets it. */
export function resetError(role: 'client' | 'server', code: ErrorCode): MeshError {
  const side = role === 'client' ? 'UPSTREAM_RESET' : 'DOWNSTREAM_CLOSED';
  return new MeshError(side, `the peer reset the HTTP/2 stream with ${code}`);
}
