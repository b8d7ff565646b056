import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Netns } from '@ambit/common/linux/netns';
import { Readiness } from '@ambit/common/lifecycle/readiness';
import { createLogger } from '@ambit/common/telemetry/log';
import type { PodInfo } from '../local-workload.ts';
import { Enrollment, ENROLLMENT_TASK, type RunningPod } from './enrollment.ts';
import type { EventOutcome } from './pod-event.ts';

interface Proxy extends RunningPod {
  readonly netns: Netns;
  stopped: string | undefined;
}

/** An enrolment whose proxies are only noted, and a way to let their start fail. */
class World {
  readonly readiness = new Readiness();
  readonly proxies: Proxy[] = [];
  readonly open = new Set<Netns>();
  failing: string | undefined;
  attempts = 0;
  readonly enrollment: Enrollment<Proxy>;

  constructor() {
    this.enrollment = new Enrollment<Proxy>({
      start: (_pod, netns) => this.#start(netns),
      readiness: this.readiness,
      log: createLogger({ level: 'off', format: 'plain' }).scope('test'),
    });
  }

  netns(ino: number): Netns {
    const netns: Netns = { fd: 100 + ino, dev: 1n, ino: BigInt(ino), close: () => this.open.delete(netns) };
    this.open.add(netns);
    return netns;
  }

  add(uid: string, ino: number): Promise<EventOutcome> {
    const info: PodInfo = { uid, name: uid, namespace: 'ns', serviceAccount: 'sa' };
    return this.enrollment.handle({ kind: 'add', uid, info, netns: this.netns(ino) });
  }

  del = (uid: string): Promise<EventOutcome> => this.enrollment.handle({ kind: 'del', uid });
  keep = (uid: string): Promise<EventOutcome> => this.enrollment.handle({ kind: 'keep', uid });
  snapshot = (): Promise<EventOutcome> => this.enrollment.handle({ kind: 'snapshot-sent' });

  get ready(): boolean {
    return !this.readiness.pending().includes(ENROLLMENT_TASK);
  }

  /** `active/pending`. */
  get counts(): string {
    const { active, pending } = this.enrollment.counts;
    return `${active}/${pending}`;
  }

  #start(netns: Netns): Promise<Proxy> {
    this.attempts++;
    if (this.failing !== undefined) return Promise.reject(new Error(this.failing));
    const proxy: Proxy = {
      netns,
      stopped: undefined,
      stop: (mode) => {
        proxy.stopped = mode;
        return Promise.resolve();
      },
    };
    this.proxies.push(proxy);
    return Promise.resolve(proxy);
  }
}

async function connected(): Promise<World> {
  const world = new World();
  await world.enrollment.connected();
  return world;
}

test('ZT-ZDS-02 an add starts one proxy; the same again is acknowledged and changes nothing', async () => {
  const world = await connected();
  assert.is((await world.add('a', 1)).kind, 'done');
  assert.is((await world.add('a', 1)).kind, 'done');
  assert.equal([world.proxies.length, world.open.size], [1, 1]);
});

test('ZT-ZDS-03 a failed add is pending, blocks readiness, succeeds on a retry and is not started twice', async () => {
  const world = await connected();
  world.failing = 'address in use';
  assert.equal(await world.add('a', 1), { kind: 'failed', error: 'address in use' });
  await world.snapshot();
  assert.equal([world.ready, world.counts], [false, '0/1']);
  await world.enrollment.retryPending();
  assert.is(world.ready, false);
  world.failing = undefined;
  await world.enrollment.retryPending();
  assert.equal([world.ready, world.counts, world.attempts], [true, '1/0', 3]);
  await world.enrollment.retryPending();
  assert.is(world.attempts, 3);
});

