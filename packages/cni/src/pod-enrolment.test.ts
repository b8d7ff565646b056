import { MeshError } from '@ambit/common/errors';
import { Backoff } from '@ambit/common/lifecycle/backoff';
import type { Netns } from '@ambit/common/linux/netns';
import { createLogger } from '@ambit/common/telemetry/log';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type EnrolmentPod, type PodEffects, PodEnrolment } from './pod-enrolment.ts';

const POD: EnrolmentPod = {
  uid: 'u1',
  name: 'curl',
  namespace: 'default',
  serviceAccount: 'curl',
  netnsPath: '/ns/1',
  enrol: true,
  dnsCapture: true,
  bypassInbound: false,
  ipv6: true,
};

/** A world of fakes: what happened is a list of words, what fails is named beforehand. */
function world(): {
  effects: PodEffects;
  events: string[];
  failing: Set<string>;
  inode: { value: bigint };
  open: () => number;
} {
  const events: string[] = [];
  const failing = new Set<string>();
  const inode = { value: 1n };
  let openCount = 0;
  const act = (event: string): void => {
    const [verb = ''] = event.split(' ');
    events.push(failing.has(verb) ? `${verb} failed` : event);
    if (failing.has(verb)) throw new MeshError('INTERNAL', `${verb} failed`);
  };
  const log = createLogger({ level: 'off', format: 'plain', write: () => undefined }).scope('test');
  const effects: PodEffects = {
    open: () => {
      if (failing.has('open')) act('open');
      openCount += 1;
      const netns: Netns = { fd: 99, dev: 1n, ino: inode.value, close: () => void (openCount -= 1) };
      return netns;
    },
    applyRules: async (netns, options) => act(`apply ${netns.ino} dns=${options.dnsCapture}`),
    removeRules: async (netns) => act(`clear ${netns.ino}`),
    announce: async (pod) => act(`add ${pod.uid} ${pod.netns?.ino}`),
    withdraw: async (uid) => act(`del ${uid}`),
    onState: (_, state) => void events.push(`state ${state ?? 'none'}`),
    log,
    backoff: () => new Backoff({ initialMs: 60_000, maxMs: 60_000 }),
  };
  return { effects, events, failing, inode, open: () => openCount };
}

async function want(enrolment: PodEnrolment, pod: EnrolmentPod | undefined): Promise<void> {
  enrolment.want(pod);
  await enrolment.settled();
}

test('rules come first, then the hand-over, then the annotation', async () => {
  const { effects, events } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  assert.equal(events, ['apply 1 dns=true', 'state pending', 'add u1 1', 'state enabled']);
  await enrolment.stop();
});

test('looking again changes nothing', async () => {
  const { effects, events, open } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  events.length = 0;
  await want(enrolment, POD);
  await want(enrolment, { ...POD, netnsPath: '/another/path/to/the/same' });
  assert.equal(events, []);
  assert.is(open(), 1);
  await enrolment.stop();
  assert.is(open(), 0);
});

test('a failed hand-over leaves the pod pending until it is tried again', async () => {
  const { effects, events, failing } = world();
  const enrolment = new PodEnrolment(POD, effects);
  failing.add('add');
  await want(enrolment, POD);
  assert.is(enrolment.state, 'pending');
  assert.is(enrolment.zdsPod?.uid, 'u1');
  failing.clear();
  events.length = 0;
  enrolment.kick();
  await enrolment.settled();
  assert.equal(events, ['add u1 1', 'state enabled']);
  await enrolment.stop();
});

test('changes of other pods do not hurry a pod that fails; a change of its own does', async () => {
  const { effects, events, failing } = world();
  const enrolment = new PodEnrolment(POD, effects);
  failing.add('apply');
  await want(enrolment, POD);
  await want(enrolment, { ...POD });
  assert.equal(events, ['apply failed']);
  await want(enrolment, { ...POD, dnsCapture: false });
  assert.equal(events, ['apply failed', 'apply failed']);
  await enrolment.stop();
});

