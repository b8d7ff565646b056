import { MeshError } from '@ambit/common/errors';
import type { Condition, Policy } from '@ambit/common/model/policy';
import { Headers } from '@ambit/http/headers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { endpointAt, picked, settle, TestBed } from './waypoint.fixture.ts';
import type { TestClient } from './stream.fixture.ts';

const GET = 'GET /get HTTP/1.1\r\nHost: httpbin.org\r\nUser-Agent: curl/8.7.1\r\n\r\n';
const DATE = 'Sat, 21 Nov 2026 10:00:00 GMT';

async function send(bed: TestBed, text: string): Promise<TestClient> {
  const client = bed.open();
  client.send(text);
  await settle();
  return client;
}

test('a request passes with the headers and the log line of Envoy', async () => {
  const bed = new TestBed();
  const client = await send(bed, GET);
  const { head, options } = bed.upstream.last;
  assert.equal(head.headers.flat(), [
    'user-agent',
    'curl/8.7.1',
    'x-forwarded-proto',
    'http',
    'x-request-id',
    'new-id',
  ]);
  assert.is(`${head.method} ${head.scheme} ${head.authority} ${head.path}`, 'GET http httpbin.org /get');
  assert.equal(options, { endStream: true, protocol: 'HTTP1' });
  bed.now += 259;
  bed.upstream.last.head200(
    { status: 200, headers: new Headers(['server', 'gunicorn', 'content-length', '5', 'date', 'x']) },
    false,
  );
  bed.now += 1;
  bed.upstream.last.handler.onData(Buffer.from('hello'));
  bed.upstream.last.handler.onEnd();
  await settle();
  assert.is(
    client.received,
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ndate: x\r\nx-envoy-upstream-service-time: 259\r\nserver: istio-envoy\r\n\r\nhello',
  );
  assert.equal(bed.lines, [
    '[2026-11-21T10:00:00.000Z] "GET /get HTTP/1.1" 200 - via_upstream - "-" 0 5 260 259 "-" "curl/8.7.1" "new-id" "httpbin.org" ' +
      '"203.0.113.10:80" inbound-vip|80|http|httpbin.org; 10.0.0.9:40000 240.240.0.2:80 10.244.0.18:41548 - default',
  ]);
  assert.is(bed.upstream.last.resetWith, undefined, 'a connection that can be used again is not reset');
});

test('requests of one connection follow each other, pipelined ones too', async () => {
  const bed = new TestBed();
  const client = await send(bed, GET + GET.replace('/get', '/second'));
  assert.is(bed.upstream.requests.length, 1);
  bed.upstream.last.answer(200, ['content-length', '1'], 'a');
  await settle();
  assert.is(bed.upstream.last.head.path, '/second');
  bed.upstream.last.answer(204);
  await settle();
  assert.match(client.received, /\r\n\r\naHTTP\/1\.1 204 No Content\r\n/);
  client.send(GET);
  await settle();
  bed.upstream.last.answer(200);
  await settle();
  assert.match(client.received, /HTTP\/1\.1 200 OK\r\n[^]*content-length: 0\r\n\r\n$/);
  assert.is(bed.lines.length, 3);
});

