import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { mock } from 'node:test';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Container, type ContainerDeps } from './container.ts';
import { LogFile } from './log-file.ts';
import type { Exit, RunningProcess } from './process.ts';
import type { ContainerSpec, ProbeSpec } from './spec.ts';

const folder = mkdtempSync(join(tmpdir(), 'ambit-container-'));
test.before.each(() => mock.timers.enable({ apis: ['setTimeout'] }));
test.after.each(() => mock.timers.reset());
test.after(() => rmSync(folder, { recursive: true }));

const spec = (change: Partial<ContainerSpec> = {}): ContainerSpec => ({
  name: 'main',
  image: '',
  command: ['x'],
  workingDir: '/',
  env: [],
  ports: [],
  mounts: [],
  startup: undefined,
  readiness: undefined,
  liveness: undefined,
  sidecar: false,
  ...change,
});
const probe = (change: Partial<ProbeSpec> = {}): ProbeSpec => ({
  check: { kind: 'exec', command: ['check'] },
  initialDelayMs: 0,
  periodMs: 1000,
  timeoutMs: 1000,
  failureThreshold: 1,
  successThreshold: 1,
  ...change,
});

interface Bench {
  readonly container: Container;
  readonly starts: () => number;
  readonly signals: string[];
  readonly end: (exit: Exit) => Promise<void>;
  readonly answer: (code: number) => void;
}

/** A container whose process and probe answers are values. */
function bench(change: Partial<ContainerDeps> = {}, missing?: () => string | undefined): Bench {
  let starts = 0;
  let code = 0;
  let finish: (exit: Exit) => void = () => {};
  const signals: string[] = [];
  const start = (): RunningProcess | string => {
    const problem = missing?.();
    if (problem !== undefined) return problem;
    starts += 1;
    const exited = new Promise<Exit>((resolve) => (finish = resolve));
    return { pid: 100 + starts, exited, kill: (signal) => void signals.push(signal) };
  };
  const container = new Container({
    spec: spec(),
    restartPolicy: 'Always',
    log: new LogFile(join(folder, 'main.log')),
    start,
    target: () => ({ host: '127.0.0.1', connect: () => new Socket(), exec: async () => ({ code, output: '' }) }),
    onChange: () => {},
    ...change,
  });
  const end = async (exit: Exit): Promise<void> => {
    finish(exit);
    await turns();
  };
  return { container, starts: () => starts, signals, end, answer: (next) => void (code = next) };
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};
const tick = async (ms: number): Promise<void> => {
  mock.timers.tick(ms);
  await turns();
};

test('each failure doubles the wait before the next start', async () => {
  const { container, starts, end } = bench();
  container.run();
  for (const [index, seconds] of [1, 2, 4, 8].entries()) {
    await end({ code: 3, signal: undefined });
    const { state, lastState } = container.status;
    assert.equal([state.kind, state.kind === 'waiting' && state.reason], ['waiting', 'CrashLoopBackOff']);
    assert.is(lastState?.kind === 'terminated' && lastState.exitCode, 3);
    await tick(seconds * 1000 - 1);
    assert.is(starts(), index + 1);
    await tick(1);
    assert.is(starts(), index + 2);
    assert.is(container.status.restarts, index + 1);
  }
});

test('the restart policy decides what follows an end', async () => {
  const cases = [
    ['Never', 1, 'terminated'],
    ['OnFailure', 0, 'terminated'],
    ['OnFailure', 1, 'waiting'],
    ['Always', 0, 'waiting'],
  ] as const;
  for (const [restartPolicy, code, state] of cases) {
    const { container, end } = bench({ restartPolicy });
    container.run();
    await end({ code, signal: undefined });
    assert.is(container.status.state.kind, state, `${restartPolicy} ${code}`);
  }
});

test('what is missing is said, and tried again at once when it may be there', () => {
  let missing: string | undefined = 'ConfigMap "x" not found';
  const { container, starts } = bench({}, () => missing);
  container.run();
  const { state } = container.status;
  assert.equal(state, { kind: 'waiting', reason: 'CreateContainerConfigError', message: 'ConfigMap "x" not found' });
  missing = undefined;
  container.nudge();
  assert.is(starts(), 1);
  assert.is(container.status.ready, true);
});

test('readiness follows its probe both ways', async () => {
  const { container, answer } = bench({ spec: spec({ readiness: probe() }) });
  answer(1);
  container.run();
  await tick(0);
  assert.is(container.status.ready, false);
  answer(0);
  await tick(1000);
  assert.is(container.status.ready, true);
  answer(1);
  await tick(1000);
  assert.is(container.status.ready, false);
  assert.match(container.status.unready, /readiness probe failed: command exited with 1/);
});

test('liveness waits for startup, then ends what is sick', async () => {
  const { container, signals, answer, end } = bench({
    spec: spec({ startup: probe({ failureThreshold: 30 }), liveness: probe() }),
  });
  answer(1);
  container.run();
  await tick(0);
  await tick(5000);
  assert.equal([container.status.started, signals.length], [false, 0]);
  answer(0);
  await tick(1000);
  assert.is(container.status.started, true);
  await tick(0);
  answer(1);
  await tick(1000);
  assert.equal(signals, ['SIGTERM']);
  await tick(2000);
  assert.equal(signals, ['SIGTERM', 'SIGKILL']);
  await end({ code: 137, signal: 'SIGKILL' });
  const { lastState } = container.status;
  assert.match(lastState?.kind === 'terminated' ? lastState.message : '', /liveness probe failed/);
});

test('stopping asks first and forces after the grace period', async () => {
  const { container, signals, end } = bench();
  container.run();
  const stopped = container.stop(3000);
  assert.equal(signals, ['SIGTERM']);
  await tick(3000);
  assert.equal(signals, ['SIGTERM', 'SIGKILL']);
  await end({ code: 137, signal: 'SIGKILL' });
  await stopped;
  assert.is(container.status.state.kind, 'terminated');
});

test.run();
