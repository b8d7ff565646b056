import { chmodSync, closeSync, unlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../errors.ts';
import { type SystemCallError, libc, must, systemCallError } from './libc.ts';
import { type Message, closeAll, receiveMessage, sendMessage } from './message.ts';
import { DescriptorPoll } from './poll.ts';
import { AF_UNIX, unixAddress } from './socket-address.ts';

export { closeAll } from './message.ts';
export type { Message } from './message.ts';

const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** Between attempts to send to a peer whose buffer is full: libuv waits for one direction of a descriptor only. */
const SEND_RETRY_MS = 5;
/** Pause after accept failed for lack of descriptors. */
const ACCEPT_PAUSE_MS = 100;

/** What waiting for a packet can end in. */
export type Received = Message | 'timeout' | 'closed';

/**
 * A connected SOCK_SEQPACKET socket: packets keep their borders and carry file descriptors. It waits on the event
 * loop; no thread is blocked.
 */
export class SeqpacketSocket {
  readonly #fd: number;
  readonly #poll: DescriptorPoll;

  /** Takes the descriptor over. */
  constructor(fd: number) {
    this.#fd = fd;
    this.#poll = new DescriptorPoll(fd);
  }

  get closed(): boolean {
    return this.#poll.closed;
  }

  /**
   * Sends one packet whole. Descriptors are duplicated for the peer and stay open here.
   * @throws MeshError when the peer has gone or does not read within the time.
   */
  async send(bytes: Uint8Array, fds: readonly number[] = [], timeoutMs = 5000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (this.closed) throw new MeshError('UPSTREAM_CLOSED', 'cannot send: the socket is closed');
      const result = sendMessage(this.#fd, bytes, fds);
      if (result >= 0) return;
      const failure = systemCallError(result);
      if (failure.code !== 'EAGAIN' && failure.code !== 'EINTR')
        throw new MeshError('UPSTREAM_CLOSED', `cannot send: ${failure.message}`, { cause: failure });
      if (performance.now() >= deadline)
        throw new MeshError('TIMEOUT', `cannot send: the peer read nothing for ${timeoutMs} ms`);
      await delay(SEND_RETRY_MS);
    }
  }

  /** Waits for one packet of at most `limit` bytes; larger ones come truncated and say so. Its descriptors belong to the caller. */
  async receive(limit: number, timeoutMs?: number): Promise<Received> {
    for (;;) {
      const waited = await this.#poll.readable(timeoutMs);
      if (waited !== 'ready') return waited;
      const message = receiveMessage(this.#fd, limit);
      if (typeof message !== 'number') return message.bytes.length + message.fds.length === 0 ? 'closed' : message;
      const { code } = systemCallError(message);
      if (code !== 'EAGAIN' && code !== 'EINTR') return 'closed';
    }
  }

  /** Closes the socket; whoever waits learns of it. */
  close(): void {
    if (this.closed) return;
    this.#poll.close();
    closeSync(this.#fd);
  }
}

/**
 * Connects to a SOCK_SEQPACKET socket in the file system.
 * @throws MeshError CONNECT_REFUSED when nobody listens there.
 */
export function connectSeqpacket(path: string): SeqpacketSocket {
  const fd = openSocket();
  const result = libc().connect(fd, unixAddress(path));
  if (result === 0) return new SeqpacketSocket(fd);
  closeSync(fd);
  const cause = systemCallError(result);
  throw new MeshError('CONNECT_REFUSED', `cannot connect to ${path}: ${cause.message}`, { cause });
}

export interface SeqpacketListenOptions {
  readonly path: string;
  readonly backlog?: number;
  /** Permissions of the socket file, 0600 when absent. */
  readonly mode?: number;
}

/** A listening SOCK_SEQPACKET socket in the file system. */
export class SeqpacketListener {
  readonly #fd: number;
  readonly #path: string;
  readonly #poll: DescriptorPoll;

  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
    this.#poll = new DescriptorPoll(fd);
  }

  /** The next connection; undefined once the listener is closed. */
  async accept(): Promise<SeqpacketSocket | undefined> {
    for (;;) {
      if ((await this.#poll.readable()) === 'closed') return undefined;
      const result = libc().accept(this.#fd, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (result >= 0) return new SeqpacketSocket(result);
      if (isOutOfDescriptors(systemCallError(result))) await delay(ACCEPT_PAUSE_MS);
    }
  }

  /** Stops listening and removes the file. */
  close(): void {
    if (this.#poll.closed) return;
    this.#poll.close();
    closeSync(this.#fd);
    removeSocketFile(this.#path);
  }
}

/**
 * Listens on a path; a socket file left behind by an earlier process is replaced.
 * @throws MeshError CONFIG when the folder is missing or may not be written.
 */
export function listenSeqpacket(options: SeqpacketListenOptions): SeqpacketListener {
  const address = unixAddress(options.path);
  removeSocketFile(options.path);
  const fd = openSocket();
  try {
    must(`bind to ${options.path}`, libc().bind(fd, address));
    // Before listen(): until then nobody can connect, whatever the file's permissions.
    chmodSync(options.path, options.mode ?? 0o600);
    must(`listen on ${options.path}`, libc().listen(fd, options.backlog ?? 16));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return new SeqpacketListener(fd, options.path);
}

function openSocket(): number {
  return must('make a unix socket', libc().socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

function isOutOfDescriptors({ code }: SystemCallError): boolean {
  return code === 'EMFILE' || code === 'ENFILE' || code === 'ENOBUFS' || code === 'ENOMEM';
}

function removeSocketFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // ENOENT: nobody left one behind; anything else shows when binding fails
  }
}

/** Closes the descriptors of a packet that is not wanted. */
export function discard(message: Received): void {
  if (typeof message === 'object') closeAll(message.fds);
}
