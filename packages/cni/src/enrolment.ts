import { MeshError } from '@ambit/common/errors';
import { Backoff } from '@ambit/common/lifecycle/backoff';
import { Scope } from '@ambit/common/lifecycle/scope';
import { type Netns, openNetns, sameNetns } from '@ambit/common/linux/netns';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { applyRules, removeRules } from './apply-rules.ts';
import { type EnrolmentPod, type PodEffects, PodEnrolment, type RedirectionState } from './pod-enrolment.ts';
import { type ZdsPod, ZdsServer } from './zds-server.ts';

export type { EnrolmentPod, RedirectionState } from './pod-enrolment.ts';

export interface EnrolmentOptions {
  /** Every pod of this node, as it is wanted now; pods that are not listed no longer exist. */
  readonly pods: () => Iterable<EnrolmentPod>;
  /** Subscribes to "look again"; gives the way to unsubscribe. */
  readonly onChange: (look: () => void) => () => void;
  readonly socketPath: string;
  /** The value for the pod's annotation `ambient.istio.io/redirection` has changed; undefined removes it. */
  readonly onEnrolled: (pod: EnrolmentPod, annotation: RedirectionState) => void;
  readonly log: ScopedLogger;
  readonly signal: AbortSignal;
  /** Other effects on the world, for tests. */
  readonly rules?: Pick<PodEffects, 'applyRules' | 'removeRules'>;
}

export interface Enrolment {
  /** How many node agents are connected. */
  readonly agents: number;
  /** The state of a pod. */
  state(uid: string): RedirectionState;
  /** Resolves when every attempt that was under way is over; some may be waiting for their next one. */
  settled(): Promise<void>;
  /** Resolves after everything is closed; pods stay as they are. */
  readonly closed: Promise<void>;
}

const RETRY = { initialMs: 100, maxMs: 15_000, jitter: 0.2 } as const;

/**
 * Keeps the pods of this node enrolled as they are wanted: rules in the pod's namespace first, then the hand-over to the
 * node agent. Agents may come, go and be replaced at any time. Ends with the signal.
 * @throws MeshError CONFIG when the socket cannot be listened on.
 */
export function startEnrolment(options: EnrolmentOptions): Enrolment {
  const scope = new Scope('enrolment');
  const set = new EnrolmentSet(options);
  scope.defer(() => set.close());
  scope.defer(options.onChange(() => set.look()));
  set.look();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const failed = (error: unknown): void => options.log.warn('enrolment did not end cleanly', { error: String(error) });
  const end = (): void => void scope[Symbol.asyncDispose]().catch(failed).finally(resolve);
  if (options.signal.aborted) end();
  else options.signal.addEventListener('abort', end, { once: true });
  return {
    get agents() {
      return set.agents;
    },
    state: (uid) => set.state(uid),
    settled: () => set.settled(),
    closed,
  };
}

class EnrolmentSet {
  readonly #options: EnrolmentOptions;
  readonly #pods = new Map<string, PodEnrolment>();
  readonly #server: ZdsServer;
  readonly #effects: PodEffects;
  /** This program's own namespace, which must never get the rules. */
  readonly #own: Netns;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
    this.#own = openNetns('/proc/thread-self/ns/net');
    const server = ZdsServer.start({
      socketPath: options.socketPath,
      pods: () => this.#snapshot(),
      onAgent: () => this.#kickAll(),
      log: options.log,
    });
    this.#server = server;
    this.#effects = {
      applyRules,
      removeRules,
      ...options.rules,
      open: (pod) => this.#open(pod),
      announce: (pod) => server.add(pod),
      withdraw: (uid) => server.remove(uid),
      onState: options.onEnrolled,
      log: options.log,
      backoff: () => new Backoff(RETRY),
    };
  }

  get agents(): number {
    return this.#server.agents;
  }

  state(uid: string): RedirectionState {
    return this.#pods.get(uid)?.state;
  }

  /** Compares what is wanted with what is known. Pods that go come first, so that a namespace is free for its next pod. */
  look(): void {
    const wanted = new Map<string, EnrolmentPod>();
    for (const pod of this.#options.pods()) wanted.set(pod.uid, pod);
    for (const [uid, enrolment] of this.#pods) {
      if (enrolment.finished) this.#pods.delete(uid);
      else if (!wanted.has(uid)) enrolment.want(undefined);
    }
    for (const pod of wanted.values()) {
      const known = this.#pods.get(pod.uid);
      if (known !== undefined) known.want(pod);
      else if (pod.enrol) this.#begin(pod);
    }
  }

  async settled(): Promise<void> {
    await Promise.all([...this.#pods.values()].map((one) => one.settled()));
  }

  async close(): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await Promise.all([...this.#pods.values()].map((one) => one.stop()));
    this.#own.close();
  }

  #begin(pod: EnrolmentPod): void {
    const enrolment = new PodEnrolment(pod, this.#effects);
    this.#pods.set(pod.uid, enrolment);
    enrolment.want(pod);
  }

  *#snapshot(): Iterable<ZdsPod> {
    for (const enrolment of this.#pods.values()) {
      const pod = enrolment.zdsPod;
      if (pod !== undefined) yield pod;
    }
  }

  /** Pods that wait for an agent need not wait for their next attempt. */
  #kickAll(): void {
    for (const enrolment of this.#pods.values()) if (enrolment.state === 'pending') enrolment.kick();
  }

  /** A pod paired with another's namespace would speak with its identity; one paired with the node's would capture the node. */
  #open(pod: EnrolmentPod): Netns {
    const netns = openNetns(pod.netnsPath);
    const problem = this.#conflict(pod.uid, netns);
    if (problem === undefined) return netns;
    netns.close();
    throw new MeshError('CONFIG', `${pod.namespace}/${pod.name} is not enrolled: ${problem}`);
  }

  #conflict(uid: string, netns: Netns): string | undefined {
    if (sameNetns(this.#own, netns)) return "its network namespace is the node's own";
    for (const [other, enrolment] of this.#pods)
      if (other !== uid && enrolment.netns !== undefined && sameNetns(enrolment.netns, netns))
        return `its network namespace belongs to the pod with uid ${other}`;
    return undefined;
  }
}
