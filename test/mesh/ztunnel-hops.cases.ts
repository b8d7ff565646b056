import { once } from 'node:events';
import type { Server } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ResourceStore } from '@ambit/controlplane/serve/resources';
import { gateway, service, workload } from '@ambit/ztunnel/mesh.fixture';
import { type AgentNode, connectFrom, serveWorkload, startAgentNode, startEcho, talk } from '../harness/agent-node.ts';
import { askTunnel, startNetworkGateway, startSandwich } from '../harness/hbone-peer.ts';
import { run, type TestPod } from '../harness/netns.ts';

const id = (account: string, domain = 'cluster.local'): string => `spiffe://${domain}/ns/default/sa/${account}`;
const host = (name: string): string => `${name}.default.svc.cluster.local`;
const key = (name: string): string => `default/${host(name)}`;

type WorkloadPart = Parameters<typeof workload>[0];

function member(store: ResourceStore, pod: TestPod, part: Partial<WorkloadPart> = {}): void {
  serveWorkload(
    store,
    workload({
      name: pod.name,
      serviceAccount: pod.name,
      ips: [pod.ipv4, pod.ipv6],
      protocol: 'HBONE',
      workloadName: pod.name,
      canonicalName: pod.name,
      ...part,
    }),
  );
}

function serve(store: ResourceStore, name: string, part: Omit<Parameters<typeof service>[0], 'hostname'>): void {
  store.set('service', key(name), service({ ...part, hostname: host(name) }));
}

function describeMesh(store: ResourceStore, pod: (name: string) => TestPod): void {
  const to = (ports: Record<string, number>): Record<string, Record<number, number>> =>
    Object.fromEntries(Object.entries(ports).map(([name, port]) => [key(name), { 80: port }]));
  member(store, pod('client'));
  member(store, pod('web1'), { services: to({ web: 8080, half: 8080, named: 8080 }) });
  member(store, pod('web2'), { services: to({ web: 8080 }) });
  member(store, pod('guarded'), { waypoint: gateway(`${pod('sandwich').ipv4}:15008`) });
  member(store, pod('sandwich'), {
    applicationTunnel: { protocol: 'PROXY', port: 15_088 },
    hostname: 'waypoint.example',
    services: { [key('waypoint')]: { 15008: 15_008 } },
  });
  member(store, pod('plain'));
  member(store, pod('alien'), { trustDomain: 'other.domain' });
  // An endpoint where nobody listens.
  member(store, pod('outside'), { protocol: 'TCP', services: to({ half: 9 }) });
  member(store, pod('gateway'), { services: { [key('gateway')]: { 15009: 15_010 } } });
  serve(store, 'web', { vips: ['10.96.0.7'], ports: { 80: 8080 } });
  serve(store, 'half', { vips: ['10.96.0.8'], ports: { 80: 0 } });
  serve(store, 'named', { vips: ['10.96.0.9'], ports: { 80: 0 } });
  serve(store, 'waypoint', { vips: ['10.96.0.10'], ports: { 15008: 15_008 } });
  serve(store, 'gateway', { vips: ['10.96.0.11'], ports: { 15009: 15_009 } });
  serve(store, 'by-ip', { vips: ['10.96.0.21'], ports: { 80: 1 }, waypoint: gateway(`${pod('sandwich').ipv4}:15008`) });
  serve(store, 'by-host', { vips: ['10.96.0.22'], ports: { 80: 1 }, waypoint: gateway(`${key('waypoint')}:15008`) });
  serve(store, 'by-workload', {
    vips: ['10.96.0.23'],
    ports: { 80: 1 },
    waypoint: gateway('default/waypoint.example:15008'),
  });
  serve(store, 'plainly', {
    vips: ['10.96.0.24'],
    ports: { 8080: 1 },
    waypoint: gateway(`${pod('plain').ipv4}:15008`),
  });
  for (const [name, vip, way] of [
    ['far-ip', '10.96.0.31', `${pod('gateway').ipv4}:15010`],
    ['far-host', '10.96.0.32', `${key('gateway')}:15009`],
  ] as const) {
    serve(store, name, { vips: [vip], ports: { 80: 8080 }, subjectAltNames: [id('web1')] });
    const far = { name, network: 'remote', node: 'elsewhere', networkGateway: gateway(way) };
    serveWorkload(store, workload({ ...far, protocol: 'HBONE', services: { [key(name)]: { 80: 8080 } } }));
  }
  const self = { name: 'ztunnel', namespace: 'istio-system', serviceAccount: 'ztunnel', ips: ['10.244.0.1'] };
  serveWorkload(store, workload({ ...self, protocol: 'HBONE', workloadName: 'ztunnel' }));
}

