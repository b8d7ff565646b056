// deadline: 120s
/** What applications speak, through the node agent alone and through node agent and waypoint. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { accessFields, agentFields, at, kind, TestMesh, until } from '../harness/mesh.ts';
import { AMBIENT, deployment, gateway, namespace, peer, service, untilWaypoint, yaml } from './traffic-scenario.ts';

const MEBIBYTE = 1024 * 1024;
const CLIENT = 'shop/client';
const mesh = new TestMesh({
  yaml: yaml(
    namespace('shop', { ...AMBIENT, 'istio.io/use-waypoint': 'waypoint' }),
    namespace('plain'),
    deployment('shop', 'client'),
    deployment('shop', 'server', true),
    deployment('plain', 'outsider'),
    service('shop', 'peer', 'server'),
    service('shop', 'direct', 'server', { 'istio.io/use-waypoint': 'none' }),
    gateway('shop'),
  ),
});

test.before(async () => {
  await mesh.start();
  await untilWaypoint(mesh, CLIENT, 'http://peer/');
});
test.after(async () => {
  assert.equal(await mesh.stop(), [], 'left behind');
});

/** Each case runs against the Service with a waypoint and the one without. */
function both(name: string, play: (host: string, l7: boolean) => Promise<void>): void {
  test(`${name}, through a waypoint`, () => play('peer', true));
  test(`${name}, through node agents alone`, () => play('direct', false));
}

both('a waypoint is in the way or is not', async (host, l7) => {
  const reply = await mesh.curl(CLIENT, '-4', `http://${host}/`);
  assert.is(reply.status, 200);
  assert.is(reply.headers.get('server'), l7 ? 'istio-envoy' : undefined);
  const from = l7 ? 'shop/waypoint' : CLIENT;
  assert.is(reply.headers.get('x-from'), at(await mesh.pod(from), 'status.podIP'), 'the source address that arrives');
});

both('gRPC: HTTP/2 without TLS, both bodies, trailers', async (host, l7) => {
  const { headers, body, trailers } = await peer(mesh, CLIENT, 'grpc', host);
  assert.is(at(headers, ':status'), 200);
  assert.is(at(headers, 'x-path'), '/pkg.Service/Method');
  assert.is(body, 'one,two');
  assert.is(at(trailers, 'grpc-status'), '0');
  assert.is(at(trailers, 'grpc-message'), 'done');
  if (!l7) return;
  const line = accessFields(await mesh.logLine('shop/waypoint', /"POST \/pkg\.Service\/Method HTTP\/2" 200/));
  assert.is(line['received'], '7');
  assert.is(line['sent'], '7');
});

