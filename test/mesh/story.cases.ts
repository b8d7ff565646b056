/**
 * The story of the README, step by step, on real network namespaces: what a user types, what comes back, and whether
 * everything that is printed is true. Each step builds on the ones before.
 */
import { spawn } from 'node:child_process';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  accessFields,
  agentFields,
  at,
  conditions,
  type HttpReply,
  kind,
  REPOSITORY,
  type Ran,
  TestMesh,
  until,
} from '../harness/mesh.ts';
import { boundEntry, hostOf, STEPS, WAYPOINT } from './story-facts.ts';
import { https, mutual, originate, wrongCertificate } from './story-tls.cases.ts';

const AGENT = 'istio-system/ztunnel';
const CAPTURE_SECONDS = '3';
/** Registers the twelve steps; the file that calls it decides as whom they run. */
export function storyCases(): void {
  const mesh = new TestMesh({ folders: ['examples/egress'], outside: true });
  let failed = false;

  test.before(async () => {
    await mesh.start();
  });
  test.after(async () => {
    const left = await mesh.stop();
    assert.equal(left, [], 'left behind');
  });
  for (const [name, play] of CASES) {
    test(name, async () => {
      // each step needs what the one before has made: its failure would only be repeated
      if (failed) assert.unreachable('a step before this one failed');
      failed = true;
      await play(mesh);
      failed = false;
    });
  }
}

type Step = (mesh: TestMesh) => Promise<void>;

const CASES: readonly (readonly [string, Step])[] = [
  ['1. two clients call an external host: 200, straight out, no mesh', straightOut],
  ['2. one label captures both pods, and nothing is restarted', capture],
  ["3. waypoint apply prints istioctl's messages, and a waypoint runs and is Programmed", waypoint],
  ['4. a ServiceEntry gets two addresses, a bound waypoint, and its name resolves to them in the pods', entry],
  [
    '5 and 12. the same call crosses the waypoint, every field of its line is true, and the wire is unreadable',
    crossing,
  ],
  ['6. an entry of another namespace is bound with two labels', otherNamespace],
  ['7. a policy: admin may do anything, everybody else GET /get, and the log says what decided', policy],
  ['8a. TLS origination: the right SNI and a verified certificate', originate],
  ['8b. a certificate of another name gives 503 UF and a line with the name that was expected', wrongCertificate],
  ['8c. MUTUAL: the outside reports the client certificate', mutual],
  [
    '9. HTTPS of the application passes as TCP with its SNI logged, and a policy on ports and principals applies',
    https,
  ],
  ['10. a Service with a waypoint of its own: HBONE in, HBONE out, and L4 without it', inMesh],
  ['11. get, logs, exec, metrics and status tell what there is', commands],
];

async function straightOut(mesh: TestMesh): Promise<void> {
  for (const from of ['default/curl', 'default/admin']) {
    const reply = await until(`an answer for ${from}`, async () => {
      const one = await mesh.curl(from, 'http://httpbin.org/get');
      return one.status === 200 && one;
    });
    assert.is(reply.headers.get('server'), 'httpbin');
    const seen = JSON.parse(reply.body);
    assert.is(seen.headers['x-request-id'], undefined);
    assert.is(seen.headers['x-forwarded-proto'], undefined);
    assert.is(seen.origin, '203.0.113.1');
  }
  assert.not.match(await mesh.log(AGENT), /dst\.addr=203\.0\.113\.10:80/);
}

