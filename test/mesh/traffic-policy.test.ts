// deadline: 150s
/** Which waypoint a Service gets, what policies do between captured pods, and what changes do to traffic that is flowing. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agentFields, at, type Condition, conditions, isReady, kind, TestMesh, until } from '../harness/mesh.ts';
import {
  AMBIENT,
  deployment,
  gateway,
  namespace,
  PEER,
  peer,
  service,
  untilWaypoint,
  yaml,
} from './traffic-scenario.ts';

const CLIENT = 'shop/client';
const AGENT = 'istio-system/ztunnel';
/** Exit codes of curl: nothing connected, an empty answer, a reset. */
const NO_ANSWER = [7, 52, 56];
const GATEWAY = gateway('shop');

const mesh = new TestMesh({
  yaml: yaml(
    namespace('shop', { ...AMBIENT, 'istio.io/use-waypoint': 'waypoint' }),
    namespace('four', AMBIENT),
    namespace('plain'),
    deployment('shop', 'client'),
    deployment('shop', 'server', true),
    deployment('four', 'server', true),
    deployment('four', 'friend'),
    deployment('plain', 'outsider'),
    service('shop', 'peer', 'server'),
    service('shop', 'none', 'server', { 'istio.io/use-waypoint': 'none' }),
    service('shop', 'lost', 'server', { 'istio.io/use-waypoint': 'nowhere' }),
    service('four', 'peer', 'server'),
    service('four', 'guarded', 'server', {
      'istio.io/use-waypoint': 'waypoint',
      'istio.io/use-waypoint-namespace': 'shop',
    }),
  ),
});

test.before(async () => {
  await mesh.start();
  await mesh.apply(GATEWAY);
  await untilWaypoint(mesh, CLIENT, 'http://peer/');
});
test.after(async () => {
  assert.equal(await mesh.stop(), [], 'left behind');
});

const bound = (ns: string, name: string, reason: string): Promise<Condition> =>
  until(`${ns}/${name} with ${reason}`, async () =>
    conditions(await mesh.api.get(kind('services'), ns, name)).find(
      (one) => one.type === 'istio.io/WaypointBound' && one.reason === reason,
    ),
  );

async function assertDirect(host: string): Promise<void> {
  const reply = await mesh.curl(CLIENT, '-4', `http://${host}/`);
  assert.is(reply.status, 200, reply.err);
  assert.is(reply.headers.get('server'), undefined);
  assert.is(reply.headers.get('x-from'), at(await mesh.pod(CLIENT), 'status.podIP'));
}

const l4Policy = (action: string, principal: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: doors, namespace: four }
spec:
  selector: { matchLabels: { app: server } }
  action: ${action}
  rules: [{ from: [{ source: { principals: ["${principal}"] } }] }]
