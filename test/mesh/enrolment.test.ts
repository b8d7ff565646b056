import { EventEmitter } from 'node:events';
import { closeSync, fstatSync } from 'node:fs';
import { type Enrolment, type EnrolmentPod, startEnrolment } from '@ambit/cni/enrolment';
import { inNetns, openNetns } from '@ambit/common/linux/netns';
import { type SeqpacketSocket, connectSeqpacket } from '@ambit/common/linux/seqpacket';
import { type Message, message } from '@ambit/common/proto/load';
import { createLogger } from '@ambit/common/telemetry/log';
import { readlinkSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type TestPod, enterNamespaces, makeBridge, makePod, run } from '../harness/netns.ts';

const SOCKET = '/run/ztunnel.sock';
const SUCCESS = Buffer.from('0a00', 'hex');
const REQUEST: Message<Record<string, { uid?: string } | null>> = message('istio.workload.zds.WorkloadRequest');

/** A node agent that takes everything, and notes what it was told. */
class Agent {
  readonly told: string[] = [];
  readonly socket: SeqpacketSocket = connectSeqpacket(SOCKET);
  readonly #changed = new EventEmitter();

  static async start(): Promise<Agent> {
    const agent = new Agent();
    await agent.socket.send(Buffer.from('0801', 'hex'));
    void agent.#run();
    return agent;
  }

  async until(event: string): Promise<void> {
    while (!this.told.includes(event))
      await EventEmitter.once(this.#changed, 'told', { signal: AbortSignal.timeout(5000) });
  }

  async #run(): Promise<void> {
    for (;;) {
      const received = await this.socket.receive(1024);
      if (typeof received === 'string') return;
      const request = REQUEST.decode(received.bytes);
      const [kind = ''] = Object.keys(request).filter((key) => request[key] !== null);
      const inode = received.fds.map((fd) => fstatSync(fd).ino).join();
      for (const fd of received.fds) closeSync(fd);
      this.told.push([kind, request[kind]?.uid, inode].filter(Boolean).join(' '));
      await this.socket.send(SUCCESS);
      this.#changed.emit('told');
    }
  }
}

function enrolmentCases(): void {
  const change = new EventEmitter();
  const states: string[] = [];
  const stop = new AbortController();
  const log = createLogger({ level: 'off', format: 'plain', write: () => undefined }).scope('cni');
  const pods = new Map<string, EnrolmentPod>();
  let made: TestPod[];
  let enrolment: Enrolment;

  const want = (index: number, enrol: boolean, overrides: Partial<EnrolmentPod> = {}): void => {
    const name = made[index]?.name ?? 'none';
    const identity = { uid: `uid-${name}`, name, namespace: 'default', serviceAccount: name };
    const wishes = { enrol, dnsCapture: true, bypassInbound: false, ipv6: true };
    const pod = { ...identity, ...wishes, netnsPath: made[index]?.path ?? '/run/netns/none', ...overrides };
    pods.set(pod.uid, pod);
  };
  const look = async (): Promise<void> => {
    change.emit('look');
    await enrolment.settled();
  };
  const rulesOf = (name: string): string => run(name, 'nft', 'list', 'tables');
  const inode = (index: number): string => String(made[index]?.netns.ino);

  test.before(() => {
    makeBridge();
    made = [makePod('a', 2), makePod('b', 3)];
    enrolment = startEnrolment({
      pods: () => pods.values(),
      onChange: (fn) => {
        change.on('look', fn);
        return () => void change.off('look', fn);
      },
      socketPath: SOCKET,
      onEnrolled: (pod, state) => states.push(`${pod.name} ${state ?? 'none'}`),
      log,
      signal: stop.signal,
    });
  });
  test.before.each(() => void (states.length = 0));
  test.after(async () => {
    stop.abort();
    await enrolment.closed;
    for (const pod of made) pod.netns.close();
  });

  let agent: Agent;

  test('without a node agent a pod has its rules and is pending', async () => {
    want(0, true);
    want(1, false);
    await look();
    assert.equal(states, ['a pending']);
    assert.match(rulesOf('a'), 'istio-ambient-nat');
    assert.is(rulesOf('b'), '');
  });

  test('the agent that comes is told at once, with the namespace of the pod', async () => {
    agent = await Agent.start();
    await agent.until('snapshotSent');
    await agent.until(`add uid-a ${inode(0)}`);
    while (enrolment.state('uid-a') !== 'enabled') await new Promise(setImmediate);
    assert.equal(states, ['a enabled']);
  });

  test('a pod labelled later is enrolled while it lives', async () => {
    want(1, true);
    await look();
    assert.equal(states, ['b pending', 'b enabled']);
    assert.is(agent.told.at(-1), `add uid-b ${inode(1)}`);
  });

  test('an agent that is restarted is told everything again', async () => {
    agent.socket.close();
    while (enrolment.agents > 0) await new Promise(setImmediate);
    agent = await Agent.start();
    await agent.until('snapshotSent');
    assert.equal(agent.told, [`add uid-a ${inode(0)}`, `add uid-b ${inode(1)}`, 'snapshotSent']);
    assert.equal(states, []);
  });

  test('a pod that is no longer wanted loses rules, agent and annotation', async () => {
    want(1, false);
    await look();
    assert.equal(states, ['b none']);
    assert.is(rulesOf('b'), '');
    assert.is(agent.told.at(-1), 'del uid-b');
  });

  test('a pod that ends is withdrawn', async () => {
    pods.delete('uid-a');
    await look();
    assert.equal(states, ['a none']);
    assert.is(agent.told.at(-1), 'del uid-a');
    assert.match(rulesOf('a'), 'istio-ambient-nat');
  });

  test("a pod is never given another pod's namespace", async () => {
    want(0, true);
    await look();
    states.length = 0;
    want(1, true, { netnsPath: made[0]?.path ?? '' });
    await look();
    assert.is(enrolment.state('uid-b'), undefined);
    assert.equal(states, []);
    want(1, true);
    await look();
    assert.is(enrolment.state('uid-b'), 'enabled');
  });

  test("the node's own namespace is never captured", async () => {
    want(1, true, { uid: 'uid-host', netnsPath: '/proc/self/ns/net' });
    await look();
    assert.is(enrolment.state('uid-host'), undefined);
    assert.is(run(undefined, 'nft', 'list', 'tables'), '');
    pods.delete('uid-host');
  });

  test('a path that is no namespace is refused', () => {
    assert.throws(() => openNetns('/etc/hostname'), /\/etc\/hostname is not a network namespace/);
    assert.throws(() => openNetns('/run/netns/none'), /cannot open the network namespace \/run\/netns\/none/);
    assert.throws(() => openNetns('/proc/self/ns/mnt'), /is not a network namespace/);
  });

  test('this thread comes back from a namespace, also when the function fails', () => {
    const before = readlinkSync('/proc/thread-self/ns/net');
    const [pod] = made;
    assert.not.equal(
      inNetns(pod?.netns, () => readlinkSync('/proc/thread-self/ns/net')),
      before,
    );
    const fail = (): never => {
      throw new Error('inside');
    };
    assert.throws(() => inNetns(pod?.netns, fail), 'inside');
    assert.is(readlinkSync('/proc/thread-self/ns/net'), before);
  });
}

if (enterNamespaces(import.meta.url)) enrolmentCases();
test.run();