test('without rules in force nothing is handed over: a snapshot says keep', async () => {
  const { effects, events, failing } = world();
  const enrolment = new PodEnrolment(POD, effects);
  failing.add('apply');
  await want(enrolment, POD);
  assert.equal(events, ['apply failed']);
  assert.is(enrolment.zdsPod?.uid, 'u1');
  assert.is(enrolment.zdsPod?.netns, undefined);
  await enrolment.stop();
});

test('changed options load the rules again and disturb nothing else', async () => {
  const { effects, events } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  events.length = 0;
  await want(enrolment, { ...POD, dnsCapture: false });
  assert.equal(events, ['apply 1 dns=false']);
  await enrolment.stop();
});

test('another namespace under the same uid is enrolled anew', async () => {
  const { effects, events, inode, open } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  events.length = 0;
  inode.value = 2n;
  await want(enrolment, POD);
  assert.equal(events, ['del u1', 'state none', 'apply 2 dns=true', 'state pending', 'add u1 2', 'state enabled']);
  assert.is(open(), 1);
  await enrolment.stop();
});

test('a living pod that leaves loses the agent first, which cuts its connections, then the rules', async () => {
  const { effects, events } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  events.length = 0;
  await want(enrolment, { ...POD, enrol: false });
  assert.equal(events, ['del u1', 'clear 1', 'state none']);
  assert.is(enrolment.zdsPod, undefined);
  assert.not(enrolment.finished);
});

test('rules that cannot be removed are tried again: nothing gets out past them in between', async () => {
  const { effects, events, failing } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  failing.add('clear');
  events.length = 0;
  await want(enrolment, { ...POD, enrol: false });
  assert.equal(events, ['del u1', 'clear failed']);
  assert.is(enrolment.state, 'enabled');
  failing.clear();
  enrolment.kick();
  await enrolment.settled();
  assert.equal(events, ['del u1', 'clear failed', 'del u1', 'clear 1', 'state none']);
});

test('a pod that is wanted again before its rules could be removed is handed over again', async () => {
  const { effects, events, failing } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  failing.add('clear');
  await want(enrolment, { ...POD, enrol: false });
  events.length = 0;
  await want(enrolment, POD);
  assert.equal(events, ['add u1 1']);
  await enrolment.stop();
});

test('a namespace that is gone ends the attempt, which is tried later and holds nothing up', async () => {
  const { effects, events, failing, open } = world();
  const enrolment = new PodEnrolment(POD, effects);
  failing.add('open');
  await want(enrolment, POD);
  assert.equal(events, ['open failed']);
  await want(enrolment, undefined);
  assert.ok(enrolment.finished);
  assert.is(open(), 0);
});

test('a pod that has ended is withdrawn and its namespace left as it is', async () => {
  const { effects, events, open } = world();
  const enrolment = new PodEnrolment(POD, effects);
  await want(enrolment, POD);
  events.length = 0;
  await want(enrolment, undefined);
  assert.equal(events, ['del u1', 'state none']);
  assert.ok(enrolment.finished);
  assert.is(open(), 0);
});

test('a pod that ends while it is being enrolled is withdrawn afterwards', async () => {
  const { effects, events } = world();
  const enrolment = new PodEnrolment(POD, effects);
  enrolment.want(POD);
  enrolment.want(undefined);
  await enrolment.settled();
  assert.equal(events, ['apply 1 dns=true', 'state pending', 'add u1 1', 'state enabled', 'del u1', 'state none']);
  assert.ok(enrolment.finished);
});

test('a pod never wanted is left alone', async () => {
  const { effects, events } = world();
  const enrolment = new PodEnrolment({ ...POD, enrol: false }, effects);
  await want(enrolment, { ...POD, enrol: false });
  await want(enrolment, undefined);
  assert.equal(events, []);
  assert.ok(enrolment.finished);
});

test.run();
