import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseIp } from '@ambit/common/address/ip';
import {
  addressRecord,
  encodeMessage,
  parseMessage,
  query,
  RECORD,
  recordAddress,
  reply,
} from '@ambit/common/dns/message';
import { udpIn } from '@ambit/common/linux/sockets';
import type { Policy } from '@ambit/common/model/policy';
import type { Workload } from '@ambit/common/model/workload';
import { service, workload } from '@ambit/ztunnel/mesh.fixture';
import { type AgentNode, connectFrom, serveWorkload, startAgentNode, startEcho, talk } from '../harness/agent-node.ts';
import type { TestPod } from '../harness/netns.ts';

const VIP = '10.96.0.7';

/** The agent between real pods. */
export function ztunnelCases(): void {
  let node: AgentNode;
  let nameServer: UdpSocket;
  /** Addresses that asked the node's name server. */
  const askers: string[] = [];
  const servers: Server[] = [];

  test.before(async () => {
    node = await startAgentNode({
      pods: ['client', 'server', 'outside'],
      enrolled: ['client', 'server'],
      resources: (store, pod) => {
        serveWorkload(store, member(pod('client')));
        serveWorkload(store, member(pod('server')));
        const web = service({
          hostname: 'web.default.svc.cluster.local',
          vips: [VIP],
          ports: { 80: 8080 },
          canonical: true,
        });
        store.set('service', 'default/web.default.svc.cluster.local', web);
      },
    });
    nameServer = startNameServer(askers);
    for (const name of ['server', 'outside']) servers.push(startEcho(node.pod(name), 8080));
  });

  test.after(async () => {
    for (const server of servers) server.close();
    nameServer.close();
    await node.stop();
  });

  test.before.each(() => {
    node.log.length = 0;
    askers.length = 0;
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    test(`ZT-E2E-01 ZT-E2E-02 captured to captured over ${family}: HBONE, identities, byte counts, the client’s address`, async () => {
      const server = node.pod('server')[family];
      assert.is(
        await talk(node.pod('client'), server, 8080, 'hello world'),
        `from ${node.pod('client')[family]}\nhello world`,
      );
      const sent = await node.line('connection complete', 'direction="outbound"');
      const at = (ip: string, port: number): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
      assert.match(sent, `dst.addr=${at(server, 15_008)} dst.hbone_addr=${at(server, 8080)}`);
      assert.match(sent, 'src.identity="spiffe://cluster.local/ns/default/sa/client"');
      assert.match(sent, 'dst.identity="spiffe://cluster.local/ns/default/sa/server"');
      const received = await node.line('connection complete', 'direction="inbound"');
      assert.match(received, 'src.identity="spiffe://cluster.local/ns/default/sa/client"');
      assert.match(sent, /\tinfo\taccess\t.*bytes_sent=11 bytes_recv=\d+ duration="\d+ms"$/);
      assert.match(received, /\tinfo\taccess\t.*bytes_sent=\d+ bytes_recv=11 duration="\d+ms"$/);
    });
  }

  test('a service is reached by its VIP', async () => {
    assert.is(await talk(node.pod('client'), VIP, 80, 'x'), `from ${node.pod('client').ipv4}\nx`);
    const sent = await node.line('connection complete', 'direction="outbound"');
    assert.match(sent, 'dst.service="web.default.svc.cluster.local" dst.workload="server"');
  });

  for (const protocol of ['udp', 'tcp'] as const) {
    test(`DNS over ${protocol}: the mesh’s names from the mesh, others from the node’s name server, asked from the pod`, async () => {
      assert.equal(await resolveIn(node.pod('client'), protocol, 'web'), [VIP]);
      await node.line('\tdns\t', 'domain="web."', 'result="success"');
      const pod = node.pod(protocol === 'udp' ? 'client' : 'server');
      assert.equal(await resolveIn(pod, protocol, 'outside.example'), ['203.0.113.10']);
      await node.line('\tdns\t', 'domain="outside.example."', 'result="forwarded"');
      assert.equal(await resolveIn(pod, protocol, 'outside.example'), ['203.0.113.10']);
      assert.equal(askers, [pod.ipv4]);
    });
  }

  test('a client that connects and ends at once leaves nothing behind', async () => {
    for (const name of ['server', 'outside'])
      await once(connectFrom(node.pod('client'), node.pod(name).ipv4, 8080).end().resume(), 'close');
    await once(connectFrom(node.pod('outside'), node.pod('server').ipv4, 8080).end().resume(), 'close');
    await eventually(() =>
      Promise.resolve(node.log.filter((line) => line.includes('connection complete')).length === 4),
    );
  });

  test('captured to uncaptured: plain TCP', async () => {
    const { ipv4 } = node.pod('outside');
    assert.is(await talk(node.pod('client'), ipv4, 8080, 'x'), `from ${node.pod('client').ipv4}\nx`);
    const sent = await node.line('connection complete', 'direction="outbound"');
    assert.match(sent, `dst.addr=${ipv4}:8080 direction`);
    assert.not.match(sent, 'identity');
  });

  test('uncaptured to captured: plaintext is let in, the client’s address kept', async () => {
    const { ipv4 } = node.pod('server');
    assert.is(await talk(node.pod('outside'), ipv4, 8080, 'x'), `from ${node.pod('outside').ipv4}\nx`);
    const received = await node.line('connection complete', 'direction="inbound"');
    assert.match(received, `src.addr=${node.pod('outside').ipv4}:`);
    assert.not.match(received, 'identity');
  });

  test('nobody listens: the client sees a closed connection, the log says CONNECT', async () => {
    const answer = await talk(node.pod('client'), node.pod('server').ipv4, 9, 'x');
    assert.ok(answer === '' || answer === 'ECONNRESET', answer);
    const refused = await node.line('connection complete', 'direction="inbound"');
    assert.match(refused, /\terror\taccess\t.*connection failed/);
  });

  for (const port of [15_001, 15_006, 15_008]) {
    test(`ZT-E2E-13 a call to ${port} of another pod, of itself or of loopback never loops`, async () => {
      const client = node.pod('client');
      for (const ip of [node.pod('server').ipv4, client.ipv4, '127.0.0.1']) {
        const answer = await talk(client, ip, port, 'x');
        assert.not.match(answer, 'from');
      }
      assert.ok(node.log.length < 40, `${node.log.length} lines`);
    });
  }

  test('ZT-E2E-10 a policy by principal: denied with a reset and a reason, allowed when it matches', async () => {
    apply(node, policy('ALLOW', 'nobody', 'source.principal', 'cluster.local/ns/default/sa/somebody-else'));
    await policyKnown(node, 'nobody', true);
    const denied = await talk(node.pod('client'), node.pod('server').ipv4, 8080, 'x');
    assert.ok(denied === 'ECONNRESET' || denied === '', denied);
    const line = await node.line('connection complete', 'direction="inbound"');
    assert.match(line, 'error="connection closed due to policy rejection: allow policies exist, but none allowed"');
    assert.match(line, 'somebody-else');
    assert.match(await node.line('connection complete', 'direction="outbound"'), 'http status: 401');
    apply(node, policy('ALLOW', 'nobody', 'source.principal', 'cluster.local/ns/default/sa/client'));
    await eventually(async () =>
      (await talk(node.pod('client'), node.pod('server').ipv4, 8080, 'x')).startsWith('from'),
    );
    drop(node, 'nobody');
    await policyKnown(node, 'nobody', false);
  });

  test('plaintext has no principal: a DENY without one cuts it', async () => {
    const strict = policy('DENY', 'strict', 'source.principal', undefined);
    apply(node, strict);
    await policyKnown(node, 'strict', true);
    const answer = await talk(node.pod('outside'), node.pod('server').ipv4, 8080, 'x');
    assert.is(answer, 'ECONNRESET');
    assert.match(await node.line('connection complete', 'error='), 'explicitly denied by: default/strict');
    assert.match(await talk(node.pod('client'), node.pod('server').ipv4, 8080, 'x'), 'from');
    drop(node, 'strict');
    await policyKnown(node, 'strict', false);
  });

  test('ZT-CM-03 a policy change cuts a live connection', async () => {
    const socket = connectFrom(node.pod('client'), node.pod('server').ipv4, 8080);
    await once(socket, 'data');
    const ended = once(socket, 'close').catch((error: unknown) => error);
    apply(node, policy('DENY', 'late', 'source.principal', 'cluster.local/ns/default/sa/client'));
    await ended;
    assert.match(
      await node.line('connection complete', 'direction="inbound"'),
      'connection closed due to policy change',
    );
    drop(node, 'late');
    await policyKnown(node, 'late', false);
  });

  test('a pod that leaves the mesh is no longer captured, and its applications see their connections reset at once', async () => {
    const socket = connectFrom(node.pod('client'), node.pod('server').ipv4, 8080);
    await once(socket, 'data');
    // The agent leaves before the rules do, so the kernel still translates the reset for the application.
    const failed = once(socket, 'error', { signal: AbortSignal.timeout(3000) });
    await node.enrol(['server']);
    const [reset]: NodeJS.ErrnoException[] = await failed;
    assert.is(reset?.code, 'ECONNRESET');
    await node.line('connection complete', 'direction="outbound"', 'connection closed due to connection drain');
    assert.match(await talk(node.pod('client'), node.pod('server').ipv4, 8080, 'x'), 'from');
    const received = await node.line('connection complete', 'direction="inbound"', 'bytes_recv=1 ');
    assert.not.match(received, 'identity');
    await node.enrol(['client', 'server']);
    assert.match(await talk(node.pod('client'), node.pod('server').ipv4, 8080, 'x'), 'from');
  });

  test('ZT-E2E-08 an open connection survives the shutdown until it is closed; new ones fail', async () => {
    const socket = connectFrom(node.pod('client'), node.pod('server').ipv4, 8080);
    await once(socket, 'data');
    const stopped = node.agent.stop();
    socket.write('still here');
    const [echoed] = await once(socket, 'data');
    assert.is(String(echoed), 'still here');
    assert.is(await talk(node.pod('client'), node.pod('server').ipv4, 8080, 'x'), 'ECONNREFUSED');
    const ended = once(socket, 'close');
    socket.end();
    await ended;
    await stopped;
    assert.not.match(node.log.join(), 'connection drain');
  });
}

/** A name server of the node that knows outside.example only. */
function startNameServer(askers: string[]): UdpSocket {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, peer) => {
    askers.push(peer.address);
    const message = parseMessage(bytes);
    const address = parseIp('203.0.113.10');
    if (message === undefined || address === undefined) return;
    const answers =
      message.questions[0]?.name === 'outside.example' ? [addressRecord('outside.example', 60, address)] : [];
    socket.send(encodeMessage(reply(message, { answers, rcode: answers.length > 0 ? 0 : 3 })), peer.port, peer.address);
  });
  return socket.bind(53, '10.244.0.1');
}