async function capture(mesh: TestMesh): Promise<void> {
  const before = await processes(mesh);
  const labelled = await mesh.cli('label', 'namespace', 'default', 'istio.io/dataplane-mode=ambient');
  assert.is(labelled.out, 'namespace/default labeled\n', labelled.err);
  await until('capture of both pods', async () =>
    (await mesh.api.list(kind('pods'), 'default')).every(
      (pod) => pod.metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled',
    ),
  );
  const since = (await mesh.log(AGENT)).length;
  assert.is((await mesh.curl('default/curl', 'http://httpbin.org/get')).status, 200);
  const line = agentFields(await mesh.logLine(AGENT, /dst\.addr=203\.0\.113\.10:80.*direction="outbound"/, since));
  const pod = await mesh.pod('default/curl');
  assert.is(line['src.addr']?.split(':')[0], at(pod, 'status.podIP'));
  assert.is(line['src.workload'], pod.metadata.name);
  assert.is(line['src.namespace'], 'default');
  assert.is(line['dst.hbone_addr'], undefined, 'not a member of the mesh: no tunnel');
  assert.equal(await processes(mesh), before, 'the same processes as before');
}

async function waypoint(mesh: TestMesh): Promise<void> {
  const applied = await mesh.cli('waypoint', 'apply', '--enroll-namespace', '--namespace', 'istio-egress');
  assert.is(applied.code, 0, applied.err);
  const printed = applied.out + applied.err;
  assert.match(printed, '✅ waypoint istio-egress/waypoint applied');
  assert.match(printed, '✅ namespace istio-egress labeled with "istio.io/use-waypoint: waypoint"');
  const gateway = await until('Programmed', async () => {
    const one = await mesh.api.get(kind('gateways'), 'istio-egress', 'waypoint');
    return conditions(one).some(({ type, status }) => type === 'Programmed' && status === 'True') && one;
  });
  assert.is(at(gateway, 'spec.gatewayClassName'), 'istio-waypoint');
  assert.ok(conditions(gateway).some(({ type, status }) => type === 'Accepted' && status === 'True'));
  const status = await mesh.cli('waypoint', 'status', '--namespace', 'istio-egress');
  assert.match(status.out, /waypoint\s+True\s+Programmed\s+Programmed/);
  const pods = await mesh.cli('get', 'pods', '-n', 'istio-egress');
  assert.match(pods.out, /waypoint-\S+\s+1\/1\s+Running/);
}

async function entry(mesh: TestMesh): Promise<void> {
  const applied = await mesh.applyFile(`${STEPS}/4-httpbin.yaml`);
  assert.is(applied.out, 'serviceentry/httpbin created\n', applied.err);
  const { v4, v6, object } = await until('two addresses and a waypoint', () =>
    boundEntry(mesh, 'istio-egress', 'httpbin'),
  );
  assert.match(v4, /^240\.240\./);
  assert.match(v6, /^2001:2:/);
  const bound = conditions(object).find(({ type }) => type === 'istio.io/WaypointBound');
  assert.is(bound?.reason, 'WaypointAccepted');
  assert.match(bound?.message ?? '', /istio-egress\/waypoint/);
  for (const pod of ['default/curl', 'default/admin']) {
    const resolve = `require("dns").resolve4("httpbin.org",(e,a)=>require("dns").resolve6("httpbin.org",(f,b)=>console.log(JSON.stringify([a,b]))))`;
    const resolved = await until(`the names in ${pod}`, async () => {
      const { out } = await mesh.exec(pod, ['node', '-e', resolve]);
      return out === `${JSON.stringify([[v4], [v6]])}\n` && out;
    });
    assert.ok(resolved);
  }
}