both('WebSocket: 101 and bytes both ways', async (host) => {
  const { status, headers, text } = await peer(mesh, CLIENT, 'websocket', host);
  assert.is(status, 101);
  assert.is(at(headers, 'sec-websocket-accept'), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  assert.is(text, 'the server first,one,two,three');
});

both('10 MiB there and back, byte by byte', async (host) => {
  const size = 10 * MEBIBYTE;
  assert.equal(await peer(mesh, CLIENT, 'bytes', host, String(size)), { status: 200, received: size, same: true });
});

both('a chunked body', async (host) => {
  const { status, headers, body } = await peer(mesh, CLIENT, 'chunked', host);
  assert.is(status, 200);
  assert.is(body, 'one,two,three');
  assert.is(at(headers, 'transfer-encoding'), 'chunked');
});

both('HEAD: the length, no body, and the connection goes on', async (host) => {
  const url = `http://${host}/page`;
  const ran = await mesh.exec(CLIENT, [
    'curl',
    '-sS',
    '-m',
    '5',
    '-I',
    url,
    '--next',
    '-sS',
    '-m',
    '5',
    '-i',
    '-w',
    '%{num_connects}',
    url,
  ]);
  const [head = '', after = ''] = ran.out.split(/\r\n\r\n(?=HTTP)/);
  assert.match(head, /^HTTP\/1\.1 200[^]*content-length: 11/i, ran.err);
  assert.match(after, /GET \/page\n0$/, 'on the same connection');
});

both('Expect: 100-continue', async (host) => {
  const { status, continued, body } = await peer(mesh, CLIENT, 'expect', host);
  assert.equal([status, continued, body], [200, true, 'later']);
});

both('three requests at once on one connection, answered in order', async (host) => {
  const { bodies, text } = await peer(mesh, CLIENT, 'pipeline', host);
  assert.equal(bodies, ['GET /one', 'GET /two', 'GET /three'], String(text));
});

both('a protocol in which the server speaks first', async (host) => {
  const { text } = await peer(mesh, CLIENT, 'greeting', host);
  assert.is(text, '220 peer speaks first\r\nhello');
});

both('the client ends its direction first', async (host) => {
  assert.is((await peer(mesh, CLIENT, 'half', host, String(MEBIBYTE)))['same'], true);
});

both('the server ends its direction first', async (host) => {
  assert.is((await peer(mesh, CLIENT, 'bye', host))['text'], 'bye');
  await until(
    'its last words',
    async () => (await mesh.curl(CLIENT, 'http://direct/farewell')).body === `still here: ${host}`,
  );
});

both('IPv6 to an IPv6 address of the Service', async (host, l7) => {
  const ips: unknown = (await mesh.api.get(kind('services'), 'shop', host)).spec?.['clusterIPs'];
  const v6 = Array.isArray(ips) ? String(ips.find((ip: unknown) => String(ip).includes(':'))) : '';
  assert.match(v6, /^fd00:10:96::/);
  const reply = await mesh.curl(CLIENT, '-g', '-H', `host: ${host}`, `http://[${v6}]/six`);
  assert.is(reply.body, 'GET /six\n', reply.err);
  assert.is(reply.headers.get('server'), l7 ? 'istio-envoy' : undefined);
  if (l7) assert.is(accessFields(await mesh.logLine('shop/waypoint', /"GET \/six /))['downstreamLocal'], `[${v6}]:80`);
  else assert.match(reply.headers.get('x-from') ?? '', /^fd00:10:244::/);
});

test('a TCP port through a waypoint is one line with the bytes of both directions', async () => {
  const since = (await mesh.log('shop/waypoint')).length;
  await peer(mesh, CLIENT, 'greeting', 'peer');
  const line = accessFields(await mesh.logLine('shop/waypoint', /"- - -" .*inbound-vip\|70\|tcp\|/, since));
  assert.is(line['received'], '5');
  assert.is(line['sent'], String('220 peer speaks first\r\nhello'.length));
  assert.match(line['upstream'] ?? '', /^10\.244\.\d+\.\d+:7000$/);
});

test('a pod outside the mesh reaches Services of captured pods', async () => {
  const address = at(await mesh.pod('plain/outsider'), 'status.podIP');
  for (const host of ['direct.shop', 'peer.shop']) {
    const reply = await mesh.curl('plain/outsider', '-4', `http://${host}/`);
    assert.is(reply.status, 200, reply.err);
    assert.is(reply.headers.get('x-from'), address);
    assert.is(reply.headers.get('server'), undefined);
  }
});

test('the node agent tells of both ends with their identities and bytes', async () => {
  const since = (await mesh.log('istio-system/ztunnel')).length;
  await peer(mesh, CLIENT, 'greeting', 'direct');
  for (const direction of ['inbound', 'outbound']) {
    const line = agentFields(
      await mesh.logLine('istio-system/ztunnel', new RegExp(`:7000.*direction="${direction}"`), since),
    );
    assert.is(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
    assert.is(line['dst.identity'], 'spiffe://cluster.local/ns/shop/sa/server');
    assert.equal(
      [line['bytes_sent'], line['bytes_recv']].map(Number).sort((a, b) => a - b),
      [5, 28],
    );
  }
});

test.run();
