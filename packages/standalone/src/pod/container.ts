import { Backoff } from '@ambit/common/lifecycle/backoff';
import type { LogFile } from './log-file.ts';
import { type ProbeTarget, Prober } from './probe.ts';
import type { Exit, RunningProcess } from './process.ts';
import type { ContainerSpec, PodSpec, ProbeSpec } from './spec.ts';

/** What a container is doing, as `containerStatuses` tells it. */
export type ContainerState =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message: string }
  | { readonly kind: 'running'; readonly startedAt: string }
  | {
      readonly kind: 'terminated';
      readonly exitCode: number;
      readonly reason: string;
      readonly message: string;
      readonly startedAt: string;
      readonly finishedAt: string;
    };

export interface ContainerStatus {
  readonly spec: ContainerSpec;
  readonly state: ContainerState;
  readonly lastState: ContainerState | undefined;
  readonly restarts: number;
  readonly started: boolean;
  readonly ready: boolean;
  /** Why it is not ready although it runs. */
  readonly unready: string;
}

export interface ContainerDeps {
  readonly spec: ContainerSpec;
  readonly restartPolicy: PodSpec['restartPolicy'];
  readonly log: LogFile;
  /** Starts the process, or says what is missing for that. */
  readonly start: () => RunningProcess | string;
  readonly target: (process: RunningProcess) => ProbeTarget;
  readonly onChange: () => void;
  readonly now?: () => Date;
}

/** Kubernetes begins at 10 s; one machine with local programs can try sooner. */
const RESTART_DELAY = { initialMs: 1000, maxMs: 300_000 };
/** A run this long makes the next failure the first one again. */
const STABLE_MS = 600_000;
const KILL_MARGIN_MS = 2000;

/**
 * One container: its process, its restarts, its probes.
 *
 *   waiting ──start──► running ──exit──► terminated ──(restart policy)──► waiting: CrashLoopBackOff ──delay──► running
 */
export class Container {
  readonly spec: ContainerSpec;
  readonly log: LogFile;
  /** Resolves when the container will not run again. */
  readonly finished: Promise<void>;
  readonly #deps: ContainerDeps;
  readonly #backoff = new Backoff(RESTART_DELAY);
  #resolveFinished: () => void = () => {};
  #state: ContainerState = { kind: 'waiting', reason: 'ContainerCreating', message: '' };
  #lastState: ContainerState | undefined;
  #process: RunningProcess | undefined;
  #probers: Prober[] = [];
  #timer: NodeJS.Timeout | undefined;
  #restarts = 0;
  #started = false;
  #ready = false;
  #unready = '';
  #stopping = false;
  #killedBy = '';