async function crossing(mesh: TestMesh): Promise<void> {
  const { v4 } = await boundEntry(mesh, 'istio-egress', 'httpbin');
  await viaWaypoint(mesh, 'http://httpbin.org/get');
  const watching = watch(mesh, 'GET /get', 'httpbin.org');
  await watching.speaking;
  const reply = await mesh.curl('default/curl', 'http://httpbin.org/get');
  assert.is(reply.status, 200);
  assert.is(reply.headers.get('server'), 'istio-envoy');
  assert.match(reply.headers.get('x-envoy-upstream-service-time') ?? '', /^\d+$/);
  const seen = JSON.parse(reply.body);
  const id = seen.headers['x-request-id'];
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.is(seen.headers['x-forwarded-proto'], 'http');
  const line = accessFields(await mesh.logLine(WAYPOINT, new RegExp(`"${id}"`)));
  const { 'user-agent': userAgent } = seen.headers;
  const facts = {
    method: 'GET',
    path: '/get',
    protocol: 'HTTP/1.1',
    status: '200',
    flags: '-',
    details: 'via_upstream',
    termination: '-',
    failure: '-',
    received: '0',
    sent: String(Buffer.byteLength(reply.body)),
    forwardedFor: '-',
    userAgent,
    requestId: id,
    authority: 'httpbin.org',
    upstream: '203.0.113.10:80',
    cluster: 'inbound-vip|80|http|httpbin.org;',
    downstreamLocal: `${v4}:80`,
    sni: '-',
    route: 'default',
  };
  for (const [field, value] of Object.entries(facts)) assert.is(line[field], value, field);
  assert.ok(Math.abs(Date.parse(line['start'] ?? '') - Date.now()) < 10_000, 'started now');
  assert.ok(Number(line['serviceTime']) <= Number(line['duration']) && Number(line['duration']) < 5000);
  assert.is(
    hostOf(line['upstreamLocal']),
    at(await mesh.pod(WAYPOINT), 'status.podIP'),
    'the waypoint calls out itself',
  );
  assert.is(
    hostOf(line['downstreamRemote']),
    at(await mesh.pod('default/curl'), 'status.podIP'),
    "the client's own address",
  );
  assertUnreadable(await watching.ended);
}

/** The request was found in no packet between pods and waypoint, by a capture that did find it where it is plain. */
function assertUnreadable({ out, code }: Ran): void {
  assert.is(code, 0, out);
  const hbone = /^port 15008 .*: (\d+) packets, (\d+) contain/m.exec(out);
  assert.ok(Number(hbone?.[1]) > 5, out);
  assert.is(hbone?.[2], '0', out);
  const readable = [...out.matchAll(/^port (\d+) .* ([1-9]\d*) contain/gm)].map((match) => match[1]);
  assert.equal(readable, ['80'], 'the way from the waypoint to the outside only');
}

async function otherNamespace(mesh: TestMesh): Promise<void> {
  const applied = await mesh.applyFile(`${STEPS}/6-other-namespace.yaml`);
  assert.match(applied.out, 'serviceentry/api created', applied.err);
  const { object } = await until('a bound entry', () => boundEntry(mesh, 'apps', 'api'));
  assert.match(
    conditions(object).find(({ type }) => type === 'istio.io/WaypointBound')?.message ?? '',
    /istio-egress\/waypoint/,
  );
  const reply = await viaWaypoint(mesh, 'http://api.example.org/hello');
  const line = accessFields(
    await mesh.logLine(WAYPOINT, new RegExp(`"${JSON.parse(reply.body).headers['x-request-id']}"`)),
  );
  assert.is(line['upstream'], '203.0.113.20:80');
  assert.is(line['cluster'], 'inbound-vip|80|http|api.example.org;');
}

