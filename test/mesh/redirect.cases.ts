import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Server, type Socket, createServer } from 'node:net';
import { formatHostPort } from '@ambit/common/address/host-port';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { applyRules, removeRules } from '@ambit/cni/apply-rules';
import { preflight } from '@ambit/cni/preflight';
import type { RedirectOptions } from '@ambit/cni/redirect-rules';
import { packetSocket } from '@ambit/common/linux/packet';
import {
  type ListenOptions,
  connectSocket,
  fdOf,
  isTransparent,
  listenIn,
  originalDestination,
  socketIn,
  udpIn,
} from '@ambit/common/linux/sockets';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BRIDGE, type TestPod, makeBridge, makePod, run } from '../harness/netns.ts';

const MARK = 1337;
const OPTIONS: RedirectOptions = { dnsCapture: true, bypassInbound: false, ipv6: true };

/** What a listener of the node agent learns of a connection. */
interface Arrival {
  readonly listener: string;
  readonly peer: string;
  readonly destination: string;
}

/** Redirection in real namespaces: the same cases as root and rootless. */
export function redirectCases(): void {
  let pod: TestPod;
  let peer: TestPod;
  const arrivals: Arrival[] = [];
  const servers: Server[] = [];
  const resolvers: UdpSocket[] = [];

  /** Answers each connection with the listener's name and notes where it was going. */
  const serve = (where: TestPod, name: string, options: Pick<ListenOptions, 'host' | 'port' | 'transparent'>): void => {
    const fd = listenIn(where.netns, { mark: MARK, reusePort: true, backlog: 128, ...options });
    const server = createServer((socket) => {
      arrivals.push({ listener: name, peer: end(socket.remoteAddress), destination: destinationOf(socket) });
      socket.on('error', () => undefined);
      socket.once('data', (data) => socket.end(`${name} heard ${String(data)}`));
    });
    servers.push(server.listen({ fd, backlog: 128 }));
  };

  const resolve = (where: TestPod, host: string): void => {
    const fd = udpIn(where.netns, { host, port: 15_053, mark: MARK, reusePort: true });
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (query, from) => socket.send(`dns heard ${String(query)}`, from.port, from.address));
    resolvers.push(socket.bind({ fd }));
  };

  test.before(async () => {
    makeBridge();
    pod = makePod('pod', 2);
    peer = makePod('peer', 3);
    await preflight();
    await applyRules(pod.netns, OPTIONS);
    for (const port of [15_001, 15_006, 15_008]) serve(pod, `pod:${port}`, { host: '::', port, transparent: true });
    for (const host of ['127.0.0.1', '::1']) {
      serve(pod, 'pod:15053', { host, port: 15_053 });
      resolve(pod, host);
    }
    serve(pod, 'application', { host: '::', port: 8080 });
    for (const port of [80, 53]) serve(peer, `peer:${port}`, { host: '::', port });
  });
  test.after(() => {
    for (const server of servers) server.close();
    for (const socket of resolvers) socket.close();
    pod.netns.close();
    peer.netns.close();
  });
  test.before.each(() => void (arrivals.length = 0));

  const call = (from: TestPod, to: string, mark?: number): Promise<string> => talk(open(from, to, mark));
  const open = (from: TestPod, to: string, mark?: number): Socket => {
    const { ip, port } = address(to);
    const marks = mark === undefined ? {} : { mark };
    return connectSocket(socketIn(from.netns, { family: ip.includes(':') ? 6 : 4, ...marks }), { ip, port });
  };

  for (const [family, podIp, peerIp] of [
    ['IPv4', '10.244.0.2', '10.244.0.3'],
    ['IPv6', 'fd00:10:244::2', 'fd00:10:244::3'],
  ] as const) {
    const at = (ip: string, port: number): string => formatHostPort(literal(ip), port);

    test(`${family}: what the application opens arrives at 15001 with its destination`, async () => {
      assert.is(await call(pod, at(peerIp, 80)), 'pod:15001 heard hello');
      assert.equal(arrivals, [{ listener: 'pod:15001', peer: podIp, destination: at(peerIp, 80) }]);
    });

    test(`${family}: what the node agent opens passes`, async () => {
      assert.is(await call(pod, at(peerIp, 80), MARK), 'peer:80 heard hello');
      assert.equal(arrivals, [{ listener: 'peer:80', peer: podIp, destination: 'none' }]);
    });

    test(`${family}: what comes from outside arrives at 15006, from its sender, with its destination`, async () => {
      assert.is(await call(peer, at(podIp, 8080)), 'pod:15006 heard hello');
      assert.equal(arrivals, [{ listener: 'pod:15006', peer: peerIp, destination: at(podIp, 8080) }]);
    });

    test(`${family}: tunnels to 15008 arrive as they are`, async () => {
      assert.is(await call(peer, at(podIp, 15_008)), 'pod:15008 heard hello');
      assert.equal(arrivals, [{ listener: 'pod:15008', peer: peerIp, destination: at(podIp, 15_008) }]);
    });

    test(`${family}: the pod calling itself is left alone`, async () => {
      assert.is(await call(pod, at(podIp, 8080)), 'application heard hello');
      assert.is(await call(pod, at(family === 'IPv4' ? '127.0.0.1' : '::1', 8080)), 'application heard hello');
    });

    test(`${family}: DNS over UDP and TCP arrives at 15053`, async () => {
      assert.is(await ask(pod, peerIp), 'dns heard query');
      assert.is(await call(pod, at(peerIp, 53)), 'pod:15053 heard hello');
      assert.is(arrivals[0]?.destination, at(peerIp, 53));
      assert.is(await call(pod, at(peerIp, 53), MARK), 'peer:53 heard hello');
    });

    test(`${family}: the node agent reaches the application with the address of the client`, async () => {
      for (const port of [0, 40_404]) {
        const fd = socketIn(pod.netns, {
          family: family === 'IPv4' ? 4 : 6,
          mark: MARK,
          transparent: true,
          bind: { ip: literal(peerIp), port },
        });
        assert.ok(isTransparent(fd) || family === 'IPv6');
        const socket = connectSocket(fd, { ip: literal(podIp), port: 8080 });
        assert.is(await talk(socket), 'application heard hello');
      }
      assert.equal(
        arrivals.map((one) => [one.listener, one.peer]),
        [
          ['application', peerIp],
          ['application', peerIp],
        ],
      );
    });
  }

  test('loading the rules again changes nothing', async () => {
    const before = state(pod);
    await applyRules(pod.netns, OPTIONS);
    assert.is(state(pod), before);
    assert.is(before.match(/32764:/g)?.length, 2);
  });

  test('without DNS capture names are asked where they were asked before', async () => {
    await applyRules(pod.netns, { ...OPTIONS, dnsCapture: false });
    assert.is(await call(pod, '10.244.0.3:53'), 'pod:15001 heard hello');
    assert.not.match(state(pod), 'istio-ambient-raw');
  });

  test('with inbound bypassed the application is reached directly', async () => {
    await applyRules(pod.netns, { ...OPTIONS, bypassInbound: true });
    assert.is(await call(peer, '10.244.0.2:8080'), 'application heard hello');
    assert.is(await call(pod, '10.244.0.3:80'), 'pod:15001 heard hello');
  });

  test('traffic of a virtual interface counts as outgoing', async () => {
    await applyRules(pod.netns, { ...OPTIONS, virtualInterfaces: ['eth0'] });
    assert.is(await call(peer, '10.244.0.2:8080'), 'pod:15001 heard hello');
    await applyRules(pod.netns, OPTIONS);
  });

  test('a capture on the bridge sees what crosses it, and nothing that stays inside a pod', async () => {
    const seen: string[] = [];
    const capture = packetSocket(BRIDGE, (frame) => void seen.push(Buffer.from(frame).toString('latin1')));
    await talk(open(pod, '10.244.0.3:80'), 'inside');
    await talk(open(pod, '10.244.0.3:80', MARK), 'outside');
    capture.close();
    assert.ok(seen.some((frame) => frame.includes('outside')));
    assert.not(seen.some((frame) => frame.includes('inside')));
  });

  test('a refused transaction names what nft said and leaves the old rules', async () => {
    const before = state(pod);
    const names = Array.from({ length: 2 }, () => 'bad name');
    const failure = await applyRules(pod.netns, { ...OPTIONS, virtualInterfaces: names }).catch(
      (error: Error) => error.message,
    );
    assert.match(String(failure), /is not an interface name/);
    assert.is(state(pod), before);
  });

  test('removal leaves nothing, twice', async () => {
    await removeRules(pod.netns);
    await removeRules(pod.netns);
    assert.is(run('pod', 'nft', 'list', 'ruleset'), '');
    assert.not.match(state(pod), /32764:/);
    assert.is(run('pod', 'ip', 'route', 'show', 'table', 'all').includes('table 100'), false);
    assert.is(await call(pod, '10.244.0.3:80'), 'peer:80 heard hello');
    assert.is(await call(peer, '10.244.0.2:8080'), 'application heard hello');
  });
}

