import { MeshError } from '@ambit/common/errors';
import type { Policy } from '@ambit/common/model/policy';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { settle, TestBed } from './waypoint.fixture.ts';
import { TestClient } from './stream.fixture.ts';

const portPolicy = (action: Policy['action'], port: number): Policy => ({
  name: 'p',
  namespace: 'egress',
  scope: 'TARGETED',
  action,
  dryRun: false,
  listeners: [],
  rules: [
    {
      clauses: [
        {
          origin: 'to',
          matches: [
            {
              conditions: [{ attribute: 'destination.port', key: '', values: [{ kind: 'port', port }], notValues: [] }],
            },
          ],
        },
      ],
    },
  ],
});

/** The far end of the connection that was opened first. */
function serverOf(bed: TestBed): TestClient {
  const [far] = bed.upstream.opened;
  if (far === undefined) throw new Error('nothing was opened');
  return new TestClient(far);
}

test('bytes pass both ways on a TCP port, the server may speak first, and one line tells of it', async () => {
  const bed = new TestBed();
  const client = bed.open('TCP');
  await settle();
  const server = serverOf(bed);
  server.send('220 ready');
  await settle();
  assert.is(client.received, '220 ready');
  client.send('HELO');
  client.stream.end();
  await settle();
  assert.is(server.received, 'HELO');
  assert.ok(server.ended);
  server.stream.end();
  await settle();
  assert.equal(bed.lines, [
    '[2026-11-21T10:00:00.000Z] "- - -" 0 - - - "-" 4 9 0 - "-" "-" "-" "-" "203.0.113.10:80" inbound-vip|80|tcp|httpbin.org; ' +
      '10.0.0.9:40000 240.240.0.2:80 10.244.0.18:41548 - -',
  ]);
  assert.is(bed.pipeline.connections, 0);
  const metrics = bed.registry.render();
  assert.match(metrics, /istio_tcp_connections_opened_total\{[^}]*request_protocol="tcp",response_flags="-"[^}]*\} 1/);
  assert.match(metrics, /istio_tcp_connections_closed_total\{[^}]*\} 1/);
  assert.match(metrics, /istio_tcp_sent_bytes_total\{[^}]*\} 9/);
  assert.match(metrics, /istio_tcp_received_bytes_total\{[^}]*\} 4/);
});

test('bytes of an unknown protocol pass from the first on', async () => {
  const bed = new TestBed();
  const client = bed.open('AUTO');
  client.send('*1\r\n$4\r\n');
  client.send('PING\r\n');
  client.stream.end();
  await settle();
  const server = serverOf(bed);
  await settle();
  assert.is(server.received, '*1\r\n$4\r\nPING\r\n');
  assert.ok(server.ended);
});

test('a denied connection is closed without data, and says why', async () => {
  const bed = new TestBed();
  bed.setPolicies(portPolicy('DENY', 80));
  const client = bed.open('TCP');
  await settle();
  assert.ok(client.closed);
  assert.is(client.received, '');
  assert.is(bed.upstream.opened.length, 0);
  assert.match(
    bed.lines[0] ?? '',
    /"- - -" 0 - - rbac_access_denied_matched_policy\[ns\[egress\]-policy\[p\]-rule\[0\]\] "-" 0 0 0 /,
  );
  assert.is(bed.explained.length, 1);
});

test('a policy change ends a connection that it no longer allows', async () => {
  const bed = new TestBed();
  const client = bed.open('TCP');
  await settle();
  const server = serverOf(bed);
  bed.setPolicies(portPolicy('ALLOW', 80));
  await settle();
  assert.not.ok(client.closed);
  bed.setPolicies(portPolicy('ALLOW', 443));
  await settle();
  assert.ok(client.closed);
  assert.ok(server.closed);
  assert.match(bed.lines[0] ?? '', /rbac_access_denied_matched_policy\[none\]/);
});

test('a connection refused is tried elsewhere and then ends with UF,URX', async () => {
  const bed = new TestBed();
  bed.upstream.connectWith = () => Promise.reject(new MeshError('CONNECT_REFUSED', 'refused'));
  const client = bed.open('TCP');
  await settle();
  assert.ok(client.closed);
  assert.is(bed.upstream.picks.length, 3);
  assert.match(bed.lines[0] ?? '', /"- - -" 0 UF,URX - - "delayed_connect_error:_Connection_refused" 0 0 /);
});

test('no endpoint is UH', async () => {
  const bed = new TestBed();
  bed.upstream.next = () => ({
    kind: 'none',
    endpoint: undefined,
    ready: undefined,
    code: 'NO_HEALTHY_UPSTREAM',
    detail: 'none',
  });
  const client = bed.open('TCP');
  await settle();
  assert.ok(client.closed);
  assert.match(bed.lines[0] ?? '', /"- - -" 0 UH /);
});

test('a client that goes away while its destination is looked for is DC', async () => {
  const bed = new TestBed();
  bed.upstream.connectWith = () => new Promise(() => undefined);
  const client = bed.open('TCP');
  await settle();
  client.stream.destroy();
  await settle();
  assert.match(bed.lines[0] ?? '', /"- - -" 0 DC /);
  assert.is(bed.pipeline.connections, 0);
});

test.run();