`;

const removePolicy = async (): Promise<void> => {
  await mesh.api.delete(kind('authorizationpolicies'), 'four', 'doors');
  await until('no policy', async () => (await mesh.curl(CLIENT, 'http://peer.four/')).status === 200);
};

test('a Service of another namespace is not let in without allowedRoutes: AttachmentDenied, and traffic goes direct', async () => {
  const condition = await bound('four', 'guarded', 'AttachmentDenied');
  assert.is(condition.status, 'False');
  assert.match(condition.message, /shop\/waypoint/);
  await assertDirect('guarded.four');
});

test('a waypoint that opens itself takes the Service of the other namespace', async () => {
  await mesh.apply(gateway('shop', 'waypoint', ', allowedRoutes: { namespaces: { from: All } }'));
  assert.is((await bound('four', 'guarded', 'WaypointAccepted')).status, 'True');
  await untilWaypoint(mesh, CLIENT, 'http://guarded.four/');
  await mesh.apply(GATEWAY);
  await bound('four', 'guarded', 'AttachmentDenied');
  await until(
    'direct traffic again',
    async () => !(await mesh.curl(CLIENT, 'http://guarded.four/')).headers.has('server'),
  );
});

test('use-waypoint that names nothing: WaypointIsNotReady, and traffic goes on at L4', async () => {
  const condition = await bound('shop', 'lost', 'WaypointIsNotReady');
  assert.is(condition.status, 'False');
  await assertDirect('lost');
});

test("use-waypoint: none on a Service wins over its namespace's waypoint", async () => {
  await assertDirect('none');
  assert.is((await mesh.curl(CLIENT, 'http://peer/')).headers.get('server'), 'istio-envoy');
});

test('an L4 policy denies one identity between captured pods and says which rule', async () => {
  assert.is((await mesh.curl(CLIENT, 'http://peer.four/')).status, 200);
  const since = (await mesh.log(AGENT)).length;
  await mesh.apply(l4Policy('DENY', 'cluster.local/ns/shop/sa/client'));
  const refused = await until('the policy', async () => {
    const reply = await mesh.curl(CLIENT, 'http://peer.four/');
    return reply.code !== 0 && reply;
  });
  assert.ok(NO_ANSWER.includes(refused.code), refused.err);
  assert.is((await mesh.curl('four/friend', 'http://peer/')).status, 200, 'others are let in');
  const line = agentFields(
    await mesh.logLine(AGENT, /policy rejection.*direction="inbound"|direction="inbound".*policy rejection/, since),
  );
  assert.is(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
  assert.match(line['error'] ?? '', /four\/doors/);
  await removePolicy();
});

test('an ALLOW policy admits only whom it names', async () => {
  await mesh.apply(l4Policy('ALLOW', 'cluster.local/ns/four/sa/friend'));
  await until('the policy', async () => NO_ANSWER.includes((await mesh.curl(CLIENT, 'http://peer.four/')).code));
  assert.is((await mesh.curl('four/friend', 'http://peer/')).status, 200);
  await mesh.api.delete(kind('authorizationpolicies'), 'four', 'doors');
  await until('no policy', async () => (await mesh.curl(CLIENT, 'http://peer.four/')).status === 200);
});

/** Opens a connection that has carried something; `cut` resolves with what the client hears when it ends. */
async function hold(): Promise<{ cut: Promise<string> }> {
  let heard = '';
  const hear = (chunk: Uint8Array): void => void (heard += Buffer.from(chunk).toString());
  const ended = mesh.api.exec({
    namespace: 'shop',
    pod: (await mesh.pod(CLIENT)).metadata.name,
    command: ['node', PEER, 'hold', 'peer.four', '70'],
    onStdout: hear,
    onStderr: hear,
  });
  await until('a connection', async () => heard.includes('holding'));
  return { cut: ended.then(() => heard) };
}

test('a policy of the namespace that is new cuts an open connection', async () => {
  const { cut } = await hold();
  const since = (await mesh.log(AGENT)).length;
  await mesh.apply(
    l4Policy('DENY', 'cluster.local/ns/shop/sa/client').replace('selector: { matchLabels: { app: server } }', ''),
  );
  assert.match(await cut, /"cut":/);
  await mesh.logLine(AGENT, /direction="inbound".*connection closed due to policy change/, since);
  assert.is((await peer(mesh, 'four/friend', 'greeting', 'peer'))['text'], '220 peer speaks first\r\nhello');
  await removePolicy();
});

test('a changed policy cuts an open connection that it allowed before', async () => {
  await mesh.apply(l4Policy('ALLOW', 'cluster.local/ns/shop/sa/client'));
  await until('the policy', async () => NO_ANSWER.includes((await mesh.curl('four/friend', 'http://peer/')).code));
  const { cut } = await hold();
  await mesh.apply(l4Policy('ALLOW', 'cluster.local/ns/four/sa/friend'));
  assert.match(await cut, /"cut":/);
  await removePolicy();
});

test('STRICT refuses a client outside the mesh and nobody else', async () => {
  assert.is((await mesh.curl('plain/outsider', 'http://peer.four/')).status, 200);
  await mesh.apply(
    `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: default, namespace: four }\nspec: { mtls: { mode: STRICT } }`,
  );
  const refused = await until('the refusal', async () => {
    const reply = await mesh.curl('plain/outsider', 'http://peer.four/');
    return reply.status === 0 && reply;
  });
  assert.ok(NO_ANSWER.includes(refused.code), refused.err);
  assert.is((await mesh.curl(CLIENT, 'http://peer.four/')).status, 200);
  assert.is((await mesh.curl('plain/outsider', 'http://none.shop/')).status, 200, 'another namespace');
  await mesh.api.delete(kind('peerauthentications'), 'four', 'default');
  await until('no policy', async () => (await mesh.curl('plain/outsider', 'http://peer.four/')).status === 200);
});

test('a pod that is deleted is replaced, and its successor is captured and reached', async () => {
  const before = await mesh.pod('four/server');
  await mesh.api.delete(kind('pods'), 'four', before.metadata.name);
  const after = await until('a successor', async () => {
    const pods = await mesh.api.list(kind('pods'), 'four', { labelSelector: 'app=server' });
    const [pod] = pods;
    return pods.length === 1 && pod !== undefined && pod.metadata.uid !== before.metadata.uid && isReady(pod) && pod;
  });
  assert.is(after.metadata.annotations?.['ambient.istio.io/redirection'], 'enabled');
  const since = (await mesh.log(AGENT)).length;
  await until('the successor', async () => (await mesh.curl(CLIENT, 'http://peer.four/')).status === 200);
  const line = agentFields(
    await mesh.logLine(AGENT, new RegExp(`dst\\.workload="${after.metadata.name}".*direction="inbound"`), since),
  );
  assert.is(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
});

/** Calls as fast as it goes, and says how many did not end with 200. */
function traffic(url: string, seconds: number): Promise<{ total: number; failed: string[] }> {
  const loop = `end=$(($(date +%s)+${seconds})); while [ $(date +%s) -lt $end ]; do curl -s -m 5 -o /dev/null -w '%{http_code} %{errormsg}\\n' ${url}; sleep 0.03; done`;
  return mesh.exec(CLIENT, ['sh', '-c', loop]).then(({ out }) => {
    const lines = out.trim().split('\n');
    return { total: lines.length, failed: lines.filter((line) => !line.startsWith('200')) };
  });
}

test('a waypoint that goes and comes back takes no request with it', async () => {
  const running = traffic('http://peer/', 6);
  await mesh.api.delete(kind('gateways'), 'shop', 'waypoint');
  await bound('shop', 'peer', 'WaypointIsNotReady');
  await until('traffic at L4', async () => !(await mesh.curl(CLIENT, 'http://peer/')).headers.has('server'));
  await until('no waypoint pod', async () => {
    const pods = await mesh.api.list(kind('pods'), 'shop');
    return !pods.some((pod) => pod.metadata.name.startsWith('waypoint'));
  });
  await mesh.apply(GATEWAY);
  await bound('shop', 'peer', 'WaypointAccepted');
  await untilWaypoint(mesh, CLIENT, 'http://peer/');
  const { total, failed } = await running;
  assert.ok(total > 20, `only ${total} calls`);
  assert.equal(failed, [], `${failed.length} of ${total} calls failed`);
});

test('a pod that leaves the mesh is reached without a tunnel, and again with one', async () => {
  await mesh.label('namespaces', undefined, 'four', { 'istio.io/dataplane-mode': null });
  await until('release', async () =>
    (await mesh.api.list(kind('pods'), 'four')).every(
      (pod) => pod.metadata.annotations?.['ambient.istio.io/redirection'] === undefined,
    ),
  );
  const log = (await mesh.log(AGENT)).length;
  await until('plain traffic', async () => (await mesh.curl(CLIENT, 'http://peer.four/')).status === 200);
  const line = agentFields(await mesh.logLine(AGENT, /dst\.namespace="four".*direction="outbound"/, log));
  assert.is(line['dst.hbone_addr'], undefined);
  await mesh.label('namespaces', undefined, 'four', { 'istio.io/dataplane-mode': 'ambient' });
  const since = (await mesh.log(AGENT)).length;
  await until('a tunnel', async () => {
    assert.is((await mesh.curl(CLIENT, 'http://peer.four/')).status, 200);
    return /dst\.hbone_addr=.*dst\.namespace="four".*direction="inbound"/.test((await mesh.log(AGENT)).slice(since));
  });
});

test.run();
