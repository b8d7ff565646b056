import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ByteSink, ByteStream } from './byte-stream.ts';

/**
 * Gives a TCP or TLS socket the ByteStream contract. The socket belongs to the stream from now on; half-close is allowed on it.
 * Reading starts with attach(); an end, an error or a close before that is kept and told then, in that order.
 */
export function socketStream(socket: Socket): ByteStream {
  return new SocketStream(socket);
}

class SocketStream implements ByteStream {
  readonly #socket: Socket;
  #sink: ByteSink | undefined;
  #error: Error | undefined;
  #closed: boolean;
  /** onClose was delivered or is scheduled. */
  #told = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed = socket.closed;
    this.#error = socket.errored ?? undefined;
    socket.allowHalfOpen = true;
    socket.on('error', (error) => (this.#error ??= error));
    socket.on('close', () => this.#onClose());
  }

  attach(sink: ByteSink): void {
    const first = this.#sink === undefined;
    this.#sink = sink;
    if (!first) return;
    const socket = this.#socket;
    const missed = socket.readableEnded;
    if (missed || this.#closed) process.nextTick(() => this.#tellMissed(missed));
    if (this.#closed) return;
    socket.on('end', () => this.#sink?.onEnd());
    socket.on('drain', () => this.#sink?.onDrain());
    socket.on('data', (chunk: Buffer) => this.#sink?.onData(chunk));
  }

  write(chunk: Uint8Array): boolean {
    return this.#socket.writable ? this.#socket.write(chunk) : true;
  }

  end(): void {
    if (this.#socket.writable) this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  destroy(error?: Error): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    this.#error ??= error;
    // Node's resetAndDestroy() flushes and sends FIN first, which a peer takes for a clean end. Its own flag makes destroy() itself
    // send RST; that fails while a shutdown is under way, and only TCP handles know it.
    const shuttingDown = socket.writableEnded && !socket.writableFinished;
    if (!shuttingDown && !socket.connecting && socket.remoteAddress !== undefined && !(socket instanceof TLSSocket))
      Reflect.set(socket, 'resetAndClosing', true);
    socket.destroy();
  }

  #onClose(): void {
    this.#closed = true;
    if (this.#sink !== undefined) this.#tell();
  }

  /** What happened before anybody listened. The socket may close between attach() and this call: the end still comes first. */
  #tellMissed(ended: boolean): void {
    if (this.#told) return;
    if (ended) this.#sink?.onEnd();
    if (this.#closed) this.#tell();
  }

  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    this.#sink?.onClose(this.#error);
  }
}
