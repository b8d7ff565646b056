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

/** From this size on a chunk waits for the ones that come in the same round of the event loop: one system call instead of many. */
const GATHER_FROM = 8192;
/** So much goes out at once, that the receiver has work while more comes in. */
const GATHER_UP_TO = 131_072;
/** What a socket may hold before its writer is asked to pause. */
const FULL = 262_144;

/**
 *   write(small)          → socket
 *   write(large) … write  → corked socket ─ 128 KiB, end of the round, end(), destroy() ─► one writev
 */
class SocketStream implements ByteStream {
  readonly #socket: Socket;
  readonly #endOfRound = (): void => {
    this.#scheduled = false;
    this.#release();
  };
  /** Held by our owner's cork(). */
  #corks = 0;
  /** Bytes that wait for the end of the round; -1: none does, and the socket is not corked by us. */
  #gathered = -1;
  #scheduled = false;
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
    const socket = this.#socket;
    if (!socket.writable) return true;
    if (chunk.length >= GATHER_FROM && this.#corks === 0) this.#gather();
    // Not the socket's own verdict: its limit is four TLS records.
    if (!socket.write(chunk) && socket.writableLength >= FULL) {
      this.#release();
      return socket.writableLength < FULL;
    }
    if (this.#gathered >= 0 && (this.#gathered += chunk.length) >= GATHER_UP_TO) this.#release();
    return true;
  }

  #gather(): void {
    if (this.#gathered >= 0) return;
    this.#gathered = 0;
    this.#socket.cork();
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#endOfRound);
  }

  #release(): void {
    if (this.#gathered < 0) return;
    this.#gathered = -1;
    this.#socket.uncork();
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
    this.#corks++;
    this.#socket.cork();
  }

  uncork(): void {
    if (this.#corks === 0) return;
    this.#corks--;
    this.#socket.uncork();
  }

  destroy(error?: Error): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    this.#release();
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