/** Asks for A records from inside a pod, at an address where no name server is: the agent has to catch the query. */
async function resolveIn(pod: TestPod, protocol: 'udp' | 'tcp', name: string): Promise<string[]> {
  const bytes = encodeMessage(query(1, name, RECORD.A));
  const answer = protocol === 'udp' ? await askUdp(pod, bytes) : await askTcp(pod, bytes);
  return (parseMessage(answer)?.answers ?? []).map(recordAddress).filter((ip) => ip !== undefined);
}

async function askUdp(pod: TestPod, bytes: Uint8Array): Promise<Uint8Array> {
  const socket = createSocket('udp4');
  try {
    socket.bind({ fd: udpIn(pod.netns, { host: '0.0.0.0', port: 0 }) });
    socket.send(bytes, 53, '198.51.100.53');
    const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(5000) });
    return answer;
  } finally {
    socket.close();
  }
}

async function askTcp(pod: TestPod, bytes: Uint8Array): Promise<Uint8Array> {
  const socket = connectFrom(pod, '198.51.100.53', 53);
  socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]));
  const [answer] = await once(socket, 'data');
  socket.destroy();
  return answer.subarray(2);
}

const member = (pod: TestPod): Workload =>
  workload({
    name: pod.name,
    serviceAccount: pod.name,
    ips: [pod.ipv4, pod.ipv6],
    protocol: 'HBONE',
    workloadName: pod.name,
    canonicalName: pod.name,
    ...(pod.name === 'server' ? { services: { 'default/web.default.svc.cluster.local': { 80: 8080 } } } : {}),
  });

