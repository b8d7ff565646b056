import type { Ran, Stage } from './stage.ts';

const SECONDS = 3;

/** A capture that runs for some seconds. */
export interface Capture {
  readonly ended: Promise<Ran>;
}

/** Starts watching the bridge between the pods, from the node's namespace; resolves when it watches. */
export async function startCapture(stage: Stage): Promise<Capture> {
  const program = `${import.meta.dirname}/capture.ts`;
  const words = ['exec', 'ztunnel', '--', 'node', program, 'ambit0', String(SECONDS), 'GET /get', 'httpbin.org'];
  const { speaking, ended } = stage.start(words);
  await speaking;
  return { ended };
}

/** Prints what the capture saw and checks that the request was readable nowhere between pods and waypoint. */
export async function showCapture(stage: Stage, capture: Capture): Promise<void> {
  const { output, code } = await capture.ended;
  for (const line of output.trimEnd().split('\n')) stage.say(line);
  if (code !== 0) stage.fail('the capture did not run');
  if (!/port 15008 .*: \d+ packets, 0 contain the request/.test(output))
    stage.fail('the request was readable between pod and waypoint, or nothing was captured there');
  if (!/port 80 .*: \d+ packets, [1-9]\d* contain the request/.test(output))
    stage.fail('the capture did not even find the plain request from the waypoint to the outside');
}