const PODS = ['client', 'web1', 'web2', 'guarded', 'sandwich', 'plain', 'alien', 'outside', 'gateway'] as const;

/** Next hops of every kind, between real pods. */
export function ztunnelHopCases(): void {
  let node: AgentNode;
  const servers: Server[] = [];
  /** What the proxy of the waypoint and the gateway were told. */
  const seen: string[] = [];
  const asked: string[] = [];

  test.before(async () => {
    node = await startAgentNode({
      pods: PODS,
      enrolled: PODS.filter((name) => name !== 'outside' && name !== 'gateway'),
      resources: describeMesh,
      env: {
        POD_NAME: 'ztunnel',
        POD_NAMESPACE: 'istio-system',
        SERVICE_ACCOUNT: 'ztunnel',
        UNSTABLE_ENABLE_SOCKS5: 'true',
      },
    });
    for (const name of ['web1', 'web2', 'guarded', 'alien']) servers.push(startEcho(node.pod(name), 8080));
    const { ipv4: to } = node.pod('web1');
    servers.push(startEcho(node.pod('outside'), 8082));
    servers.push(startSandwich(node.pod('sandwich'), 15_088, { proxied: true, to, toPort: 8080, seen }));
    servers.push(startSandwich(node.pod('plain'), 8080, { proxied: false, to, toPort: 8080, seen }));
    const credentials = node.issue(id('gateway'));
    servers.push(startNetworkGateway(node.pod('gateway'), 15_010, { credentials, to, asked }));
  });

  test.after(async () => {
    for (const server of servers) server.close();
    await node.stop();
  });

  test.before.each(() => {
    node.log.length = 0;
    seen.length = 0;
    asked.length = 0;
  });

  const call = (ip: string, port: number): Promise<string> => talk(node.pod('client'), ip, port, 'hello');

  test('ZT-E2E-03 ZT-E2E-06 the waypoint of a workload, behind the agent with a PROXY header', async () => {
    const { ipv4 } = node.pod('guarded');
    assert.match(await call(ipv4, 8080), 'hello');
    const sent = await node.line('connection complete', 'direction="outbound"', 'src.workload="client"');
    assert.match(sent, `dst.addr=${node.pod('sandwich').ipv4}:15008 dst.hbone_addr=${ipv4}:8080`);
    assert.match(sent, 'dst.workload="sandwich"');
    assert.equal(seen, [`${node.pod('client').ipv4} → ${ipv4}:8080 ${id('client')}`]);
  });

  for (const [title, vip] of [
    ['by its address', '10.96.0.21'],
    ['by the name of a service', '10.96.0.22'],
    ['by the name of a workload', '10.96.0.23'],
  ] as const) {
    test(`ZT-E2E-04 the waypoint of a service, named ${title}`, async () => {
      assert.match(await call(vip, 80), 'hello');
      const sent = await node.line('connection complete', 'direction="outbound"', 'src.workload="client"');
      assert.match(sent, `dst.addr=${node.pod('sandwich').ipv4}:15008 dst.hbone_addr=${vip}:80 dst.service=`);
      assert.equal(seen, [`${node.pod('client').ipv4} → ${vip}:80 ${id('client')}`]);
    });
  }

  test('ZT-E2E-06 a waypoint behind the agent without a PROXY header', async () => {
    assert.match(await call('10.96.0.24', 8080), 'hello');
    const sent = await node.line('connection complete', 'direction="outbound"', 'src.workload="client"');
    assert.match(sent, `dst.addr=${node.pod('plain').ipv4}:15008 dst.hbone_addr=10.96.0.24:8080`);
  });

  for (const [title, name, vip] of [
    ['address', 'far-ip', '10.96.0.31'],
    ['service', 'far-host', '10.96.0.32'],
  ] as const) {
    test(`ZT-E2E-05 ZT-OUT-03 ZT-OUT-04 another network through a gateway given by ${title}`, async () => {
      assert.match(await call(vip, 80), 'hello');
      const sent = await node.line('connection complete', 'direction="outbound"');
      assert.match(sent, `dst.addr=${node.pod('gateway').ipv4}:15010 dst.hbone_addr=${host(name)}:80`);
      assert.match(sent, `dst.workload="web1" dst.namespace="default" dst.identity="${id('web1')}"`);
      assert.match(sent, 'bytes_sent=5');
      // The network is told to the far end only, inside the inner tunnel.
      assert.equal(asked, [`${host(name)}:80 -`]);
    });
  }

  test('ZT-E2E-07 every endpoint of a service is used, and both sides name the service', async () => {
    const both = (): boolean =>
      ['web1', 'web2'].every((name) => node.log.some((line) => line.includes(`dst.workload="${name}"`)));
    for (let round = 0; round < 60 && !both(); round++) await call('10.96.0.7', 80);
    assert.ok(both());
    for (const direction of ['outbound', 'inbound'])
      assert.match(await node.line('connection complete', `direction="${direction}"`), `dst.service="${host('web')}"`);
  });

  test('an endpoint that cannot be reached costs one more attempt, not the connection', async () => {
    const failed = (): boolean => node.log.some((line) => line.includes('\terror\t') && line.includes(':9 '));
    for (let round = 0; round < 60 && !failed(); round++) assert.match(await call('10.96.0.8', 80), 'hello');
    assert.ok(failed());
  });

  test('ZT-E2E-09 a server that vanishes breaks its connections; new ones connect and then fail', async () => {
    const { ipv4 } = node.pod('web2');
    const server = startEcho(node.pod('web2'), 8081);
    server.on('connection', (socket) => socket.once('data', () => socket.resetAndDestroy()));
    const open = connectFrom(node.pod('client'), ipv4, 8081);
    await once(open, 'data');
    const broken = once(open, 'error');
    open.write('x');
    const [error]: NodeJS.ErrnoException[] = await broken;
    assert.is(error?.code, 'ECONNRESET');
    server.close();
    const late = connectFrom(node.pod('client'), ipv4, 8081);
    await once(late, 'connect');
    const [refused]: NodeJS.ErrnoException[] = await once(late, 'error');
    assert.is(refused?.code, 'ECONNRESET');
  });

  for (const [title, target, port, expected] of [
    ['a pod with HBONE', 'web1', 8080, /dst.addr=10.244.0.11:15008/],
    ['a pod without', 'outside', 8082, /dst.addr=10.244.0.17:8082 dst.workload="outside"/],
    ['a VIP', '10.96.0.7', 80, /dst.service="web.default.svc.cluster.local"/],
    ['a host name', 'web', 80, /dst.service="web.default.svc.cluster.local"/],
  ] as const) {
    test(`ZT-DIR-03 SOCKS5 to ${title}`, async () => {
      const pod = PODS.find((name) => name === target);
      const host = pod === undefined ? target : node.pod(pod).ipv4;
      assert.match(await talkSocks(node.pod('client'), host, port, 'hello'), /^from .*\nhello$/);
      assert.match(await node.line('connection complete', 'direction="outbound"'), expected);
    });
  }

  test('ZT-DIR-03 SOCKS5: names that nobody knows and other protocols are refused with their code', async () => {
    assert.is(await talkSocks(node.pod('client'), 'nobody.invalid', 80, ''), 'refused with 4');
    const socket = connectFrom(node.pod('client'), '127.0.0.1', 15_080);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    const [reply]: Buffer[] = await once(socket, 'data');
    assert.is(reply?.toString('hex'), '05070001000000000000');
  });

  test('ZT-ZDS-12 every socket of the agent in a pod carries the mark', async () => {
    const open = connectFrom(node.pod('client'), node.pod('web1').ipv4, 8080);
    await once(open, 'data');
    const listening = run('client', 'ss', '-tulnHe').trim().split('\n');
    assert.ok(listening.length >= 5);
    for (const line of listening) assert.match(line, 'fwmark:0x539');
    const tunnels = run('client', 'ss', '-tnHe', 'dport', '=', '15008').trim().split('\n');
    for (const line of tunnels) assert.match(line, 'fwmark:0x539');
    open.destroy();
  });

  test('ZT-DIR-05 only the settled metrics are not called unstable', async () => {
    const text = await (await fetch('http://127.0.0.1:15020/metrics')).text();
    const help = text.split('\n').filter((line) => line.startsWith('# HELP') && !line.includes('(unstable)'));
    const names = help.map((line) => line.split(' ')[2] ?? '').toSorted();
    const tcp = ['connections_closed', 'connections_opened', 'received_bytes', 'sent_bytes'];
    assert.equal(names, [
      'istio_build',
      ...tcp.map((name) => `istio_tcp_${name}`),
      'process_max_fds',
      'process_open_fds',
    ]);
  });

  test('ZT-CFG-05 the dump: certificates in order with their state, waypoints as text', async () => {
    const text = await (await fetch('http://127.0.0.1:15000/config_dump')).text();
    const identities = [...text.matchAll(/"identity": "([^"]+)",\s+"rootCerts": \[\s+\{/g)].map(([, one]) => one ?? '');
    assert.ok(identities.includes(id('client')));
    assert.equal(identities, identities.toSorted());
    assert.match(text, /"state": "Available"/);
    assert.match(text, /"state": "Unavailable: no certificate for spiffe:\/\/other\.domain/);
    assert.match(text, `"destination": "/${node.pod('sandwich').ipv4}"`);
    assert.match(text, `"destination": "${key('waypoint')}"`);
    assert.not.match(text, 'PRIVATE KEY');
  });

  test('a node that vanishes is noticed within about ten seconds when bytes wait for it', async () => {
    const { ipv4 } = node.pod('guarded');
    const direct = connectFrom(node.pod('sandwich'), ipv4, 8080);
    await once(direct, 'data');
    run('guarded', 'ip', 'link', 'set', 'eth0', 'down');
    const started = performance.now();
    direct.setTimeout(0);
    direct.write('is anybody there?');
    const [error]: NodeJS.ErrnoException[] = await once(direct, 'error', { signal: AbortSignal.timeout(20_000) });
    assert.is(error?.code, 'ECONNRESET');
    assert.ok(performance.now() - started < 14_000, `${performance.now() - started} ms`);
  });

  test('ZT-E2E-11 a tunnel to another pod answers 400 and says so', async () => {
    const { ipv4 } = node.pod('web1');
    const ask = { at: ipv4, accept: id('web1'), authority: `${node.pod('web2').ipv4}:8080` };
    assert.match(await askTunnel(node.pod('outside'), node.issue(id('peer')), ask), 'http status: 400');
    await node.line('connection failed', `ip mismatch: ${ipv4} != ${node.pod('web2').ipv4}`);
  });

  for (const [title, name] of [
    ['numbered', 'web'],
    ['named', 'named'],
  ] as const) {
    test(`ZT-E2E-12 a tunnel to a host name reaches its ${title} target port`, async () => {
      const ask = { at: node.pod('web1').ipv4, accept: id('web1'), authority: `${host(name)}:80` };
      const answer = await askTunnel(node.pod('outside'), node.issue(id('peer')), ask);
      assert.is(answer, `from ${node.pod('outside').ipv4}\n`);
    });
  }

  test('ZT-E2E-14 a peer of another trust domain is refused, an application that calls one is reset', async () => {
    const ask = { at: node.pod('web1').ipv4, accept: id('web1'), authority: `${node.pod('web1').ipv4}:8080` };
    const foreign = node.issue(id('peer', 'other.domain'));
    assert.not.match(await askTunnel(node.pod('outside'), foreign, ask), 'from');
    await node.line('connection failed', 'direction="inbound"', 'is of another trust domain, expected cluster.local');
    const answer = await call(node.pod('alien').ipv4, 8080);
    assert.ok(answer === 'ECONNRESET' || answer === '', answer);
  });

  test('ZT-E2E-15 certificates are prefetched for pods of this node, shared by identity, dropped with the last', async () => {
    const ghost = (name: string, where: string): ReturnType<typeof workload> =>
      workload({ name, serviceAccount: `ghost-${where}`, protocol: 'HBONE', node: where });
    for (const one of [ghost('g1', 'local'), ghost('g2', 'local'), ghost('g3', 'elsewhere')])
      serveWorkload(node.resources, one);
    node.resources.commit();
    const held = async (): Promise<string[]> => {
      const response = await fetch('http://127.0.0.1:15000/config_dump');
      const identities = (await response.text()).matchAll(/"identity": "([^"]*ghost[^"]*)"/g);
      return [...identities].map(([, identity = '']) => identity);
    };
    await eventually(async () => String(await held()) === id('ghost-local'));
    node.resources.delete('workload', ghost('g1', 'local').uid);
    node.resources.delete('workload', ghost('g3', 'elsewhere').uid);
    node.resources.commit();
    assert.equal(await held(), [id('ghost-local')]);
    node.resources.delete('workload', ghost('g2', 'local').uid);
    node.resources.commit();
    await eventually(async () => (await held()).length === 0);
  });

  test('ZT-E2E-16 the agent’s own metrics are reached through the mesh', async () => {
    const socket = connectFrom(node.pod('client'), '10.244.0.1', 15_020);
    let answer = '';
    socket.on('data', (chunk) => (answer += String(chunk)));
    socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    await once(socket, 'close');
    assert.match(answer, /^HTTP\/1.1 200 OK/);
    assert.match(answer, 'istio_build{');
    const received = await node.line('connection complete', 'direction="inbound"');
    assert.match(received, `src.identity="${id('client')}"`);
    assert.match(received, 'dst.hbone_addr=10.244.0.1:15020 dst.workload="ztunnel"');
  });

  test('ZT-E2E-18 ZT-CFG-07 metrics are the same in every compression; their form follows the Accept header', async () => {
    const page = async (headers: Record<string, string>): Promise<Response> =>
      fetch('http://127.0.0.1:15020/stats/prometheus', { headers });
    const opened = async (encoding: string): Promise<string> => {
      const response = await page({ 'accept-encoding': encoding });
      assert.is(response.headers.get('content-encoding') ?? 'identity', encoding);
      return (await response.text())
        .split('\n')
        .filter((line) => line.startsWith('istio_tcp_connections'))
        .join('\n');
    };
    const plain = await opened('identity');
    assert.match(plain, 'istio_tcp_connections_opened_total{');
    for (const encoding of ['gzip', 'br', 'zstd', 'deflate']) assert.is(await opened(encoding), plain);
    const types = await Promise.all(
      ['application/openmetrics-text', 'text/plain, application/openmetrics-text;q=0.5', 'text/plain'].map(
        async (accept) => (await page({ accept })).headers.get('content-type'),
      ),
    );
    const open = 'application/openmetrics-text;charset=utf-8;version=1.0.0';
    assert.equal(types, [open, open, 'text/plain; charset=utf-8']);
  });
}

/** Greeting, request and payload in one go, as an impatient client sends them. */
async function talkSocks(pod: TestPod, host: string, port: number, text: string): Promise<string> {
  const socket = connectFrom(pod, '127.0.0.1', 15_080);
  const parsed = /^\d+(\.\d+){3}$/.test(host);
  const address = parsed ? [1, ...host.split('.').map(Number)] : [3, host.length, ...Buffer.from(host)];
  const request = [5, 1, 0, ...address, port >> 8, port & 0xff];
  socket.end(Buffer.concat([Buffer.from([5, 1, 0, ...request]), Buffer.from(text)]));
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  const received = Buffer.concat(chunks);
  assert.is(received.subarray(0, 2).toString('hex'), '0500');
  return received[3] === 0 ? received.subarray(12).toString() : `refused with ${received[3]}`;
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('it did not come true within five seconds');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
