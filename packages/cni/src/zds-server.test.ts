import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { netnsFromFd } from '@ambit/common/linux/netns';
import { type SeqpacketSocket, connectSeqpacket } from '@ambit/common/linux/seqpacket';
import { type Message, message } from '@ambit/common/proto/load';
import { createLogger } from '@ambit/common/telemetry/log';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type ZdsPod, ZdsServer } from './zds-server.ts';

/** What the tests look at in a request; the inode is that of the descriptor that came with it. */
interface Seen {
  readonly add?: { readonly uid: string; readonly workloadInfo: unknown } | null;
  readonly del?: { readonly uid: string } | null;
  readonly keep?: { readonly uid: string } | null;
  readonly snapshotSent?: object | null;
  readonly ino?: bigint;
}

const REQUEST: Message<Seen> = message('istio.workload.zds.WorkloadRequest');
const HELLO = Buffer.from('0801', 'hex');
const SUCCESS = Buffer.from('0a00', 'hex');
const refusal = (text: string): Uint8Array =>
  Buffer.concat([Buffer.from([0x0a, text.length + 2, 0x0a, text.length]), Buffer.from(text)]);

let folder: string;
let pods: ZdsPod[];
let lines: string[];
let server: ZdsServer;
let agentsReady: number;
const log = createLogger({ level: 'info', format: 'plain', write: (line) => lines.push(line) }).scope('zds');
const netns = netnsFromFd(openSync('/proc/self/ns/net', 'r'));

