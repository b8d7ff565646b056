import { status } from '@grpc/grpc-js';

/** How a stream ended. */
export interface StreamOutcome {
  /** False when not even response headers arrived: DNS, TCP, TLS, token, or an immediate refusal. */
  readonly opened: boolean;
  /** gRPC status code. */
  readonly code: status;
  readonly details: string;
}

/** Value of the `reason` label of `xds_connection_terminations`. */
export type Termination = 'ConnectionError' | 'Reconnect' | 'Error' | 'Complete';

export interface Reconnection {
  readonly delayMs: number;
  readonly reason: Termination;
}

const INITIAL_MS = 10;
const MAX_MS = 15_000;

/** The server closed in good order, or the network did; grpc-js words it differently than the Go and Rust libraries. */
const ROUTINE = /transport is closing|received prior goaway|connection dropped|goaway|ECONNRESET|EPIPE|socket hang up/i;
const ROUTINE_CODES: ReadonlySet<status> = new Set([status.UNKNOWN, status.CANCELLED, status.DEADLINE_EXCEEDED]);

/** When to open the next stream after one ended: at once after a good one, 20 ms doubling to 15 s while it fails. */
export class ReconnectPolicy {
  #backoffMs = INITIAL_MS;

  after(outcome: StreamOutcome): Reconnection {
    if (!outcome.opened) return { delayMs: this.#double(), reason: 'ConnectionError' };
    // Istio's agent reconnects with no delay after a completed stream; ten milliseconds keep a broken server from spinning us.
    if (outcome.code === status.OK) return { delayMs: this.#reset(), reason: 'Complete' };
    const routine =
      ROUTINE_CODES.has(outcome.code) || (outcome.code === status.UNAVAILABLE && ROUTINE.test(outcome.details));
    return routine ? { delayMs: this.#reset(), reason: 'Reconnect' } : { delayMs: this.#double(), reason: 'Error' };
  }

  #double(): number {
    this.#backoffMs = Math.min(MAX_MS, this.#backoffMs * 2);
    return this.#backoffMs;
  }

  #reset(): number {
    this.#backoffMs = INITIAL_MS;
    return INITIAL_MS;
  }
}
