import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { disconnectInternet } from './internet.ts';
import { livingHolder, removeLock } from './lock.ts';

/**
 * Removes what a mesh leaves that was ended by `kill -9` or with its machine. Its namespaces, links inside them and processes are gone
 * with it: the kernel saw to that. Must not be called while a mesh holds the folder.
 * @returns a sentence for each thing that was removed.
 */
export async function removeLeftovers(stateDir: string): Promise<string[]> {
  const removed: string[] = [];
  if (livingHolder(stateDir) !== undefined) return removed;
  if (await disconnectInternet(stateDir))
    removed.push("put this machine's network back: link ambit-host, nftables table ambit_host, ip_forward");
  for (const [name, what] of LEFT) {
    const path = join(stateDir, name);
    if (!existsSync(path)) continue;
    rmSync(path, { recursive: true, force: true });
    removed.push(`removed ${what} (${path})`);
  }
  if (removeLock(stateDir)) removed.push('removed the lock of a mesh that is no longer running');
  return removed;
}

const LEFT = [
  ['api.sock', 'the socket of a mesh that is no longer running'],
  ['run', 'files of pods that are no longer running'],
] as const;
