import { type PollHandle, libc } from './libc.ts';

export type WaitResult = 'ready' | 'timeout' | 'closed';

/** Waits for a socket on the event loop, without a thread. One waiter at a time; closing wakes it. */
export class DescriptorPoll {
  readonly #fd: number;
  #handle: PollHandle | undefined;
  #waiter: ((result: WaitResult) => void) | undefined;
  #closed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when reading gives bytes, a connection, or the end; without a time limit when none is given. */
  readable(timeoutMs?: number): Promise<WaitResult> {
    if (this.#closed) return Promise.resolve('closed');
    if (this.#waiter !== undefined) throw new Error(`descriptor ${this.#fd} is already being waited for`);
    const { promise, resolve } = Promise.withResolvers<WaitResult>();
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#settle('timeout'), timeoutMs);
    this.#waiter = (result) => {
      clearTimeout(timer);
      resolve(result);
    };
    // koffi calls back outside of Node's callback scope, where promises would not go on before something else happens.
    const onReady = (): void => void setImmediate(() => this.#settle('ready'));
    if (this.#handle === undefined) this.#handle = libc().pollReadable(this.#fd, onReady);
    else this.#handle.start({ readable: true }, onReady);
    return promise;
  }

  /** Must come before the descriptor itself is closed. */
  close(): void {
    if (this.#closed) return;
    this.#settle('closed');
    this.#closed = true;
    this.#handle?.close();
  }

  #settle(result: WaitResult): void {
    if (this.#closed) return;
    this.#handle?.stop();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.(result);
  }
}
