/** `pnpm bench [l4|l7|path|h2]…`: runs the named comparisons, all when none is named, one after the other, each in a process of its own. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const COMPARISONS = ['l4', 'l7', 'path', 'h2'] as const;

const named = process.argv.slice(2);
const unknown = named.filter((name) => !COMPARISONS.some((one) => one === name));
if (unknown.length > 0) {
  console.error(`there is no comparison ${unknown.join(', ')}: choose from ${COMPARISONS.join(', ')}`);
  process.exit(64);
}
for (const name of named.length > 0 ? named : COMPARISONS) {
  console.log(`\n## ${name}\n`);
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`)], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
