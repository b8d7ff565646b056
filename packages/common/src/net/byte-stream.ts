/**
 * One bidirectional stream of bytes with half-close: a TCP socket, a TLS socket, a tunnel, an HTTP/2 stream.
 * The contract that everything on the data path speaks; no promise, closure or object per chunk.
 *
 *   attach(sink) starts delivery: onData* → onEnd (the peer half-closed) → onClose (exactly once, last).
 *   write() === false asks the writer to pause its source until onDrain.
 */
export interface ByteStream {
  /** Sets the receiver and starts delivery. A second call replaces the receiver (protocol hand-over); data never arrives inside the call itself. */
  attach(sink: ByteSink): void;
  /** Queues bytes, which must not be changed afterwards. False: pause until onDrain. After end() or close it does nothing. */
  write(chunk: Uint8Array): boolean;
  /** Half-closes: no more writes; reading goes on. */
  end(): void;
  /** Stops delivery of data (a few chunks already in flight may still come). */
  pause(): void;
  resume(): void;
  /** Gathers writes into one system call until uncork(). */
  cork(): void;
  uncork(): void;
  /** Ends both directions at once, abruptly (TCP RST, RST_STREAM). onClose follows with the error. */
  destroy(error?: Error): void;
}

export interface ByteSink {
  /** The chunk belongs to the receiver only during the call: what is kept longer must be copied, unless it is passed on by write(). */
  onData(chunk: Uint8Array): void;
  onEnd(): void;
  onDrain(): void;
  onClose(error: Error | undefined): void;
}
