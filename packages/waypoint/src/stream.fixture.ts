import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';

/** One end of a connection in memory: what one end writes the other receives, in order and later. */
export class MemoryStream implements ByteStream {
  peer: MemoryStream | undefined;
  #sink: ByteSink | undefined;
  #queue: (() => void)[] = [];
  #scheduled = false;
  #paused = false;
  #closed = false;
  ended = false;
  destroyed = false;
  /** What write() answers. */
  room = true;

  static pair(): [MemoryStream, MemoryStream] {
    const a = new MemoryStream();
    const b = new MemoryStream();
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  get paused(): boolean {
    return this.#paused;
  }

  attach(sink: ByteSink): void {
    this.#sink = sink;
    this.#schedule();
  }

  write(chunk: Uint8Array): boolean {
    if (this.ended || this.#closed) return true;
    this.peer?.deliver((sink) => sink.onData(chunk));
    return this.room;
  }

  end(): void {
    if (this.ended || this.#closed) return;
    this.ended = true;
    this.peer?.deliver((sink) => sink.onEnd());
    if (this.peer?.ended === true) this.#closeBoth(undefined);
  }

  drain(): void {
    this.room = true;
    this.#sink?.onDrain();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  cork(): void {}

  uncork(): void {}

  destroy(error?: Error): void {
    this.destroyed = true;
    this.#closeBoth(error ?? new Error('reset'));
  }

  deliver(event: (sink: ByteSink) => void): void {
    this.#queue.push(() => this.#sink !== undefined && event(this.#sink));
    this.#schedule();
  }

  #closeBoth(error: Error | undefined): void {
    for (const side of [this, this.peer]) {
      if (side === undefined || side.#closed) continue;
      side.#closed = true;
      side.#paused = false;
      side.deliver((sink) => sink.onClose(side.destroyed ? undefined : error));
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#sink !== undefined && !this.#paused && this.#queue.length > 0) this.#queue.shift()?.();
    });
  }
}

/** What the client at the far end of a tunnel received. */
export class TestClient<Stream extends ByteStream = MemoryStream> implements ByteSink {
  readonly stream: Stream;
  received = '';
  ended = false;
  closed = false;

  constructor(stream: Stream) {
    this.stream = stream;
    stream.attach(this);
  }

  send(text: string): void {
    this.stream.write(Buffer.from(text, 'latin1'));
  }

  onData(chunk: Uint8Array): void {
    this.received += Buffer.from(chunk).toString('latin1');
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {}

  onClose(): void {
    this.closed = true;
  }
}
