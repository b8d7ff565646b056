import { MeshError } from '@ambit/common/errors';
import type { Backoff } from '@ambit/common/lifecycle/backoff';
import { type Netns, sameNetns } from '@ambit/common/linux/netns';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { RedirectOptions } from './redirect-rules.ts';
import type { ZdsPod } from './zds-server.ts';

/** A pod of this node and what is wanted for it. */
export interface EnrolmentPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly netnsPath: string;
  /** Its traffic is to be captured. */
  readonly enrol: boolean;
  readonly dnsCapture: boolean;
  readonly bypassInbound: boolean;
  readonly ipv6: boolean;
  readonly virtualInterfaces?: readonly string[];
}

/** `enabled`: captured. `pending`: rules are in force, the node agent has not taken it yet. Undefined: not captured. */
export type RedirectionState = 'enabled' | 'pending' | undefined;

/** What enrolling a pod does to the world. */
export interface PodEffects {
  /** @throws MeshError when the namespace may not be enrolled. */
  open(pod: EnrolmentPod): Netns;
  applyRules(netns: Netns, options: RedirectOptions): Promise<void>;
  removeRules(netns: Netns): Promise<void>;
  announce(pod: ZdsPod): Promise<void>;
  withdraw(uid: string): Promise<void>;
  onState(pod: EnrolmentPod, state: RedirectionState): void;
  readonly log: ScopedLogger;
  readonly backoff: () => Backoff;
}

/**
 * One pod on its way to what is wanted for it, level-triggered: each step looks at what is wanted now and at what is in
 * force, and is tried again, later and later, until both agree.
 *
 *   nothing ──open netns──► opened ──rules──► ruled ──ZDS Add acknowledged──► enrolled
 *      ◄──────────────── ZDS Del, remove rules ─────────────────────────────────┘
 */
export class PodEnrolment {
  readonly #effects: PodEffects;
  readonly #backoff: Backoff;
  /** The newest version seen; a pod that is gone keeps its last one. */
  #pod: EnrolmentPod;
  #gone = false;
  #netns: Netns | undefined;
  /** The rules in force, as text to compare. */
  #rules: string | undefined;
  #announced = false;
  #state: RedirectionState;
  #dirty = false;
  #active = false;
  #running: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(pod: EnrolmentPod, effects: PodEffects) {
    this.#pod = pod;
    this.#effects = effects;
    this.#backoff = effects.backoff();
  }

  get state(): RedirectionState {
    return this.#state;
  }

  get netns(): Netns | undefined {
    return this.#netns;
  }

  /**
   * What a new node agent is told. Before the rules are in force that is no namespace: an agent that serves the pod
   * already, as after a restart of this program, keeps it, and another one waits.
   */
  get zdsPod(): ZdsPod | undefined {
    if (this.#gone || !this.#pod.enrol) return undefined;
    const { uid, name, namespace, serviceAccount } = this.#pod;
    return { uid, name, namespace, serviceAccount, netns: this.#rules === undefined ? undefined : this.#netns };
  }

  /** Nothing is left to do for a pod that is gone. */
  get finished(): boolean {
    return this.#gone && this.#netns === undefined && !this.#active;
  }

  /** Takes what is wanted now; undefined when the pod no longer exists. */
  want(pod: EnrolmentPod | undefined): void {
    const same = pod !== undefined && !this.#gone && JSON.stringify(pod) === JSON.stringify(this.#pod);
    this.#gone = pod === undefined;
    if (pod !== undefined) this.#pod = pod;
    // A pod that fails keeps its distance between attempts, however often others change.
    if (!same || this.#retry === undefined) this.kick();
  }

  /** Looks again at once, such as when a node agent has come. */
  kick(): void {
    this.#dirty = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#stopped) return;
    if (this.#active) return;
    this.#active = true;
    this.#running = this.#run();
  }

  /** Resolves when the present attempts are over. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** Stops trying and closes the namespace; what is in force stays. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#running;
    this.#close();
  }

  async #run(): Promise<void> {
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      try {
        await (this.#pod.enrol && !this.#gone ? this.#enrol() : this.#release());
        this.#backoff.reset();
      } catch (error) {
        this.#later(error);
      }
    }
    // In the same turn as the last look at #dirty, so that no kick falls in between.
    this.#active = false;
  }

  async #enrol(): Promise<void> {
    const pod = this.#pod;
    await this.#enter(pod);
    const netns = this.#netns;
    if (netns === undefined) return;
    const options = redirectOptions(pod);
    const rules = JSON.stringify(options);
    if (this.#rules !== rules) {
      await this.#effects.applyRules(netns, options);
      this.#rules = rules;
    }
    if (this.#announced) return;
    this.#become(this.#state ?? 'pending');
    const { uid, name, namespace, serviceAccount } = pod;
    await this.#effects.announce({ uid, name, namespace, serviceAccount, netns });
    this.#announced = true;
    this.#become('enabled');
  }

  /** The path may name another namespace than before: identity is device and inode, never the path. */
  async #enter(pod: EnrolmentPod): Promise<void> {
    const found = this.#effects.open(pod);
    if (this.#netns !== undefined && sameNetns(this.#netns, found)) {
      found.close();
      return;
    }
    if (this.#netns !== undefined) await this.#forget();
    this.#netns = found;
  }

  async #release(): Promise<void> {
    const netns = this.#netns;
    if (netns === undefined) return;
    // The agent first: it can reset open connections only while the kernel still translates for it. Until the rules are gone
    // new connections are refused, never silently stuck.
    await this.#withdraw();
    // A pod that has ended takes its namespace, and with it the rules, along.
    if (!this.#gone && this.#rules !== undefined) await this.#effects.removeRules(netns);
    this.#leave();
  }

  async #forget(): Promise<void> {
    await this.#withdraw();
    this.#leave();
  }

  async #withdraw(): Promise<void> {
    await this.#effects.withdraw(this.#pod.uid);
    this.#announced = false;
  }

  #leave(): void {
    this.#rules = undefined;
    this.#close();
    this.#become(undefined);
  }

  #close(): void {
    this.#netns?.close();
    this.#netns = undefined;
  }

  #become(state: RedirectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#effects.onState(this.#pod, state);
  }

  #later(error: unknown): void {
    const delayMs = this.#backoff.next();
    const { name, namespace, uid } = this.#pod;
    // DRAINING: there is no node agent, which is how every start looks for a moment.
    const level = error instanceof MeshError && error.code === 'DRAINING' ? 'info' : 'warn';
    this.#effects.log[level]('pod is not enrolled as wanted yet', {
      pod: `${namespace}/${name}`,
      uid,
      error: error instanceof Error ? error.message : String(error),
      retry: `${Math.round(delayMs)}ms`,
    });
    if (this.#stopped) return;
    this.#retry = setTimeout(() => this.kick(), delayMs);
  }
}

function redirectOptions(pod: EnrolmentPod): RedirectOptions {
  const { dnsCapture, bypassInbound, ipv6, virtualInterfaces = [] } = pod;
  return { dnsCapture, bypassInbound, ipv6, virtualInterfaces };
}