  constructor(deps: ContainerDeps) {
    this.spec = deps.spec;
    this.log = deps.log;
    this.#deps = deps;
    this.finished = new Promise((resolve) => (this.#resolveFinished = resolve));
  }

  get status(): ContainerStatus {
    return {
      spec: this.spec,
      state: this.#state,
      lastState: this.#lastState,
      restarts: this.#restarts,
      started: this.#started,
      ready: this.#ready,
      unready: this.#unready,
    };
  }

  /** The running process; undefined between runs. */
  get process(): RunningProcess | undefined {
    return this.#process;
  }

  run(): void {
    if (this.#stopping) return;
    const started = this.#deps.start();
    if (typeof started === 'string') {
      this.#state = { kind: 'waiting', reason: 'CreateContainerConfigError', message: started };
      this.#retry();
      this.#deps.onChange();
      return;
    }
    const startedAt = this.#now();
    this.#process = started;
    this.#state = { kind: 'running', startedAt };
    void started.exited.then((exit) => this.#ended(exit, startedAt));
    this.#startProbes(started);
    this.#deps.onChange();
  }

  /** Tries again at once if the container waits for something that may be there now. */
  nudge(): void {
    if (this.#stopping || this.#state.kind !== 'waiting' || this.#state.reason !== 'CreateContainerConfigError') return;
    clearTimeout(this.#timer);
    this.#backoff.reset();
    this.run();
  }

  /** Ends the container for good: SIGTERM, then SIGKILL after the grace period. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    this.#stopProbes();
    const running = this.#process;
    if (running === undefined) this.#resolveFinished();
    else {
      running.kill('SIGTERM');
      const hard = setTimeout(() => running.kill('SIGKILL'), graceMs);
      // a process that even SIGKILL does not end (waiting for a disk) must not hold everything else up
      const giveUp = setTimeout(() => this.#resolveFinished(), graceMs + KILL_MARGIN_MS);
      await this.finished;
      clearTimeout(hard);
      clearTimeout(giveUp);
    }
  }

  #ended(exit: Exit, startedAt: string): void {
    this.#process = undefined;
    this.#stopProbes();
    const finishedAt = this.#now();
    const reason = exit.code === 0 ? 'Completed' : 'Error';
    const signal = exit.signal === undefined ? '' : `ended by ${exit.signal}`;
    const message = this.#killedBy || signal;
    this.#killedBy = '';
    this.#state = { kind: 'terminated', exitCode: exit.code, reason, message, startedAt, finishedAt };
    this.#started = this.#ready = false;
    if (this.#stopping || !this.#restartsAfter(exit)) this.#resolveFinished();
    else this.#scheduleRestart(Date.parse(finishedAt) - Date.parse(startedAt));
    this.#deps.onChange();
  }

  #restartsAfter(exit: Exit): boolean {
    if (this.#deps.restartPolicy === 'Always') return true;
    return this.#deps.restartPolicy === 'OnFailure' && exit.code !== 0;
  }

  #scheduleRestart(ranMs: number): void {
    if (ranMs >= STABLE_MS) this.#backoff.reset();
    this.#lastState = this.#state;
    const delay = this.#retry(() => (this.#restarts += 1));
    const message = `back-off ${Math.round(delay / 1000)}s restarting failed container ${this.spec.name}`;
    this.#state = { kind: 'waiting', reason: 'CrashLoopBackOff', message };
  }

  #retry(before: () => void = () => {}): number {
    const delay = this.#backoff.next();
    this.#timer = setTimeout(() => {
      before();
      this.run();
    }, delay);
    return delay;
  }

  #startProbes(process: RunningProcess): void {
    const { startup, readiness, liveness } = this.spec;
    const target = this.#deps.target(process);
    const probe = (spec: ProbeSpec, onHealthy: () => void, onSick: (reason: string) => void): void => {
      const prober = new Prober(spec, target, (verdict) => (verdict.healthy ? onHealthy() : onSick(verdict.reason)));
      this.#probers.push(prober);
    };
    const afterStartup = (): void => {
      this.#started = true;
      this.#ready = readiness === undefined;
      this.#unready = readiness === undefined ? '' : 'readiness probe has not succeeded yet';
      if (readiness !== undefined)
        probe(
          readiness,
          () => this.#setReady(true, ''),
          (reason) => this.#setReady(false, reason),
        );
      if (liveness !== undefined)
        probe(
          liveness,
          () => {},
          (reason) => this.#kill(process, `liveness probe failed: ${reason}`),
        );
      this.#deps.onChange();
    };
    if (startup === undefined) return afterStartup();
    this.#unready = 'startup probe has not succeeded yet';
    const ready = (): void => {
      this.#stopProbes();
      afterStartup();
    };
    probe(startup, ready, (reason) => this.#kill(process, `startup probe failed: ${reason}`));
  }

  #setReady(ready: boolean, reason: string): void {
    this.#ready = ready;
    this.#unready = reason === '' ? '' : `readiness probe failed: ${reason}`;
    this.#deps.onChange();
  }

  /** A probe's verdict: the process ends, the restart policy decides what follows. */
  #kill(process: RunningProcess, why: string): void {
    this.#killedBy = why;
    this.#stopProbes();
    process.kill('SIGTERM');
    setTimeout(() => process.kill('SIGKILL'), KILL_MARGIN_MS).unref();
  }

  #stopProbes(): void {
    for (const prober of this.#probers.splice(0)) prober.stop();
  }

  #now(): string {
    return (this.#deps.now?.() ?? new Date()).toISOString();
  }
}
