// deadline: 170s
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const NOBODY = 65_534;
const file = join(import.meta.dirname, 'standalone.test.ts');
const isRoot = process.getuid?.() === 0;
/** Where the clone is not readable for others, a user namespace of one unprivileged user stands for the user without root. */
const readable =
  isRoot &&
  spawnSync(process.execPath, ['--version', file], { uid: NOBODY, gid: NOBODY }).status === 0 &&
  spawnSync('cat', [file], { uid: NOBODY, gid: NOBODY }).status === 0;

const rootless = async (): Promise<void> => {
  const prefix = readable ? [] : ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`];
  const words = [...prefix, process.execPath, file];
  const child = spawn('env', words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(readable ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.is(code, 0, output);
};

// without root the other file has tested just this
if (isRoot) test('everything runs without root', rootless);
else test.skip('everything runs without root', rootless);

test.run();
