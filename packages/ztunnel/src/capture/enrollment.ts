import { type Netns, sameNetns } from '@ambit/common/linux/netns';
import type { Readiness } from '@ambit/common/lifecycle/readiness';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { PodInfo } from '../local-workload.ts';
import type { EventOutcome, PodEvent } from './pod-event.ts';

export const ENROLLMENT_TASK = 'workload proxy manager';

/** A pod that is being served. */
export interface RunningPod {
  /** Immediate: connections are cut. Graceful: they may finish until the deadline. */
  stop(mode: 'immediate' | 'graceful'): Promise<void>;
}

export interface EnrollmentOptions<Pod extends RunningPod> {
  /** Starts serving a pod; on rejection nothing is left open. The namespace stays the enrolment's. */
  readonly start: (pod: PodInfo, netns: Netns) => Promise<Pod>;
  readonly readiness: Readiness;
  readonly log: ScopedLogger;
}

interface Running<Pod> {
  readonly pod: PodInfo;
  readonly netns: Netns;
  readonly proxy: Pod;
}

interface Pending {
  readonly pod: PodInfo;
  readonly netns: Netns;
  readonly error: string;
}

const DONE: EventOutcome = { kind: 'done' };

/**
 * Which pods are served, driven by the events of the CNI, one after another.
 *
 *              add                     start fails
 *   (unknown) ─────► running ◄───────┐ ─────────► pending (retried)
 *       ▲              │ del, or not named by a snapshot │
 *       └──────────────┴─────────────────────────────────┘
 *
 * Ready when a snapshot is complete and nothing is pending; until then readiness names each pod that is.
 */
export class Enrollment<Pod extends RunningPod> {
  readonly #options: EnrollmentOptions<Pod>;
  readonly #running = new Map<string, Running<Pod>>();
  readonly #pending = new Map<string, Pending>();
  /** Uids named since this connection began. */
  readonly #named = new Set<string>();
  #snapshotComplete = false;
  #turn: Promise<unknown> = Promise.resolve();
  #markReady: (() => void) | undefined;
  /** Each pod that waits is a task of its own, so that readiness names it. */
  readonly #waiting = new Map<string, () => void>();
  #stopped = false;
  #started = 0;
  #ended = 0;

  constructor(options: EnrollmentOptions<Pod>) {
    this.#options = options;
    this.#markReady = options.readiness.task(ENROLLMENT_TASK);
  }

  get counts(): { active: number; pending: number; started: number; stopped: number } {
    return { active: this.#running.size, pending: this.#pending.size, started: this.#started, stopped: this.#ended };
  }

  running(): { pod: PodInfo; proxy: Pod }[] {
    return [...this.#running.values()];
  }

  pending(): { pod: PodInfo; error: string }[] {
    return [...this.#pending.values()];
  }

  /** A new connection to the source: it names every pod again. */
  connected(): Promise<void> {
    return this.#inTurn(async () => {
      this.#named.clear();
      for (const uid of this.#pending.keys()) this.#dropPending(uid);
      this.#snapshotComplete = false;
      this.#updateReadiness();
    });
  }

  /** The source is gone: what runs goes on, but pods may be missed. */
  disconnected(): Promise<void> {
    return this.#inTurn(async () => {
      this.#snapshotComplete = false;
      this.#updateReadiness();
    });
  }