/** A policy of the namespace on one attribute; without a value on its absence. */
function policy(
  action: 'ALLOW' | 'DENY',
  name: string,
  attribute: 'source.principal',
  value: string | undefined,
): Policy {
  const exact = (
    text: string,
  ): Policy['rules'][number]['clauses'][number]['matches'][number]['conditions'][number] => ({
    attribute,
    key: '',
    values: [{ kind: 'exact', value: text, ignoreCase: false }],
    notValues: [],
  });
  const absent = { attribute, key: '', values: [], notValues: [{ kind: 'presence' }] } as const;
  return {
    name,
    namespace: 'default',
    scope: 'NAMESPACE',
    action,
    dryRun: false,
    listeners: [],
    rules: [
      { clauses: [{ origin: 'from', matches: [{ conditions: [value === undefined ? absent : exact(value)] }] }] },
    ],
  };
}

function apply(node: AgentNode, one: Policy): void {
  node.resources.set('authorization', `${one.namespace}/${one.name}`, one);
  node.resources.commit();
}

function drop(node: AgentNode, name: string): void {
  node.resources.delete('authorization', `default/${name}`);
  node.resources.commit();
}

/** Asks the agent's own dump until it knows, or no longer knows, the policy. */
async function policyKnown(_node: AgentNode, name: string, known: boolean): Promise<void> {
  await eventually(async () => {
    const response = await fetch('http://127.0.0.1:15000/config_dump');
    const dump: unknown = await response.json();
    return JSON.stringify(dump).includes(`"name":"${name}","namespace":"default","rules"`) === known;
  });
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('it did not come true within five seconds');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
