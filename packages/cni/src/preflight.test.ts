import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

/** Runs the preflight where only the given programs exist; what each does is a shell script. */
function preflightWith(programs: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'preflight-'));
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const module = JSON.stringify(new URL('preflight.ts', import.meta.url).href);
  const program = `import { preflight } from ${module}; console.log(await preflight().then(() => 'fine', (e) => e.message));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { env: { PATH: folder } });
  rmSync(folder, { recursive: true });
  return stdout.toString().trim();
}

test('names every missing program and how to get it', () => {
  const advice = 'cannot be found on this machine; install it with: apt-get install nftables iproute2';
  assert.is(preflightWith({}), `nft and ip ${advice}`);
  assert.is(preflightWith({ ip: 'exit 0' }), `nft ${advice}`);
  assert.is(preflightWith({ nft: 'exit 0' }), `ip ${advice}`);
});

test('tells what the kernel refuses', () => {
  const nft = `[ "$1" = --version ] || { echo "Error: Could not process rule: Operation not supported" >&2; exit 1; }`;
  assert.match(
    preflightWith({ ip: 'exit 0', nft }),
    /^the kernel refuses the redirect rules: Error: Could not process rule: Operation not supported \(nf_tables/,
  );
});

test('is content when everything works', () => {
  assert.is(preflightWith({ ip: 'exit 0', nft: 'exit 0' }), 'fine');
});

test.run();
