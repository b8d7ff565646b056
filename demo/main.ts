/**
 * The story of Ambit on real traffic: `npx pnpm@12 demo` tells it and stays up until Ctrl-C; `--once` ends after it,
 * with exit code 0 only when every step gave what it should; `--internet` (root) uses the real internet.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pretendedInternet, realInternet } from './scenery.ts';
import { Stage } from './stage.ts';
import { STORY } from './story.ts';

const once = process.argv.includes('--once');
const internet = process.argv.includes('--internet');
process.chdir(join(import.meta.dirname, '..'));
const folder = mkdtempSync(join(tmpdir(), 'ambit-demo-'));
const stateDir = join(folder, 'state');
const stage = new Stage(stateDir);
let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void finish(130));

await main();

async function main(): Promise<void> {
  const started = Date.now();
  const scenes = join(folder, 'scenes');
  mkdirSync(scenes, { mode: 0o700 });
  const world = internet ? realInternet(scenes) : pretendedInternet(scenes);
  if (!internet)
    stage.say(
      'No internet is needed: the outside is one more network namespace, with a DNS server and HTTPS servers of a demo CA.',
    );
  const up = await stage.type(`ambit up examples/egress ${world.upArguments} --detach`);
  if (up.code !== 0) return finish(1);
  for (const [index, step] of STORY.entries()) {
    stage.title(index + 1, step.title);
    await step.play(stage, world);
    if (stopping) return;
  }
  console.log(
    `\n${STORY.length} steps in ${((Date.now() - started) / 1000).toFixed(0)} s, ${stage.failures.length} not as told`,
  );
  for (const failure of stage.failures) console.log(`  ${failure}`);
  if (once) return finish(stage.failures.length > 0 ? 1 : 0);
  console.log(
    `\nThe mesh stays up. In another terminal:\n  export AMBIT_STATE=${stateDir}\n  npx pnpm@12 ambit get pods -A\nCtrl-C ends it and removes everything.`,
  );
  setInterval(() => undefined, 60_000);
}

/** Takes the mesh down, removes the folder, and exits. */
async function finish(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  const down = await stage.run(['down']);
  console.log(down.output.trimEnd());
  rmSync(folder, { recursive: true, force: true });
  process.exit(down.code === 0 ? code : 1);
}
