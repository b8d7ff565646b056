import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from './api/client.ts';
import { removeLeftovers } from './leftovers.ts';
import { type LockHolder, identify, livingHolder } from './lock.ts';

export interface StopOptions {
  readonly stateDir: string;
  readonly onProgress?: (message: string) => void;
}

export interface StopResult {
  /** Whether a mesh was running. */
  readonly running: boolean;
  /** Whether it had to be ended by force. */
  readonly forced: boolean;
  /** What was left of a mesh and has been removed, as sentences. */
  readonly removed: readonly string[];
}

/** How long the mesh may take to end in order; with what follows, ten seconds in all. */
const GRACEFUL_MS = 9000;
const FORCED_MS = 1000;
const POLL_MS = 50;

/** Ends the mesh of a state folder, gracefully and then by force within 10 s, and removes what an earlier one may have left. */
export async function stopMesh(options: StopOptions): Promise<StopResult> {
  const stateDir = resolve(options.stateDir);
  if (!existsSync(stateDir)) return { running: false, forced: false, removed: [] };
  const holder = livingHolder(stateDir);
  if (holder === undefined) return { running: false, forced: false, removed: await removeLeftovers(stateDir) };
  options.onProgress?.(`ending the mesh (process ${holder.pid})`);
  const forced = await endProcess(new ApiClient(join(stateDir, 'api.sock')), holder);
  const left = await removeLeftovers(stateDir);
  return { running: true, forced, removed: forced ? left : [] };
}

/** Asks a mesh to end, and ends it by force when it does not. @returns whether force was needed. */
export async function endProcess(api: ApiClient, holder: LockHolder): Promise<boolean> {
  const asked = await api.stop().then(
    () => true,
    () => false, // nobody answers: it is still starting, or hangs
  );
  if (asked && (await gone(holder, GRACEFUL_MS))) return false;
  try {
    process.kill(holder.pid, 'SIGKILL');
  } catch {
    return false; // ESRCH: it has just ended
  }
  await gone(holder, FORCED_MS);
  return true;
}

async function gone(holder: LockHolder, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline) {
    if (identify(holder.pid)?.startTime !== holder.startTime) return true;
    await sleep(POLL_MS);
  }
  return false;
}