async function policy(mesh: TestMesh): Promise<void> {
  const post = ['-X', 'POST', '-d', 'hello', 'http://httpbin.org/post'];
  await mesh.applyFile(`${STEPS}/7-policy.yaml`);
  const denied = await until('the policy', async () => {
    const reply = await mesh.curl('default/curl', ...post);
    return reply.status === 403 && reply;
  });
  assert.is(denied.body, 'RBAC: access denied');
  assert.is(denied.headers.get('server'), 'istio-envoy');
  const line = accessFields(await mesh.logLine(WAYPOINT, /"POST \/post HTTP\/1\.1" 403/));
  assert.is(line['details'], 'rbac_access_denied_matched_policy[none]');
  assert.is(line['upstream'], '-');
  assert.is(line['sent'], String(denied.body.length));
  const why = await mesh.logLine(WAYPOINT, new RegExp(`authz\tdenied.*${line['requestId']}`));
  const fields = agentFields(why);
  assert.is(fields['src.identity'], 'spiffe://cluster.local/ns/default/sa/curl');
  assert.is(fields['method'], 'POST');
  assert.is(fields['path'], '/post');
  assert.match(why, /istio-egress\/httpbin rule 0 wants source\.principal cluster\.local\/ns\/default\/sa\/admin/);
  const allowed = await mesh.curl('default/admin', ...post);
  assert.is(allowed.status, 200);
  assert.is(JSON.parse(allowed.body).data, 'hello');
  assert.is((await mesh.curl('default/curl', 'http://httpbin.org/get')).status, 200);
  assert.is((await mesh.curl('default/curl', 'http://httpbin.org/get/')).status, 403, 'the exact path only');
  assert.is((await mesh.curl('default/admin', '-X', 'DELETE', 'http://httpbin.org/anything')).status, 200);
  const shown = await mesh.cli('get', 'authorizationpolicies', '-n', 'istio-egress');
  assert.match(shown.out, /httpbin\s+ALLOW\s+ServiceEntry\/httpbin\s+2\s+True/);
}

async function inMesh(mesh: TestMesh): Promise<void> {
  const url = 'http://echo.apps/';
  const before = await mesh.curl('default/curl', url);
  assert.is(before.status, 200, before.err);
  assert.is(before.headers.get('server'), undefined);
  assert.is(
    JSON.parse(before.body).from,
    at(await mesh.pod('default/curl'), 'status.podIP'),
    'the source address is kept',
  );
  const applied = await mesh.cli('waypoint', 'apply', '--enroll-namespace', '--wait', '-n', 'apps');
  assert.match(applied.out + applied.err, '✅ waypoint apps/waypoint is ready!');
  await mesh.applyFile(`${STEPS}/10-echo-policy.yaml`);
  await until('the policy', async () => (await mesh.curl('default/curl', '-X', 'POST', url)).status === 403);
  const since = (await mesh.log(AGENT)).length;
  const reply = await mesh.curl('default/curl', url);
  assert.is(reply.status, 200);
  assert.is(reply.headers.get('server'), 'istio-envoy');
  const echo = await mesh.pod('apps/echo');
  const id = JSON.parse(reply.body).headers['x-request-id'];
  const line = accessFields(await mesh.logLine('apps/waypoint', new RegExp(`"${id}"`)));
  assert.is(line['upstream'], `${String(at(echo, 'status.podIP'))}:8080`);
  assert.is(line['cluster'], 'inbound-vip|80|http|echo.apps.svc.cluster.local;');
  assert.match(line['downstreamLocal'] ?? '', /^10\.96\.\d+\.\d+:80$/);
  await assertTunnels(mesh, since);
  await mesh.label('services', 'apps', 'echo', { 'istio.io/use-waypoint': 'none' });
  const direct = await until('no waypoint', async () => {
    const one = await mesh.curl('default/curl', '-X', 'POST', url);
    return one.status === 200 && one;
  });
  assert.is(direct.headers.get('server'), undefined);
  await mesh.logLine(
    AGENT,
    /dst\.workload="echo-.*src\.workload="curl-|src\.workload="curl-.*dst\.workload="echo-.*direction="inbound"/,
    since,
  );
}

/** HBONE on both sides of the waypoint, each with the identities that its certificates say. */
async function assertTunnels(mesh: TestMesh, since: number): Promise<void> {
  const metrics = await until('the waypoint arriving at the pod', async () => {
    const { out } = await mesh.cli('metrics', 'ztunnel', 'istio_tcp_connections_opened_total{reporter="destination"');
    return out.includes('source_workload="waypoint"') && out;
  });
  const inbound = metrics.split('\n').find((line) => line.includes('source_workload="waypoint"')) ?? '';
  const labels = agentFields(inbound.replaceAll(',', ' '));
  assert.is(labels['source_principal'], 'spiffe://cluster.local/ns/apps/sa/waypoint');
  assert.is(labels['destination_principal'], 'spiffe://cluster.local/ns/apps/sa/echo');
  assert.is(labels['connection_security_policy'], 'mutual_tls');
  const out = agentFields(
    await mesh.logLine(AGENT, /src\.workload="curl-.*dst\.workload="waypoint-.*direction="outbound"/, since),
  );
  assert.is(out['src.identity'], 'spiffe://cluster.local/ns/default/sa/curl');
  assert.is(out['dst.identity'], 'spiffe://cluster.local/ns/apps/sa/waypoint');
  assert.match(out['dst.addr'] ?? '', /:15008$/);
}