test('bodies without a length are chunked, and request bodies arrive', async () => {
  const bed = new TestBed();
  const client = await send(bed, 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
  assert.is(bed.upstream.last.body, 'abc');
  client.send('2\r\nde\r\n0\r\n\r\n');
  await settle();
  assert.ok(bed.upstream.last.ended);
  assert.is(bed.upstream.last.body, 'abcde');
  bed.upstream.last.answer(200, [], 'hi');
  await settle();
  assert.match(client.received, /transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n$/);
  assert.match(bed.lines[0] ?? '', / 5 2 0 0 "-"/);
});

const REFUSALS: readonly (readonly [request: string, status: string, body: string, log: RegExp])[] = [
  ['GET / HTTP/1.1\r\n\r\n', '400 Bad Request', '', /"GET \/ HTTP\/1\.1" 400 - missing_host_header /],
  [
    'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
    '426 Upgrade Required',
    'Upgrade Required',
    /"- - HTTP\/1\.1" 426 DPE low_version /,
  ],
  [
    'GET /\r\nHost: a\r\n\r\n',
    '400 Bad Request',
    'Bad Request',
    /"- - HTTP\/1\.1" 400 DPE http1\.codec_error .* - - 240\.240\.0\.2:80 /,
  ],
  [
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    '400 Bad Request',
    'Bad Request',
    /400 DPE http1\.content_length_and_chunked_not_allowed /,
  ],
  [
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
    '501 Not Implemented',
    'Not Implemented',
    /501 DPE http1\.invalid_transfer_encoding /,
  ],
  [
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`,
    '431 Request Header Fields Too Large',
    'Request Header Fields Too Large',
    /431 DPE http1\.headers_too_large /,
  ],
  [
    'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
    '404 Not Found',
    '',
    /"OPTIONS \* HTTP\/1\.1" 404 - absolute_path_rejected /,
  ],
  ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', '404 Not Found', '', /404 NR route_not_found /],
  ['GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n', '400 Bad Request', '', /400 - path_normalization_failed /],
  [
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tls\r\n\r\n',
    '403 Forbidden',
    '',
    /403 - upgrade_failed /,
  ],
  [
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n',
    '400 Bad Request',
    '',
    /400 - upgrade_failed /,
  ],
  ['\x16\x03\x01\x00\x05hello', '400 Bad Request', 'Bad Request', /400 DPE http1\.codec_error /],
];

for (const [request, status, body, log] of REFUSALS) {
  test(`refuses ${JSON.stringify(request.slice(0, 40))} with ${status} and one log line`, async () => {
    const bed = new TestBed();
    const client = await send(bed, request);
    assert.ok(client.received.startsWith(`HTTP/1.1 ${status}\r\n`), client.received);
    assert.ok(client.received.endsWith(`\r\n\r\n${body}`), client.received);
    assert.is(bed.lines.length, 1);
    assert.match(bed.lines[0] ?? '', log);
    assert.is(bed.upstream.requests.length, 0);
  });
}

test('a local reply has the headers of Envoy, and none of a body when there is none', async () => {
  const bed = new TestBed();
  bed.upstream.next = () => ({
    kind: 'none',
    endpoint: undefined,
    ready: undefined,
    code: 'NO_HEALTHY_UPSTREAM',
    detail: 'none',
  });
  const client = await send(bed, GET);
  assert.is(
    client.received,
    `HTTP/1.1 503 Service Unavailable\r\ncontent-length: 19\r\ncontent-type: text/plain\r\ndate: ${DATE}\r\nserver: istio-envoy\r\n\r\nno healthy upstream`,
  );
  assert.match(bed.lines[0] ?? '', /503 UH no_healthy_upstream - "-" 0 19 0 - /);
  client.send(GET.replace('GET', 'HEAD'));
  await settle();
  assert.match(client.received, /no healthy upstreamHTTP\/1\.1 503 [^]*content-length: 19\r\n[^]*\r\n\r\n$/);
});

const condition = (attribute: Condition['attribute'], value: string): Condition => ({
  attribute,
  key: '',
  values: [{ kind: 'exact', value, ignoreCase: false }],
  notValues: [],
});
const policy = (action: Policy['action'], ...conditions: Condition[]): Policy => ({
  name: 'p',
  namespace: 'egress',
  scope: 'TARGETED',
  action,
  dryRun: false,
  listeners: ['egress/httpbin.org'],
  rules: [{ clauses: [{ origin: 'to', matches: [{ conditions }] }] }],
});

test('a denial is 403, names the policy in the log and explains itself in one line', async () => {
  const bed = new TestBed();
  bed.setPolicies(policy('DENY', condition('request.path', '/get')));
  const client = await send(bed, GET);
  assert.match(client.received, /^HTTP\/1\.1 403 Forbidden\r\n[^]*\r\n\r\nRBAC: access denied$/);
  assert.match(
    bed.lines[0] ?? '',
    /"GET \/get HTTP\/1\.1" 403 - rbac_access_denied_matched_policy\[ns\[egress\]-policy\[p\]-rule\[0\]\] - "-" 0 19 0 - "-" "curl\/8\.7\.1" "new-id" "httpbin\.org" "-" inbound-vip\|80\|http\|httpbin\.org; - 240\.240\.0\.2:80 10\.244\.0\.18:41548 - default$/,
  );
  assert.is(bed.explained.length, 1);
  assert.match(bed.explained[0] ?? '', /authz\tdenied: .*egress\/p rule 0.*considered="egress\/p DENY matched"/);
  assert.is(bed.upstream.requests.length, 0);
});

test('policies see the normalised path: dot segments are no way around them', async () => {
  const bed = new TestBed();
  bed.setPolicies(policy('DENY', condition('request.path', '/admin')));
  for (const path of ['/public/../admin', '/public/%2e%2e/admin?x=1', '/./admin', '/public\\..\\admin']) {
    const client = await send(bed, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(client.received, /^HTTP\/1\.1 403/);
  }
  await send(bed, 'GET /a/../public HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.is(bed.upstream.last.head.path, '/public');
});

const header = (key: string, value: string): Condition => ({
  attribute: 'request.header',
  key,
  values: [{ kind: 'exact', value, ignoreCase: false }],
  notValues: [],
});

const PSEUDO_HEADERS: readonly (readonly [name: string, value: string, hit: boolean])[] = [
  [':authority', 'httpbin.org', true],
  [':authority', 'elsewhere.org', false],
  ['host', 'httpbin.org', true],
  [':method', 'GET', true],
  [':method', 'POST', false],
  [':path', '/get', true],
  [':path', '/x/../get', false],
  [':scheme', 'http', true],
  [':protocol', '', false],
];

for (const [name, value, hit] of PSEUDO_HEADERS) {
  test(`a policy on request.headers[${name}] ${value} ${hit ? 'matches' : 'does not match'} the request line`, async () => {
    const bed = new TestBed();
    bed.setPolicies(policy('DENY', header(name, value)));
    const client = await send(bed, GET);
    if (!hit) return assert.is(bed.upstream.requests.length, 1);
    assert.match(client.received, /^HTTP\/1\.1 403 /);
  });
}

test('a host that no wildcard entry covers is 404 NR', async () => {
  const bed = new TestBed();
  bed.upstream.next = () => ({ kind: 'none', endpoint: undefined, ready: undefined, code: 'NO_ROUTE', detail: 'x' });
  const client = await send(bed, GET);
  assert.match(client.received, /^HTTP\/1\.1 404 Not Found\r\n[^]*\r\n\r\n$/);
  assert.match(bed.lines[0] ?? '', /" 404 NR route_not_found - "-" 0 0 /);
});

test('an allow list lets only its own through and tells the nearest rule', async () => {
  const bed = new TestBed();
  bed.setPolicies(policy('ALLOW', condition('request.method', 'GET'), condition('request.path', '/get')));
  await send(bed, GET);
  assert.is(bed.upstream.requests.length, 1);
  const client = await send(bed, 'POST /get HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc');
  assert.match(client.received, /^HTTP\/1\.1 403/);
  assert.match(client.received, /connection: close\r\n/, 'the body was not all read');
  assert.match(bed.lines.at(-1) ?? '', /rbac_access_denied_matched_policy\[none\]/);
  assert.match(bed.explained[0] ?? '', /request\.method GET, was POST/);
});

test('a gRPC caller gets a grpc-status', async () => {
  const bed = new TestBed();
  bed.setPolicies(policy('DENY', condition('request.method', 'POST')));
  const client = await send(bed, 'POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\n\r\n');
  assert.match(
    client.received,
    /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/grpc\r\ngrpc-status: 7\r\ngrpc-message: RBAC: access denied\r\n/,
  );
  assert.match(bed.registry.render(), /request_protocol="grpc",response_code="200",grpc_response_status="7"/);
});

test('a connection refused is tried twice more, elsewhere, and then told as Envoy does', async () => {
  const bed = new TestBed();
  let port = 80;
  bed.upstream.next = () => picked(endpointAt('203.0.113.10', port++));
  const client = await send(bed, GET);
  for (let i = 0; i < 3; i++) {
    bed.upstream.last.handler.onClose(new MeshError('CONNECT_REFUSED', 'refused'));
    await new Promise((resolve) => setTimeout(resolve, 2));
    await settle();
  }
  assert.equal(
    bed.upstream.picks.map(({ tried }) => tried.map((one) => one.label).join()),
    ['', '203.0.113.10:80', '203.0.113.10:80,203.0.113.10:81'],
  );
  assert.match(
    client.received,
    /^HTTP\/1\.1 503 [^]*\r\n\r\nupstream connect error or disconnect\/reset before headers\. retried and the latest reset reason: remote connection failure$/,
  );
  assert.match(
    bed.lines[0] ?? '',
    /503 URX,UF upstream_reset_before_response_started\{remote_connection_failure\|delayed_connect_error:_Connection_refused\} - "delayed_connect_error:_Connection_refused" 0 \d+ .*"203\.0\.113\.10:82"/,
  );
});

test('a request body is sent again with the retry', async () => {
  const bed = new TestBed();
  await send(bed, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
  bed.upstream.last.handler.onClose(new MeshError('CONNECT_REFUSED', 'refused'));
  await new Promise((resolve) => setTimeout(resolve, 2));
  assert.is(bed.upstream.requests.length, 2);
  assert.is(bed.upstream.last.body, 'hello');
  assert.ok(bed.upstream.last.ended);
});

test('a connection closed after the request was sent is not retried', async () => {
  const bed = new TestBed();
  const client = await send(bed, GET);
  bed.upstream.last.handler.onClose(new MeshError('UPSTREAM_CLOSED', 'closed'));
  await settle();
  assert.match(client.received, /reset reason: connection termination$/);
  assert.match(bed.lines[0] ?? '', /503 UC upstream_reset_before_response_started\{connection_termination\} - "-"/);
  assert.is(bed.upstream.requests.length, 1);
});

test('a refused certificate tells the operator which name was expected, and the client nothing', async () => {
  const bed = new TestBed();
  const client = await send(bed, GET);
  bed.upstream.last.handler.onClose(
    new MeshError('TLS_NAME_MISMATCH', 'certificate is for evil.org, expected httpbin.org'),
  );
  await settle();
  assert.match(bed.lines[0] ?? '', /503 UF \S+ - "TLS_error:_certificate_is_for_evil\.org,_expected_httpbin\.org"/);
  assert.not.match(client.received, /evil/);
});

test('a backend that breaks off its response ends the connection: UPE', async () => {
  const bed = new TestBed();
  const client = await send(bed, GET);
  bed.upstream.last.head200({ status: 200, headers: new Headers(['content-length', '10']) }, false);
  bed.upstream.last.handler.onData(Buffer.from('half'));
  bed.upstream.last.handler.onClose(new MeshError('UPSTREAM_CLOSED', 'closed'));
  await settle();
  assert.match(client.received, /\r\n\r\nhalf$/);
  assert.ok(client.closed);
  assert.match(bed.lines[0] ?? '', /200 UPE upstream_reset_after_response_started\{protocol_error\} /);
});

test('a client that goes away is DC, and its backend is told', async () => {
  for (const leave of ['end', 'destroy'] as const) {
    const bed = new TestBed();
    const client = await send(bed, GET);
    client.stream[leave]();
    await settle();
    assert.is(bed.upstream.last.resetWith, 'CANCEL');
    assert.match(bed.lines[0] ?? '', /"GET \/get HTTP\/1\.1" 0 DC downstream_remote_disconnect /);
    assert.is(bed.pipeline.connections, 0);
  }
});

test('a chunked body that goes wrong resets the backend and is answered 400', async () => {
  const bed = new TestBed();
  const client = await send(bed, 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n');
  assert.is(bed.upstream.last.resetWith, 'NO_ERROR');
  assert.match(client.received, /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.match(bed.lines[0] ?? '', /"POST \/ HTTP\/1\.1" 400 DPE http1\.codec_error /);
  assert.is(bed.lines.length, 1);
});

test('a slow client pauses the backend, a slow backend pauses the client', async () => {
  const bed = new TestBed();
  const client = await send(bed, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
  const near = client.stream.peer;
  assert.ok(near);
  bed.upstream.last.room = false;
  client.send('x'.repeat(10));
  await settle();
  assert.ok(near.paused);
  bed.upstream.last.handler.onDrain();
  assert.not(near.paused);
  near.room = false;
  bed.upstream.last.head200({ status: 200, headers: new Headers() }, false);
  bed.upstream.last.handler.onData(Buffer.alloc(20_000));
  bed.upstream.last.handler.onData(Buffer.alloc(20_000));
  assert.ok(bed.upstream.last.paused);
  near.drain();
  assert.not(bed.upstream.last.paused);
});

test('a websocket passes bytes both ways until both sides are done', async () => {
  const bed = new TestBed();
  const client = await send(
    bed,
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n',
  );
  const request = bed.upstream.last;
  assert.equal(request.options, { endStream: false, protocol: 'HTTP1', upgrade: 'websocket' });
  assert.is(request.head.headers.get('sec-websocket-key'), 'k');
  request.head200({ status: 101, headers: new Headers(['sec-websocket-accept', 's', 'upgrade', 'websocket']) }, false);
  request.handler.onData(Buffer.from('server'));
  client.send('client');
  await settle();
  assert.match(
    client.received,
    /^HTTP\/1\.1 101 Switching Protocols\r\nsec-websocket-accept: s\r\n[^]*upgrade: websocket\r\nconnection: upgrade\r\n\r\nserver$/,
  );
  assert.is(request.body, 'client');
  client.stream.end();
  await settle();
  assert.ok(request.ended);
  request.handler.onEnd();
  await settle();
  assert.match(bed.lines[0] ?? '', /"GET \/ws HTTP\/1\.1" 101 - via_upstream - "-" 6 6 /);
  assert.is(bed.pipeline.connections, 0);
});

test('a websocket that the backend refuses passes the status alone', async () => {
  const bed = new TestBed();
  const client = await send(bed, 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  bed.upstream.last.head200({ status: 404, headers: new Headers(['x', 'y', 'content-length', '3']) }, false);
  await settle();
  assert.match(client.received, /^HTTP\/1\.1 404 Not Found\r\n[^]*connection: close\r\n\r\n$/);
  assert.not.match(client.received, /x: y/);
  assert.match(bed.lines[0] ?? '', /404 - websocket_handshake_unsuccessful /);
});

test('interim responses of the backend reach the client', async () => {
  const bed = new TestBed();
  const client = await send(bed, 'PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n');
  assert.is(bed.upstream.last.head.headers.get('expect'), '100-continue');
  bed.upstream.last.head200({ status: 100, headers: new Headers() }, false);
  await settle();
  assert.is(client.received, 'HTTP/1.1 100 Continue\r\n\r\n');
});

test('dry-run and AUDIT policies enforce nothing and tell of each decision in one line', async () => {
  const bed = new TestBed();
  const dry = { ...policy('DENY', header(':method', 'GET')), name: 'dry', dryRun: true };
  bed.setPolicies(dry, { ...policy('AUDIT', header(':path', '/get')), name: 'audit' });
  await send(bed, GET);
  assert.is(bed.upstream.requests.length, 1);
  assert.is(bed.explained.length, 1);
  assert.match(
    bed.explained[0] ?? '',
    /info\tauthz\tdry-run: deny policy match\t.*src\.identity=.*method="GET" path="\/get".* matched="AUDIT egress\/audit rule 0, DENY egress\/dry rule 0" decision="allowed"/,
  );
  bed.pipeline.recheck();
  assert.is(bed.explained.length, 1, 'a request that runs was decided on already');
  bed.setPolicies({ ...dry, action: 'ALLOW' });
  await send(bed, GET);
  assert.match(bed.explained[1] ?? '', /\tdry-run: allow policy match\t/);
  bed.setPolicies({ ...dry, action: 'AUDIT', dryRun: false });
  await send(bed, GET);
  assert.match(bed.explained[2] ?? '', /\taudit: policy match\t/);
});

test('at debug, the log names the rule that allowed a request; at info it is silent', async () => {
  for (const [level, lines] of [
    ['debug', 1],
    ['info', 0],
  ] as const) {
    const bed = new TestBed(level);
    bed.setPolicies(policy('ALLOW', header(':method', 'GET')));
    await send(bed, GET);
    assert.is(bed.explained.length, lines, level);
    if (lines > 0) assert.match(bed.explained[0] ?? '', /debug\tauthz\tallowed by egress\/\S+ rule 0\t.*path="\/get"/);
  }
});

test('a policy change ends an exchange that it no longer allows', async () => {
  const bed = new TestBed();
  const client = await send(bed, GET);
  bed.setPolicies(policy('DENY', condition('request.path', '/get')));
  await settle();
  assert.match(client.received, /^HTTP\/1\.1 403/);
  assert.is(bed.upstream.last.resetWith, 'CANCEL');
});

test('a pick that needs something is asked again, and not for ever', async () => {
  const bed = new TestBed();
  bed.upstream.next = () => ({
    kind: 'need',
    endpoint: undefined,
    ready: Promise.resolve(),
    code: undefined,
    detail: 'dns',
  });
  const client = await send(bed, GET);
  assert.match(client.received, /^HTTP\/1\.1 503 [^]*no healthy upstream$/);
  assert.is(bed.upstream.picks.length, 4);
});

test('a draining waypoint finishes what runs and closes what does not', async () => {
  const bed = new TestBed();
  const idle = await send(bed, GET);
  bed.upstream.last.answer(200);
  const busy = await send(bed, GET);
  void bed.pipeline.drain(0);
  await settle();
  assert.ok(idle.ended);
  bed.upstream.last.answer(200);
  await settle();
  assert.match(busy.received, /connection: close\r\n/);
  assert.ok(busy.ended);
});

test('metrics have the labels of Istio in order', async () => {
  const bed = new TestBed();
  await send(bed, GET);
  bed.upstream.last.answer(200);
  await settle();
  const line = bed.registry
    .render()
    .split('\n')
    .find((one) => one.startsWith('istio_requests_total'));
  assert.is(
    line,
    'istio_requests_total{reporter="waypoint",source_workload="unknown",source_canonical_service="unknown",source_canonical_revision="latest",' +
      'source_workload_namespace="default",source_principal="spiffe://cluster.local/ns/default/sa/curl",source_app="unknown",source_version="latest",' +
      'source_cluster="unknown",destination_workload="unknown",destination_workload_namespace="unknown",destination_principal="unknown",' +
      'destination_app="unknown",destination_version="unknown",destination_service="httpbin.org",destination_canonical_service="unknown",' +
      'destination_canonical_revision="latest",destination_service_name="httpbin.org",destination_service_namespace="egress",' +
      'destination_cluster="Kubernetes",request_protocol="http",response_code="200",response_flags="-",connection_security_policy="none"} 1',
  );
});

test('JSON lines have their keys in order and null for what is absent', async () => {
  const bed = new TestBed();
  bed.settings = { ...bed.settings, accessLog: 'JSON' };
  await send(bed, GET);
  bed.upstream.last.answer(200);
  await settle();
  const line = bed.lines[0] ?? '';
  assert.match(line, /^\{"authority":"httpbin\.org","bytes_received":0,/);
  const parsed: unknown = JSON.parse(line);
  assert.ok(typeof parsed === 'object' && parsed !== null);
  assert.equal(Object.keys(parsed), Object.keys(parsed).toSorted());
  assert.match(line, /"upstream_service_time":"0","upstream_transport_failure_reason":null,/);
});

test('what a client writes cannot break the log line', async () => {
  const bed = new TestBed();
  await send(bed, 'GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \x9b31m\xe9\ttab\r\n\r\n');
  bed.upstream.last.answer(200);
  await settle();
  assert.match(bed.lines[0] ?? '', /"\\x9b31m\\xe9\\x09tab"/);
});

test.run();
