// deadline: 30s
import { createServer, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostPort } from '@ambit/common/address/host-port';
import type { SpiffeId } from '@ambit/common/identity/spiffe';
import { socketStream } from '@ambit/common/net/socket-stream';
import { splice } from '@ambit/common/net/splice';
import { acceptHbone, type Credentials, type HboneConnection, HbonePool, type TunnelTarget } from '@ambit/hbone/index';
import { Headers } from '@ambit/http/headers';
import { createTestAuthority } from '../../../../test/harness/certificates.ts';
import type { UpstreamEndpoint } from './contract.ts';
import {
  backendOf,
  type BackendFields,
  endpointAt,
  listening,
  LOOPBACK,
  OneServiceMesh,
  pick,
  send,
  type World,
  worldOf,
} from './upstream.fixture.ts';

const WINDOWS = { streamWindow: 1 << 20, connectionWindow: 4 << 20, frameSize: 1 << 16 };
const authority = createTestAuthority();
const WAYPOINT = authority.issue('spiffe://cluster.local/ns/shop/sa/waypoint');
const POD = authority.issue('spiffe://cluster.local/ns/shop/sa/api');

const servers: (Server | HttpServer)[] = [];
const connections: HboneConnection[] = [];
const worlds: World[] = [];
const pools: HbonePool[] = [];

test.after.each(async () => {
  for (const { upstream } of worlds.splice(0)) upstream.drain();
  for (const connection of connections.splice(0)) connection.destroy();
  for (const pool of pools.splice(0)) await pool[Symbol.asyncDispose]();
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  }
});

interface Seen {
  readonly targets: TunnelTarget[];
  readonly peers: string[];
  readonly authorities: string[];
}

/** A node agent that ends tunnels at an application on loopback, and the waypoint's upstream that dials it instead of port 15008. */
async function node(app: Server | HttpServer, fields: BackendFields = {}, pod: Credentials = POD) {
  const seen: Seen = { targets: [], peers: [], authorities: [] };
  const agent = createTcpServer((socket) => void accept(socket, pod, seen).catch(() => undefined));
  servers.push(app, agent);
  const [appPort, agentPort] = [await listening(app), await listening(agent)];
  const dial = (_address: HostPort): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(agentPort, '127.0.0.1', () => resolve(socket)).on('error', reject);
    });
  const pool = new HbonePool({ maxStreams: 100, idleMs: 60_000, ...WINDOWS, dial });
  pools.push(pool);
  const mesh = new OneServiceMesh([endpointAt('127.0.0.1', appPort, { protocol: 'HBONE', serviceAccount: 'api' })]);
  const world = worldOf(mesh, () => backendOf(fields), {
    identity: () => Promise.resolve(WAYPOINT),
    credential: () => ({
      namespace: 'shop',
      name: 'ca',
      certificateChain: '',
      privateKey: '',
      caCertificates: authority.root,
    }),
    hbone: {
      open: (credentials, target, head, signal) => {
        seen.targets.push(target);
        return pool.open(credentials, target, head, signal);
      },
    },
  });
  worlds.push(world);
  const endpoint: UpstreamEndpoint = await pick(world.upstream);
  return { ...world, endpoint, seen, appPort };
}

async function accept(socket: Socket, pod: Credentials, seen: Seen): Promise<void> {
  const options = { maxConcurrentStreams: 100, pingIntervalMs: 0, pingTimeoutMs: 0, ...WINDOWS };
  const connection = await acceptHbone(socket, {
    ...options,
    credentials: pod,
    trustDomains: ['cluster.local'],
    onTunnel: (request) => {
      seen.peers.push(request.peer.uri);
      seen.authorities.push(request.head.authority);
      const app = connect(Number(request.head.authority.split(':')[1]), '127.0.0.1');
      app.on('connect', () => splice(request.accept(new Headers()), socketStream(app), () => undefined));
      app.on('error', () => request.reject(503));
    },
  });
  connections.push(connection);
}

test('HTTP goes to a pod over HBONE: as the waypoint, to the pod’s identity, tunnels kept alive', async () => {
  const { upstream, endpoint, seen, appPort } = await node(createServer((_, response) => response.end('ok')));
  for (let i = 0; i < 3; i++) assert.is((await send(upstream, endpoint)).body, 'ok');
  assert.equal(seen.peers, ['spiffe://cluster.local/ns/shop/sa/waypoint']);
  assert.equal(seen.authorities, [`127.0.0.1:${appPort}`]);
  const [target] = seen.targets;
  assert.equal(target?.address, { ip: LOOPBACK, port: 15008 });
  assert.equal(
    target?.accept.map((id: SpiffeId) => id.uri),
    ['spiffe://cluster.local/ns/shop/sa/api'],
  );
  assert.is(target?.source, LOOPBACK);
});

test('another identity than the pod’s is refused', async () => {
  const impostor = authority.issue('spiffe://cluster.local/ns/shop/sa/impostor');
  const { upstream, endpoint } = await node(createServer(), {}, impostor);
  const { error } = await send(upstream, endpoint);
  assert.is(error?.code, 'TLS_NAME_MISMATCH');
  assert.match(error?.message ?? '', 'sa/impostor');
});

test('a tunnel that the far node refuses is a refusal that may be retried elsewhere', async () => {
  const app = createServer();
  const { upstream, endpoint } = await node(app);
  await new Promise((resolve) => app.close(resolve));
  const { error } = await send(upstream, endpoint);
  assert.equal([error?.code, error?.kind.retry], ['TUNNEL_REFUSED', true]);
});

test('opaque bytes pass with half-close', async () => {
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket));
  const { upstream, endpoint } = await node(echo);
  const { stream } = await upstream.connect(endpoint, new AbortController().signal);
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  stream.attach({
    onData: (chunk) => (text += Buffer.from(chunk).toString()),
    onEnd: () => resolve(text),
    onDrain: () => undefined,
    onClose: (error) => resolve(error?.message ?? text),
  });
  stream.write(Buffer.from('hello'));
  stream.end();
  assert.is(await promise, 'hello');
});

test('TLS runs inside the tunnel', async () => {
  const uri = 'spiffe://cluster.local/ns/shop/sa/tls-app';
  const app = authority.issue(uri);
  const server = createHttpsServer({ cert: app.certificateChain, key: app.privateKey }, (_, response) => {
    response.end('x'.repeat(300_000));
  });
  const { upstream, endpoint } = await node(server, {
    tls: { subjectAltNames: [uri], credential: 'shop/ca' },
  });
  for (let i = 0; i < 2; i++) {
    const { body, error } = await send(upstream, endpoint);
    assert.equal([error?.message, body.length], [undefined, 300_000]);
  }
});

test('without a certificate of its own the waypoint sends nothing', async () => {
  const mesh = new OneServiceMesh([endpointAt('127.0.0.1', 1, { protocol: 'HBONE' })]);
  const world = worldOf(mesh, () => backendOf());
  const { error } = await send(world.upstream, await pick(world.upstream));
  assert.is(error?.code, 'NO_IDENTITY');
  world.upstream.drain();
});

test.run();