const pod = (uid: string, own = true): ZdsPod => ({
  uid,
  name: `${uid}-name`,
  namespace: 'default',
  serviceAccount: 'sa',
  netns: own ? netns : undefined,
});

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'zds-'));
  pods = [];
  lines = [];
  agentsReady = 0;
  server = ZdsServer.start({
    socketPath: join(folder, 'ztunnel.sock'),
    pods: () => pods,
    onAgent: () => void (agentsReady += 1),
    log,
    timeouts: { helloMs: 50, ackMs: 80, writeMs: 80 },
  });
});
test.after.each(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

class Agent {
  readonly socket: SeqpacketSocket = connectSeqpacket(join(folder, 'ztunnel.sock'));

  static async greet(): Promise<Agent> {
    const agent = new Agent();
    await agent.socket.send(HELLO);
    return agent;
  }

  /** Greets and acknowledges everything up to SnapshotSent, which it includes. */
  static async snapshot(): Promise<[Agent, Seen[]]> {
    const agent = await Agent.greet();
    const seen: Seen[] = [];
    do seen.push(await agent.next());
    while (!seen.at(-1)?.snapshotSent);
    return [agent, seen];
  }

  async read(): Promise<Seen> {
    const received = await this.socket.receive(1024, 5000);
    if (typeof received === 'string') throw new Error(`the server ${received}`);
    const [fd] = received.fds;
    const ino = fd === undefined ? undefined : fstatSync(fd, { bigint: true }).ino;
    for (const one of received.fds) closeSync(one);
    const request = REQUEST.decode(received.bytes);
    return ino === undefined ? request : { ...request, ino };
  }

  async next(answer: Uint8Array = SUCCESS): Promise<Seen> {
    const request = await this.read();
    await this.socket.send(answer);
    return request;
  }

  async ended(): Promise<boolean> {
    return (await this.socket.receive(1024, 5000)) === 'closed';
  }
}

const message_ = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const failure = (promise: Promise<unknown>): Promise<string> => promise.then(() => '', message_);

test('a new agent gets every pod with its namespace, those without one as keep, then the end of the snapshot', async () => {
  pods = [pod('a'), pod('b', false)];
  const [agent, seen] = await Agent.snapshot();
  assert.is(seen.length, 3);
  assert.is(seen[0]?.add?.uid, 'a');
  assert.equal(
    { ...Object(seen[0]?.add?.workloadInfo) },
    { name: 'a-name', namespace: 'default', serviceAccount: 'sa' },
  );
  assert.is(seen[0]?.ino, netns.ino);
  assert.is(seen[1]?.keep?.uid, 'b');
  assert.is(seen[1]?.ino, undefined);
  agent.socket.close();
});

test('live changes follow the snapshot, each after the acknowledgement of the one before', async () => {
  pods = [pod('a')];
  const agent = await Agent.greet();
  assert.is((await agent.read()).add?.uid, 'a');
  const added = server.add(pod('live'));
  const removed = server.remove('a');
  assert.is(await agent.socket.receive(1024, 20), 'timeout');
  await agent.socket.send(SUCCESS);
  assert.ok((await agent.next()).snapshotSent);
  const live = await agent.next();
  assert.is(live.add?.uid, 'live');
  assert.is(live.ino, netns.ino);
  assert.is((await agent.next()).del?.uid, 'a');
  await added;
  await removed;
  agent.socket.close();
});

test('a pod goes to the newest agent, a removal to all', async () => {
  const [older] = await Agent.snapshot();
  const [newer] = await Agent.snapshot();
  const added = server.add(pod('x'));
  assert.is((await newer.next()).add?.uid, 'x');
  await added;
  const removed = server.remove('x');
  assert.is((await newer.next()).del?.uid, 'x');
  assert.is((await older.next()).del?.uid, 'x');
  await removed;
  older.socket.close();
  newer.socket.close();
});

test('after the newest agent has gone the one before it gets the pods', async () => {
  const [older] = await Agent.snapshot();
  const [newer] = await Agent.snapshot();
  newer.socket.close();
  while (server.agents > 1) await new Promise(setImmediate);
  const added = server.add(pod('x'));
  assert.is((await older.next()).add?.uid, 'x');
  await added;
  older.socket.close();
});

test('a refusal of a live pod is told in the words of the agent; one in the snapshot is logged', async () => {
  pods = [pod('a')];
  const agent = await Agent.greet();
  await agent.next(refusal('failure to start proxy : in use'));
  await agent.next();
  const added = failure(server.add(pod('x')));
  await agent.next(refusal('failure to start proxy : in use'));
  assert.is(await added, 'the node agent refused the pod: failure to start proxy : in use');
  assert.is(
    lines.filter((line) => line.includes('refused a part of the snapshot') && line.includes('uid="a"')).length,
    1,
  );
  assert.is(agentsReady, 1);
  agent.socket.close();
});

test('without an agent a pod is not added', async () => {
  assert.match(await failure(server.add(pod('x'))), /no node agent is connected/);
});

test('names that do not fit into a packet are refused and the connection lives on', async () => {
  const [agent] = await Agent.snapshot();
  assert.match(await failure(server.add({ ...pod('x'), name: 'n'.repeat(1100) })), /more than the 1024 of a packet/);
  const removed = server.remove('y');
  assert.is((await agent.next()).del?.uid, 'y');
  await removed;
  agent.socket.close();
});

for (const [what, act, expected] of [
  ['does not acknowledge in time', async () => undefined, /did not acknowledge within 80 ms/],
  [
    'answers with no acknowledgement',
    (agent: Agent) => agent.socket.send(Buffer.from('1201ff', 'hex')),
    /no acknowledgement|not a valid/,
  ],
  ['answers with noise', (agent: Agent) => agent.socket.send(Buffer.from('ffffff', 'hex')), /not a valid/],
  ['answers too much', (agent: Agent) => agent.socket.send(Buffer.alloc(1025, 'x')), /larger than 1024/],
  ['goes away', async (agent: Agent) => agent.socket.close(), /closed the connection/],
] as const) {
  test(`an agent that ${what} is disconnected and the request fails`, async () => {
    const [agent] = await Agent.snapshot();
    const added = failure(server.add(pod('x')));
    await agent.read();
    await act(agent);
    assert.match(await added, expected);
    if (!agent.socket.closed) assert.ok(await agent.ended());
    while (server.agents > 0) await new Promise(setImmediate);
    agent.socket.close();
  });
}

test('an agent that speaks without being asked is disconnected', async () => {
  const [agent] = await Agent.snapshot();
  await agent.socket.send(SUCCESS);
  assert.ok(await agent.ended());
  agent.socket.close();
});

for (const [what, hello] of [
  ['says nothing', undefined],
  ['speaks another version', Buffer.from('0802', 'hex')],
  ['sends noise', Buffer.from('ff', 'hex')],
] as const) {
  test(`whoever ${what} instead of hello is disconnected`, async () => {
    const agent = new Agent();
    if (hello !== undefined) await agent.socket.send(hello);
    assert.ok(await agent.ended());
    assert.match(lines.join('\n'), 'was no node agent');
    agent.socket.close();
  });
}

test('descriptors that anybody sends are closed', async () => {
  const [agent] = await Agent.snapshot();
  const before = readdirSync('/proc/self/fd').length;
  await agent.socket.send(SUCCESS, [netns.fd, netns.fd]);
  assert.ok(await agent.ended());
  agent.socket.close();
  while (server.agents > 0) await new Promise(setImmediate);
  // The sockets of both ends are gone too.
  assert.is(readdirSync('/proc/self/fd').length, before - 2);
});

test('at most five connections in a second are taken', async () => {
  const agents = Array.from({ length: 6 }, () => new Agent());
  for (const agent of agents) await agent.socket.send(HELLO);
  const started = performance.now();
  for (const agent of agents.slice(0, 5)) assert.ok((await agent.next()).snapshotSent);
  assert.ok(performance.now() - started < 700);
  assert.ok((await agents[5]?.next())?.snapshotSent);
  assert.ok(performance.now() - started > 700);
  for (const agent of agents) agent.socket.close();
});

test.run();
