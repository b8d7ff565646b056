/** Who waits for a certificate: a connection, a pod that will soon have connections, or nobody yet. */
export type Priority = 'realtime' | 'warmup' | 'background';

const RANK: Readonly<Record<Priority, number>> = { realtime: 0, warmup: 1, background: 2 };

interface Job {
  priority: Priority;
  readonly due: number;
  readonly run: () => Promise<void>;
}

/** Runs at most `limit` jobs at once, one per key; the most urgent waiting job goes first, among equals the one due first. */
export class CredentialQueue {
  readonly #limit: number;
  readonly #waiting = new Map<string, Job>();
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Queues a job; one that waits under the same key already only becomes more urgent. */
  add(key: string, priority: Priority, due: number, run: () => Promise<void>): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, { priority, due, run });
    else if (RANK[priority] < RANK[waiting.priority]) waiting.priority = priority;
    this.#start();
  }

  /** Forgets a job that has not started. */
  cancel(key: string): void {
    this.#waiting.delete(key);
  }

  #start(): void {
    while (this.#running < this.#limit) {
      const next = this.#take();
      if (next === undefined) return;
      this.#running += 1;
      void next.run().finally(() => {
        this.#running -= 1;
        this.#start();
      });
    }
  }

  #take(): Job | undefined {
    let bestKey: string | undefined;
    let best: Job | undefined;
    for (const [key, job] of this.#waiting) {
      if (best !== undefined && !isBefore(job, best)) continue;
      bestKey = key;
      best = job;
    }
    if (bestKey !== undefined) this.#waiting.delete(bestKey);
    return best;
  }
}

const isBefore = (a: Job, b: Job): boolean =>
  RANK[a.priority] === RANK[b.priority] ? a.due < b.due : RANK[a.priority] < RANK[b.priority];
