import { MeshError } from '@ambit/common/errors';
import { type SeqpacketSocket, discard } from '@ambit/common/linux/seqpacket';
import { ZDS_PACKET_BYTES, type ZdsRequest, checkHello, decodeAck, encodeRequest } from './zds-codec.ts';

export interface ZdsTimeouts {
  readonly helloMs: number;
  readonly writeMs: number;
  readonly ackMs: number;
}

interface Pending {
  readonly request: ZdsRequest;
  /** Descriptor of the pod's namespace, for Add. */
  readonly fd: number | undefined;
  readonly resolve: (error: string) => void;
  readonly reject: (error: MeshError) => void;
}

/**
 * One node agent's connection: requests go out one at a time and each waits for its acknowledgement.
 *
 *   connect ──hello (5 s)──► idle ──send──► waiting (5 s) ──ack──► idle
 *                             └── anything arrives: protocol error ──► closed ◄── end, timeout, bad packet
 */
export class ZdsConnection {
  readonly #socket: SeqpacketSocket;
  readonly #timeouts: ZdsTimeouts;
  readonly #queue: Pending[] = [];
  #waiting: Pending | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #failure: MeshError | undefined;

  constructor(socket: SeqpacketSocket, timeouts: ZdsTimeouts) {
    this.#socket = socket;
    this.#timeouts = timeouts;
  }

  /** @throws MeshError when the agent says nothing in time, or something else than hello. The connection is closed then. */
  async hello(): Promise<void> {
    try {
      const message = await this.#socket.receive(ZDS_PACKET_BYTES, this.#timeouts.helloMs);
      discard(message);
      if (typeof message === 'string') throw new MeshError('TIMEOUT', `the node agent sent no hello: ${message}`);
      checkHello(message.bytes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Reads acknowledgements until the connection ends; resolves with the reason. */
  async run(): Promise<MeshError> {
    while (this.#failure === undefined) {
      const message = await this.#socket.receive(ZDS_PACKET_BYTES);
      discard(message);
      if (typeof message === 'string')
        this.#fail(new MeshError('UPSTREAM_CLOSED', 'the node agent closed the connection'));
      else this.#answer(message.bytes, message.truncated);
    }
    return this.#failure;
  }

  /**
   * Sends a request when its turn comes; gives the error text of the acknowledgement, empty for success.
   * @throws MeshError when the connection ends before the acknowledgement.
   */
  request(request: ZdsRequest, fd?: number): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    if (this.#failure === undefined) this.#queue.push({ request, fd, resolve, reject });
    else reject(this.#failure);
    this.#next();
    return promise;
  }

  close(): void {
    this.#fail(new MeshError('DRAINING', 'the connection was closed'));
  }

  #next(): void {
    if (this.#waiting !== undefined) return;
    const pending = this.#queue.shift();
    if (pending === undefined) return;
    this.#waiting = pending;
    void this.#send(pending);
  }

  async #send(pending: Pending): Promise<void> {
    let bytes: Uint8Array;
    try {
      bytes = encodeRequest(pending.request);
    } catch (error) {
      // This request cannot be said; the connection is as good as before.
      this.#waiting = undefined;
      pending.reject(error instanceof MeshError ? error : new MeshError('INTERNAL', String(error)));
      this.#next();
      return;
    }
    const late = new MeshError('TIMEOUT', `the node agent did not acknowledge within ${this.#timeouts.ackMs} ms`);
    try {
      await this.#socket.send(bytes, pending.fd === undefined ? [] : [pending.fd], this.#timeouts.writeMs);
      if (this.#waiting === pending) this.#deadline = setTimeout(() => this.#fail(late), this.#timeouts.ackMs);
    } catch (error) {
      this.#fail(error instanceof MeshError ? error : new MeshError('INTERNAL', String(error)));
    }
  }

  #answer(bytes: Uint8Array, truncated: boolean): void {
    const pending = this.#waiting;
    if (pending === undefined) {
      this.#fail(new MeshError('CONFIG', 'the node agent spoke without being asked'));
      return;
    }
    try {
      if (truncated) throw new MeshError('CONFIG', `an acknowledgement is larger than ${ZDS_PACKET_BYTES} bytes`);
      const error = decodeAck(bytes);
      clearTimeout(this.#deadline);
      this.#deadline = undefined;
      this.#waiting = undefined;
      pending.resolve(error);
      this.#next();
    } catch (error) {
      this.#fail(error instanceof MeshError ? error : new MeshError('INTERNAL', String(error)));
    }
  }

  #fail(error: MeshError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearTimeout(this.#deadline);
    this.#socket.close();
    const waiting = this.#waiting === undefined ? [] : [this.#waiting];
    for (const pending of [...waiting, ...this.#queue.splice(0)]) pending.reject(error);
  }
}