async function commands(mesh: TestMesh): Promise<void> {
  const seen: readonly (readonly [string, RegExp])[] = [
    ['get waypoints -A', /apps\s+waypoint\s+service\s+True[^]*istio-egress\s+waypoint\s+service\s+True/],
    ['get serviceentries -A', /apps\s+api\s+api\.example\.org .*istio-egress\/waypoint\s+True/],
    ['get authorizationpolicies -A', /istio-egress\s+httpbin\s+ALLOW/],
    ['get pods -A', /apps\s+echo-\S+\s+1\/1\s+Running\s+0\s+enabled\s+10\.244\./],
    ['logs waypoint -n istio-egress --tail 2000', /"GET \/get HTTP\/1\.1" 200 - via_upstream/],
    ['exec deploy/curl -- curl -s -o /dev/null -w %{http_code} http://httpbin.org/get', /^200$/],
    [
      'metrics waypoint istio_requests_total -n istio-egress',
      /reporter="waypoint",source_workload="curl",.*destination_service="httpbin\.org".*response_code="403".* [1-9]\d*$/m,
    ],
    [
      'metrics ztunnel istio_tcp_connections_opened_total',
      /reporter="source",source_workload="curl".*connection_security_policy="mutual_tls"\} [1-9]\d*$/m,
    ],
    ['status', /✔ ztunnel[^]*✔ pods: 7 of 7 ready/],
  ];
  for (const [line, expected] of seen) {
    const ran = await mesh.cli(...line.split(' '));
    assert.is(ran.code, 0, `${line}: ${ran.err}`);
    assert.match(ran.out, expected, line);
  }
  const json = await mesh.cli('get', 'pods', '-n', 'default', '-o', 'json');
  assert.ok(isIPv4(JSON.parse(json.out).items[0].status.podIP));
}

function viaWaypoint(mesh: TestMesh, url: string): Promise<HttpReply> {
  return until(`the waypoint in the way to ${url}`, async () => {
    const reply = await mesh.curl('default/curl', url);
    return reply.status === 200 && reply.headers.get('server') === 'istio-envoy' && reply;
  });
}

/** Process ids in both clients, as the node sees them. */
async function processes(mesh: TestMesh): Promise<unknown[]> {
  const pods = await mesh.api.list(kind('pods'), 'default');
  return pods.map((pod) => [
    pod.metadata.uid,
    at(pod, 'status.startTime'),
    at(pod, 'status.containerStatuses.0.restartCount'),
  ]);
}

/** The demo's capture of the bridge, run on the node. */
function watch(mesh: TestMesh, ...texts: string[]): { speaking: Promise<void>; ended: Promise<Ran> } {
  const words = [
    'exec',
    'ztunnel',
    '--',
    'node',
    join(REPOSITORY, 'demo/capture.ts'),
    'ambit0',
    CAPTURE_SECONDS,
    ...texts,
  ];
  const child = spawn(process.execPath, [join(REPOSITORY, 'packages/cli/src/main.ts'), ...words], {
    env: { ...process.env, AMBIT_STATE: mesh.stateDir, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  const speaking = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const ended = new Promise<Ran>((resolve) => child.once('close', (code) => resolve({ code: code ?? 1, out, err })));
  return { speaking: Promise.race([speaking, ended.then(() => undefined)]), ended };
}