  handle(event: PodEvent): Promise<EventOutcome> {
    return this.#inTurn(async () => {
      const outcome = await this.#apply(event);
      this.#updateReadiness();
      return outcome;
    });
  }

  /** Tries again to start what could not be started. */
  retryPending(): Promise<void> {
    return this.#inTurn(async () => {
      const waiting = [...this.#pending.values()];
      this.#pending.clear();
      for (const { pod, netns } of waiting) await this.#start(pod, netns);
      this.#updateReadiness();
    });
  }

  /** Ends every pod, and serves no more. */
  stopAll(mode: 'immediate' | 'graceful'): Promise<void> {
    return this.#inTurn(async () => {
      this.#stopped = true;
      for (const uid of this.#pending.keys()) this.#dropPending(uid);
      await Promise.all([...this.#running.keys()].map((uid) => this.#stop(uid, mode)));
    });
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #apply(event: PodEvent): Promise<EventOutcome> {
    switch (event.kind) {
      case 'add':
        return this.#add(event);
      case 'keep':
        if (this.#snapshotComplete) return { kind: 'fatal', error: `keep of pod ${event.uid} after the snapshot` };
        this.#named.add(event.uid);
        return DONE;
      case 'del':
        return this.#del(event.uid);
      case 'snapshot-sent':
        return this.#snapshot();
      default:
        return event satisfies never;
    }
  }

  async #add({ uid, info, netns }: Extract<PodEvent, { kind: 'add' }>): Promise<EventOutcome> {
    if (info === undefined) {
      netns.close();
      return { kind: 'fatal', error: `pod ${uid} was added without workload_info` };
    }
    if (this.#stopped) {
      netns.close();
      return { kind: 'failed', error: 'this agent is shutting down' };
    }
    this.#named.add(uid);
    this.#dropPending(uid);
    const running = this.#running.get(uid);
    if (running !== undefined && sameNetns(running.netns, netns)) {
      netns.close();
      return DONE;
    }
    if (running !== undefined) await this.#stop(uid, 'immediate');
    return this.#start(info, netns);
  }

  async #start(pod: PodInfo, netns: Netns): Promise<EventOutcome> {
    try {
      const proxy = await this.#options.start(pod, netns);
      this.#started++;
      this.#running.set(pod.uid, { pod, netns, proxy });
      this.#options.log.info('pod received, starting proxy', { ...logged(pod) });
      return DONE;
    } catch (cause) {
      const error = cause instanceof Error ? cause.message : String(cause);
      this.#options.log.warn('failed to start proxy, will retry', { ...logged(pod), error });
      this.#pending.set(pod.uid, { pod, netns, error });
      return { kind: 'failed', error };
    }
  }

  async #del(uid: string): Promise<EventOutcome> {
    this.#named.delete(uid);
    this.#dropPending(uid);
    if (this.#snapshotComplete) await this.#stop(uid, 'immediate');
    return DONE;
  }

  async #snapshot(): Promise<EventOutcome> {
    if (this.#snapshotComplete) return { kind: 'fatal', error: 'a second snapshot on one connection' };
    this.#snapshotComplete = true;
    const gone = [...this.#running.keys()].filter((uid) => !this.#named.has(uid));
    this.#named.clear();
    await Promise.all(gone.map((uid) => this.#stop(uid, 'immediate')));
    return DONE;
  }

  async #stop(uid: string, mode: 'immediate' | 'graceful'): Promise<void> {
    const running = this.#running.get(uid);
    if (running === undefined) return;
    this.#running.delete(uid);
    this.#ended++;
    this.#options.log.info('pod deleted, stopping proxy', { ...logged(running.pod) });
    try {
      await running.proxy.stop(mode);
    } finally {
      running.netns.close();
    }
  }

  #dropPending(uid: string): void {
    this.#pending.get(uid)?.netns.close();
    this.#pending.delete(uid);
  }

  #updateReadiness(): void {
    for (const [name, done] of this.#waiting) {
      done();
      this.#waiting.delete(name);
    }
    for (const { pod } of this.#pending.values()) {
      const name = `pod ${pod.namespace}/${pod.name}`;
      if (!this.#waiting.has(name)) this.#waiting.set(name, this.#options.readiness.task(name));
    }
    const ready = this.#snapshotComplete && this.#pending.size === 0;
    if (ready) {
      this.#markReady?.();
      this.#markReady = undefined;
    } else this.#markReady ??= this.#options.readiness.task(ENROLLMENT_TASK);
  }
}

const logged = (pod: PodInfo): { uid: string; name: string; namespace: string } => ({
  uid: pod.uid,
  name: pod.name,
  namespace: pod.namespace,
});
