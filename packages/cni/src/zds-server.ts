import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@ambit/common/errors';
import type { Netns } from '@ambit/common/linux/netns';
import { type SeqpacketListener, type SeqpacketSocket, listenSeqpacket } from '@ambit/common/linux/seqpacket';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { ZdsRequest } from './zds-codec.ts';
import { ZdsConnection, type ZdsTimeouts } from './zds-connection.ts';

/** A pod as the node agent is told of it. */
export interface ZdsPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Undefined when it is not at hand: an agent that has the pod already is told to keep it. */
  readonly netns: Netns | undefined;
}

export interface ZdsServerOptions {
  readonly socketPath: string;
  /** Every pod that is enrolled now: what a new agent is told first. */
  readonly pods: () => Iterable<ZdsPod>;
  /** A node agent has received the snapshot. */
  readonly onAgent?: () => void;
  readonly log: ScopedLogger;
  readonly timeouts?: Partial<ZdsTimeouts>;
}

const TIMEOUTS: ZdsTimeouts = { helloMs: 5000, writeMs: 5000, ackMs: 5000 };
const CONNECTIONS_PER_SECOND = 5;

/**
 * Hands pods over to node agents. Several may be connected while one replaces another: new pods go to the newest,
 * removals to all.
 */
export class ZdsServer implements AsyncDisposable {
  readonly #options: ZdsServerOptions;
  readonly #listener: SeqpacketListener;
  /** Oldest first. */
  readonly #connections: ZdsConnection[] = [];
  readonly #serving = new Set<Promise<void>>();
  #accepting: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: ZdsServerOptions) {
    this.#options = options;
    this.#listener = listenSeqpacket({ path: options.socketPath });
  }

  /** Listens; a socket left behind is replaced. @throws MeshError CONFIG when the path cannot be used. */
  static start(options: ZdsServerOptions): ZdsServer {
    const server = new ZdsServer(options);
    server.#accepting = server.#accept();
    return server;
  }

  /** How many node agents are connected. */
  get agents(): number {
    return this.#connections.length;
  }

  /**
   * Gives a pod to the newest agent.
   * @throws MeshError when there is none, when it ends before answering, or with its own words when it refuses.
   */
  async add(pod: ZdsPod): Promise<void> {
    const newest = this.#connections.at(-1);
    if (newest === undefined)
      throw new MeshError('DRAINING', 'no node agent is connected: it gets the pod when it comes');
    const refusal = await newest.request(addRequest(pod), pod.netns?.fd);
    if (refusal !== '') throw new MeshError('INTERNAL', `the node agent refused the pod: ${refusal.trim()}`);
  }

  /** Takes a pod from every agent; one that does not answer is disconnected and learns it from its next snapshot. */
  async remove(uid: string): Promise<void> {
    const answers = await Promise.allSettled(this.#connections.map((one) => one.request({ del: { uid } })));
    for (const answer of answers) {
      if (answer.status === 'rejected')
        this.#options.log.warn('a node agent left before it confirmed a removal', {
          uid,
          error: String(answer.reason),
        });
      else if (answer.value !== '')
        this.#options.log.warn('a node agent refused a removal', { uid, error: answer.value });
    }
  }

  /** Stops listening and disconnects all agents, which keep what they have. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    await this.#accepting;
    await Promise.all(this.#serving);
  }

  async #accept(): Promise<void> {
    const recent: number[] = [];
    while (!this.#closed) {
      const oldest = recent.length < CONNECTIONS_PER_SECOND ? undefined : recent.shift();
      const wait = oldest === undefined ? 0 : oldest + 1000 - performance.now();
      if (wait > 0) await delay(wait, undefined, { ref: false });
      const socket = await this.#listener.accept();
      if (socket === undefined) return;
      recent.push(performance.now());
      const serving = this.#serve(socket).finally(() => this.#serving.delete(serving));
      this.#serving.add(serving);
    }
  }

  async #serve(socket: SeqpacketSocket): Promise<void> {
    const { log } = this.#options;
    const connection = new ZdsConnection(socket, { ...TIMEOUTS, ...this.#options.timeouts });
    try {
      await connection.hello();
    } catch (error) {
      log.warn('a connection to the ZDS socket was no node agent', { error: String(error) });
      return;
    }
    if (this.#closed) return connection.close();
    // Registered before the snapshot is read: what changes in between is queued behind it, and nothing is lost.
    this.#connections.push(connection);
    log.info('node agent connected', { agents: this.#connections.length });
    const ended = connection.run();
    await this.#snapshot(connection);
    const reason = await ended;
    this.#connections.splice(this.#connections.indexOf(connection), 1);
    log.info('node agent disconnected', { agents: this.#connections.length, reason: reason.message });
  }

  /** All requests are queued in one go, so that no live change gets in front of SnapshotSent. */
  async #snapshot(connection: ZdsConnection): Promise<void> {
    const { log } = this.#options;
    const requests: Promise<void>[] = [];
    for (const pod of this.#options.pods()) {
      const request = pod.netns === undefined ? { keep: { uid: pod.uid } } : addRequest(pod);
      const answer = connection.request(request, pod.netns?.fd);
      requests.push(answer.then((error) => logRefusal(log, pod, error)));
    }
    requests.push(connection.request({ snapshotSent: {} }).then((error) => logRefusal(log, undefined, error)));
    try {
      await Promise.all(requests);
      this.#options.onAgent?.();
    } catch (error) {
      await Promise.allSettled(requests);
      log.warn('the snapshot did not reach the node agent', { error: String(error) });
    }
  }
}

function logRefusal(log: ScopedLogger, pod: ZdsPod | undefined, error: string): void {
  if (error === '') return;
  log.warn('the node agent refused a part of the snapshot', { uid: pod?.uid, pod: pod?.name, error });
}

function addRequest(pod: ZdsPod): ZdsRequest {
  const { uid, name, namespace, serviceAccount } = pod;
  return { add: { uid, workloadInfo: { name, namespace, serviceAccount } } };
}
