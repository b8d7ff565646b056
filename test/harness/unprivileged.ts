/** Runs a test file as a user without root. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';

const NOBODY = 65_534;

/**
 * True without root. As root, runs the file again as an unprivileged user and ends this process as that ended; where even a user
 * namespace is refused, registers one skipped test that says why, and gives false.
 */
export function withoutRoot(url: string): boolean {
  if (process.getuid?.() !== 0) return true;
  const file = fileURLToPath(url);
  for (const prefix of PREFIXES) {
    const [program = '', ...flags] = prefix;
    const probe = spawnSync(program, [...flags, 'unshare', '--user', '--map-root-user', '--net', 'cat', file], {
      stdio: 'ignore',
    });
    if (probe.status !== 0) continue;
    if (spawnSync(program, [...flags, process.execPath, '--version'], { stdio: 'ignore' }).status !== 0) continue;
    const result = spawnSync(program, [...flags, process.execPath, file], { stdio: 'inherit' });
    process.exit(result.status ?? 1);
  }
  console.log('skipped: neither another user nor a user namespace can run this file');
  test.skip('needs a user without root', () => undefined);
  return false;
}

/** Where the clone is not readable for others, a user namespace of one unprivileged user stands for the user without root. */
const PREFIXES = [
  ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
  ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`],
];