test('readiness names each pod that was asked for and is not captured', async () => {
  const world = await connected();
  world.failing = 'no';
  await world.add('a', 1);
  await world.add('b', 2);
  await world.add('b', 3);
  await world.snapshot();
  const pods = (): string[] => world.readiness.pending().filter((name) => name.startsWith('pod '));
  assert.equal(pods(), ['pod ns/a', 'pod ns/b']);
  await world.del('a');
  assert.equal(pods(), ['pod ns/b']);
  world.failing = undefined;
  await world.enrollment.retryPending();
  assert.equal(world.readiness.pending(), []);
});

test('ZT-ZDS-04 an add or del while pending resolves it, and no namespace stays open', async () => {
  const world = await connected();
  world.failing = 'no';
  await world.add('a', 1);
  await world.add('b', 2);
  world.failing = undefined;
  await world.add('a', 3);
  await world.del('b');
  await world.snapshot();
  assert.equal([world.ready, world.counts, world.open.size], [true, '1/0', 1]);
});

test('ZT-ZDS-05 a del before the snapshot takes back the name and the pending start', async () => {
  const world = await connected();
  await world.add('old', 1);
  await world.snapshot();
  await world.enrollment.connected();
  world.failing = 'no';
  await world.add('new', 2);
  await world.keep('old');
  await world.del('new');
  await world.del('old');
  assert.is(world.counts, '1/0');
  await world.snapshot();
  assert.equal([world.counts, world.ready, world.proxies[0]?.stopped], ['0/0', true, 'immediate']);
});

test('ZT-ZDS-06 add, del, add leaves one proxy', async () => {
  const world = await connected();
  await world.snapshot();
  await world.add('a', 1);
  await world.del('a');
  await world.add('a', 2);
  assert.equal([world.counts, world.proxies.length, world.open.size], ['1/0', 2, 1]);
  assert.is((await world.del('unknown')).kind, 'done');
});

test('ZT-ZDS-07 a new connection that keeps a pod does not touch it', async () => {
  const world = await connected();
  await world.add('a', 1);
  await world.snapshot();
  await world.enrollment.disconnected();
  assert.is(world.ready, false);
  await world.enrollment.connected();
  await world.keep('a');
  await world.snapshot();
  assert.equal([world.ready, world.proxies.length, world.proxies[0]?.stopped], [true, 1, undefined]);
});

test('ZT-ZDS-08 the same uid in another namespace replaces the proxy', async () => {
  const world = await connected();
  await world.add('a', 1);
  await world.add('a', 2);
  assert.equal([world.proxies[0]?.stopped, world.proxies[1]?.netns.ino], ['immediate', 2n]);
  assert.is(world.open.size, 1);
});

test('ZT-ZDS-09 an add without workload_info is fatal', async () => {
  const world = await connected();
  const outcome = await world.enrollment.handle({ kind: 'add', uid: 'a', info: undefined, netns: world.netns(1) });
  assert.equal([outcome.kind, world.open.size], ['fatal', 0]);
});

test('a keep after the snapshot, and a second snapshot, are fatal', async () => {
  const world = await connected();
  await world.snapshot();
  assert.is((await world.keep('a')).kind, 'fatal');
  assert.is((await world.snapshot()).kind, 'fatal');
});

test('ZT-ZDS-11 ready after a snapshot; a pod that the next one does not name is removed', async () => {
  const world = await connected();
  assert.is(world.ready, false);
  await world.add('a', 1);
  await world.add('b', 2);
  await world.snapshot();
  assert.is(world.ready, true);
  await world.enrollment.connected();
  assert.is(world.ready, false);
  await world.keep('b');
  await world.snapshot();
  assert.equal(
    world.enrollment.running().map(({ pod }) => pod.uid),
    ['b'],
  );
});

test('at the end every pod is stopped, gracefully, and later adds are refused', async () => {
  const world = await connected();
  await world.add('a', 1);
  await world.enrollment.stopAll('graceful');
  assert.equal([world.proxies[0]?.stopped, world.open.size], ['graceful', 0]);
  assert.is((await world.add('b', 2)).kind, 'failed');
  assert.is(world.open.size, 0);
});

test.run();
