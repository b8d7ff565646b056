import { EventEmitter } from 'node:events';
import { type Enrolment, type EnrolmentPod, startEnrolment } from '@ambit/cni/enrolment';
import { Readiness } from '@ambit/common/lifecycle/readiness';
import { createLogger } from '@ambit/common/telemetry/log';
import { Enrollment } from '@ambit/ztunnel/capture/enrollment';
import { runZdsClient } from '@ambit/ztunnel/capture/zds-client';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type TestPod, enterNamespaces, makeBridge, makePod } from '../harness/netns.ts';

const SOCKET = '/run/ztunnel.sock';
const lines: string[] = [];
const log = createLogger({ level: 'debug', format: 'plain', write: (line) => lines.push(line) }).scope('test');

/** The node agent's side: its real client and state machine; serving a pod is a word in a list. */
class Agent {
  readonly events: string[] = [];
  readonly readiness = new Readiness();
  readonly failing = new Set<string>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor() {
    const sink = new Enrollment({
      readiness: this.readiness,
      log,
      start: async (pod, netns) => {
        if (this.failing.has(pod.name)) throw new Error('address in use');
        this.events.push(`start ${pod.namespace}/${pod.name} ${pod.serviceAccount} ${netns.ino}`);
        return { stop: async (mode) => void this.events.push(`stop ${pod.name} ${mode}`) };
      },
    });
    const onFatal = (error: Error): void => void this.events.push(error.message);
    this.#running = runZdsClient({ path: SOCKET, sink, log, signal: this.#stop.signal, onFatal });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** The CNI's side, as it is. */
class Cni {
  readonly pods = new Map<string, EnrolmentPod>();
  readonly states: string[] = [];
  readonly #stop = new AbortController();
  readonly #change = new EventEmitter();
  readonly enrolment: Enrolment;

  constructor(pods: Iterable<EnrolmentPod> = []) {
    for (const pod of pods) this.pods.set(pod.uid, pod);
    this.enrolment = startEnrolment({
      pods: () => this.pods.values(),
      onChange: (look) => {
        this.#change.on('look', look);
        return () => void this.#change.off('look', look);
      },
      socketPath: SOCKET,
      onEnrolled: (pod, state) => this.states.push(`${pod.name} ${state ?? 'none'}`),
      log,
      signal: this.#stop.signal,
    });
  }

  async want(pod: EnrolmentPod): Promise<void> {
    this.pods.set(pod.uid, pod);
    this.#change.emit('look');
    await this.enrolment.settled();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.enrolment.closed;
  }
}

async function until(what: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!what()) {
    if (performance.now() > deadline)
      throw new Error(`waited in vain for ${what.toString()}\n${lines.slice(-20).join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function handOverCases(): void {
  let a: TestPod;
  let b: TestPod;
  let cni: Cni;
  let agent: Agent;
  const wish = (pod: TestPod, enrol = true): EnrolmentPod => ({
    uid: `uid-${pod.name}`,
    name: pod.name,
    namespace: 'default',
    serviceAccount: `sa-${pod.name}`,
    netnsPath: pod.path,
    enrol,
    dnsCapture: true,
    bypassInbound: false,
    ipv6: true,
  });

  test.before(() => {
    makeBridge();
    a = makePod('a', 2);
    b = makePod('b', 3);
    cni = new Cni();
    agent = new Agent();
  });
  test.before.each(() => {
    agent.events.length = 0;
    cni.states.length = 0;
  });
  test.after(async () => {
    await agent.stop();
    await cni.stop();
  });

  test('an agent without pods becomes ready', () => until(() => agent.readiness.ready));

  test('a pod is served in its own namespace, with its identity', async () => {
    await cni.want(wish(a));
    assert.equal(cni.states, ['a pending', 'a enabled']);
    assert.equal(agent.events, [`start default/a sa-a ${a.netns.ino}`]);
  });

  test('a pod that cannot be served stays pending until it can', async () => {
    agent.failing.add('b');
    await cni.want(wish(b));
    assert.equal(cni.states, ['b pending']);
    assert.not(agent.readiness.ready);
    assert.match(lines.join('\n'), 'the node agent refused the pod: failure to start proxy : address in use');
    agent.failing.clear();
    await until(() => cni.enrolment.state('uid-b') === 'enabled');
    assert.equal(agent.events, [`start default/b sa-b ${b.netns.ino}`]);
    assert.ok(agent.readiness.ready);
  });

  test('a new CNI finds the agent serving, and changes nothing', async () => {
    await cni.stop();
    await until(() => !agent.readiness.ready);
    cni = new Cni([wish(a), wish(b)]);
    await until(() => cni.enrolment.state('uid-a') === 'enabled' && cni.enrolment.state('uid-b') === 'enabled');
    await until(() => agent.readiness.ready);
    assert.equal(agent.events, []);
  });

  test('a new agent is given everything while the old one still serves; what leaves, leaves both', async () => {
    const next = new Agent();
    await until(() => next.readiness.ready);
    assert.equal(next.events.toSorted(), [
      `start default/a sa-a ${a.netns.ino}`,
      `start default/b sa-b ${b.netns.ino}`,
    ]);
    await cni.want(wish(b, false));
    assert.equal(agent.events, ['stop b immediate']);
    assert.is(next.events.at(-1), 'stop b immediate');
    await agent.stop();
    agent = next;
  });

  test('what left while the agent was away is stopped by the next snapshot', async () => {
    await cni.stop();
    cni = new Cni([wish(a, false)]);
    await until(() => agent.readiness.ready && agent.events.length > 0);
    assert.equal(agent.events, ['stop a immediate']);
  });
}

if (enterNamespaces(import.meta.url)) handOverCases();
test.run();