const literal = (text: string): IpAddress => {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`${text} is no address`);
  return ip;
};

function address(text: string): { ip: IpAddress; port: number } {
  const colon = text.lastIndexOf(':');
  return { ip: literal(text.slice(0, colon).replace(/^\[|\]$/g, '')), port: Number(text.slice(colon + 1)) };
}

const end = (text: string | undefined): string => literal(text ?? '');

function destinationOf(socket: Socket): string {
  const found = originalDestination(fdOf(socket));
  return found === undefined ? 'none' : formatHostPort(found.ip, found.port);
}

async function talk(socket: Socket, words = 'hello'): Promise<string> {
  socket.setTimeout(3000, () => socket.destroy(new Error('no answer within 3 s')));
  socket.end(words);
  return Buffer.concat(await socket.toArray()).toString();
}

async function ask(from: TestPod, server: string): Promise<string> {
  const v6 = server.includes(':');
  const socket = createSocket(v6 ? 'udp6' : 'udp4').bind({
    fd: udpIn(from.netns, { host: v6 ? '::' : '0.0.0.0', port: 0 }),
  });
  try {
    socket.send('query', 53, server);
    const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(3000) });
    return String(answer);
  } finally {
    socket.close();
  }
}

/** Everything the rules consist of, without counters. */
const state = (pod: TestPod): string =>
  [
    run(pod.name, 'nft', '-s', 'list', 'ruleset').replace(/packets \d+ bytes \d+/g, ''),
    run(pod.name, 'ip', 'rule'),
    run(pod.name, 'ip', '-6', 'rule'),
    run(pod.name, 'ip', 'route', 'show', 'table', 'all'),
    run(pod.name, 'ip', '-6', 'route', 'show', 'table', 'all'),
  ].join('---\n');
