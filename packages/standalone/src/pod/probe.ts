import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { ProbeCheck, ProbeSpec } from './spec.ts';

/** How a probe reaches its container: from inside the pod's network namespace, so that captured pods answer like others. */
export interface ProbeTarget {
  /** The address shown in requests. */
  readonly host: string;
  /** A connecting socket. */
  readonly connect: (port: number) => Socket;
  /** Exit code and output of a command in the container. */
  readonly exec: (command: readonly string[], timeoutMs: number) => Promise<{ code: number; output: string }>;
}

/** One attempt: undefined when the container is well, else what went wrong. */
export async function runCheck(check: ProbeCheck, target: ProbeTarget, timeoutMs: number): Promise<string | undefined> {
  try {
    switch (check.kind) {
      case 'exec': {
        const { code, output } = await target.exec(check.command, timeoutMs);
        return code === 0
          ? undefined
          : `command exited with ${code}${output === '' ? '' : `: ${output.slice(0, 200).trim()}`}`;
      }
      case 'tcp':
        return await connects(target.connect(check.port), timeoutMs);
      case 'http':
        return await answers(check, target, timeoutMs);
      default:
        return check satisfies never;
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function connects(socket: Socket, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const done = (result: string | undefined): void => {
      resolve(result);
      socket.destroy();
    };
    socket.once('connect', () => done(undefined));
    socket.once('error', (error) => done(error.message));
    socket.setTimeout(timeoutMs, () => done(`no connection within ${timeoutMs} ms`));
  });
}

function answers(
  check: ProbeCheck & { kind: 'http' },
  target: ProbeTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  const send = check.https ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    const request = send({
      host: target.host,
      port: check.port,
      path: check.path,
      headers: { 'user-agent': 'kube-probe/ambit', connection: 'close', ...Object.fromEntries(check.headers) },
      createConnection: () => target.connect(check.port),
      rejectUnauthorized: false,
      signal: AbortSignal.timeout(timeoutMs),
    });
    request.once('response', (response) => {
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400 ? undefined : `GET ${check.path} on port ${check.port} answered ${status}`);
      response.destroy();
    });
    request.once('error', (error) =>
      resolve(
        error.name === 'AbortError' || error.name === 'TimeoutError'
          ? `GET ${check.path} on port ${check.port}: no answer within ${timeoutMs} ms`
          : `GET ${check.path} on port ${check.port}: ${error.message}`,
      ),
    );
    request.end();
  });
}

/** What a prober has concluded; undefined until a threshold was reached. */
export type ProbeVerdict = { readonly healthy: true } | { readonly healthy: false; readonly reason: string };

/** A pod that starts in 200 ms should not wait out a period of 10 s: until its first success a probe is repeated sooner. */
const FIRST_DELAY_MS = 100;

/** Repeats a probe until stopped and tells each change of the verdict. */
export class Prober {
  readonly #spec: ProbeSpec;
  readonly #target: ProbeTarget;
  readonly #onVerdict: (verdict: ProbeVerdict) => void;
  #healthy: boolean | undefined;
  #successes = 0;
  #failures = 0;
  #waitedMs = Number.POSITIVE_INFINITY;
  #delayMs = FIRST_DELAY_MS;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(spec: ProbeSpec, target: ProbeTarget, onVerdict: (verdict: ProbeVerdict) => void) {
    this.#spec = spec;
    this.#target = target;
    this.#onVerdict = onVerdict;
    this.#timer = setTimeout(() => void this.#attempt(), spec.initialDelayMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #attempt(): Promise<void> {
    const failure = await runCheck(this.#spec.check, this.#target, this.#spec.timeoutMs);
    if (this.#stopped) return;
    if (failure === undefined) this.#succeeded();
    else this.#failed(failure);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#attempt(), this.#nextDelay());
  }

  #nextDelay(): number {
    this.#delayMs =
      this.#healthy === undefined ? Math.min(this.#spec.periodMs, this.#delayMs * 1.5) : this.#spec.periodMs;
    this.#waitedMs += this.#delayMs;
    return this.#delayMs;
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#successes += 1;
    if (this.#successes < this.#spec.successThreshold || this.#healthy === true) return;
    this.#healthy = true;
    this.#onVerdict({ healthy: true });
  }

  /** Attempts that came sooner than the period do not use up the threshold, which was meant for attempts one period apart. */
  #failed(reason: string): void {
    this.#successes = 0;
    if (this.#waitedMs < this.#spec.periodMs) return;
    this.#waitedMs = 0;
    this.#failures += 1;
    if (this.#failures < this.#spec.failureThreshold || this.#healthy === false) return;
    this.#healthy = false;
    this.#onVerdict({ healthy: false, reason });
  }
}
