import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MeshError } from '@ambit/common/errors';
import { spiffeId } from '@ambit/common/identity/spiffe';
import { createLogger } from '@ambit/common/telemetry/log';
import { Registry } from '@ambit/common/telemetry/metrics';
import { hostPort, service, workload } from '../mesh.fixture.ts';
import { type ConnectionFacts, ConnectionTelemetry } from './connection-record.ts';
import { baggageParty, trafficLabels, TRAFFIC_LABELS, UNKNOWN_PARTY, workloadParty } from './traffic-labels.ts';

const SHELL = workload({
  name: 'shell-0',
  namespace: 'a',
  workloadName: 'shell',
  canonicalName: 'shell',
  canonicalRevision: 'v1',
  locality: { region: 'r1', zone: 'z1', subzone: '' },
});
const WEB = workload({ name: 'web-0', namespace: 'b', workloadName: 'web', canonicalName: 'web' });
const FACTS: ConnectionFacts = {
  direction: 'outbound',
  reporter: 'source',
  sourceAddress: hostPort('10.1.0.4:40112'),
  destinationAddress: hostPort('10.1.0.9:15008'),
  hboneAddress: '10.1.0.9:8080',
  source: workloadParty(SHELL),
  sourcePrincipal: spiffeId('cluster.local', 'a', 'shell'),
  destination: workloadParty(WEB),
  destinationPrincipal: spiffeId('cluster.local', 'b', 'web'),
  service: service({ hostname: 'web.b.svc.cluster.local', namespace: 'b' }),
  mutualTls: true,
};
const PLAIN: ConnectionFacts = {
  ...FACTS,
  destinationAddress: hostPort('10.1.0.9:8080'),
  hboneAddress: undefined,
  sourcePrincipal: undefined,
  mutualTls: false,
};

function world(): { telemetry: ConnectionTelemetry; registry: Registry; lines: string[]; tick: (ms: number) => void } {
  const lines: string[] = [];
  const registry = new Registry();
  const logger = createLogger({ level: 'debug', format: 'plain', write: (line) => lines.push(line), now: () => 0 });
  let time = 0;
  const telemetry = new ConnectionTelemetry(registry, logger, () => time);
  return { telemetry, registry, lines, tick: (ms) => (time += ms) };
}

test('a complete connection is one line with Istio’s fields in Istio’s order', () => {
  const { telemetry, lines, tick } = world();
  const record = telemetry.open(FACTS);
  record.measure({ bytesAToB: 11, bytesBToA: 22 });
  tick(3);
  record.complete();
  record.complete();
  assert.equal(lines.slice(1), [
    '1970-01-01T00:00:00.000000Z\tinfo\taccess\tconnection complete\tsrc.addr=10.1.0.4:40112 src.workload="shell-0" src.namespace="a" ' +
      'src.identity="spiffe://cluster.local/ns/a/sa/shell" src.cluster="Kubernetes" dst.addr=10.1.0.9:15008 dst.hbone_addr=10.1.0.9:8080 ' +
      'dst.service="web.b.svc.cluster.local" dst.workload="web-0" dst.namespace="b" dst.identity="spiffe://cluster.local/ns/b/sa/web" ' +
      'dst.cluster="Kubernetes" direction="outbound" bytes_sent=11 bytes_recv=22 duration="3ms"',
  ]);
  assert.match(lines[0] ?? '', /\tdebug\taccess\tconnection opened\tsrc.addr=.* direction="outbound"$/);
});

test('plain TCP tells no identities and no tunnel', () => {
  const { telemetry, lines } = world();
  telemetry.open(PLAIN).complete();
  assert.not.match(lines[1] ?? '', /identity|hbone/);
});

test('ZT-E2E-02 the server’s line counts from the server’s side', () => {
  const { telemetry, lines } = world();
  const record = telemetry.open({ ...FACTS, direction: 'inbound', reporter: 'destination' });
  record.measure({ bytesAToB: 11, bytesBToA: 22 });
  record.complete();
  assert.match(lines[1] ?? '', 'bytes_sent=22 bytes_recv=11');
});

test('a refusal before the ends are known is a warning without metrics', () => {
  const { telemetry, registry, lines } = world();
  telemetry.failed(
    'inbound',
    hostPort('10.1.0.4:40112'),
    hostPort('10.1.0.9:15008'),
    'ip mismatch: 10.1.0.9 != 10.1.0.4',
  );
  assert.match(
    lines[0] ?? '',
    '\twarn\taccess\tconnection failed\tsrc.addr=10.1.0.4:40112 dst.addr=10.1.0.9:15008 direction="inbound" error="ip mismatch: 10.1.0.9 != 10.1.0.4"',
  );
  assert.not.match(registry.render(), 'connections_failed');
});

test('a denial is an error that names the policy, and counts with the flag DENY', () => {
  const { telemetry, registry, lines } = world();
  const verdict = {
    allowed: false,
    reason: 'deny-matched',
    decidedBy: { policy: 'b/p1', rule: 0 },
    shadow: [],
    explanation: { considered: [], nearest: undefined },
  } as const;
  telemetry.open(FACTS).complete({ error: new MeshError('POLICY_DENIED', 'explicitly denied by: b/p1'), verdict });
  assert.match(
    lines[1] ?? '',
    /\terror\taccess\tconnection complete\t.* error="explicitly denied by: b\/p1" policy="b\/p1" rule=0/,
  );
  const text = registry.render();
  assert.match(text, /istio_tcp_connections_closed_total\{.*response_flags="DENY".*\} 1/);
  assert.match(text, /istio_tcp_connections_failed_total\{.*response_flags="DENY".*\} 1/);
});

test('ZT-DIR-06 counters move at open and close; bytes are counted while the connection runs, once', () => {
  const { telemetry, registry } = world();
  const record = telemetry.open(FACTS);
  const live = { bytesAToB: 0, bytesBToA: 0 };
  record.measure(live);
  live.bytesAToB = 5;
  const value = (name: string): string | undefined =>
    new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'm').exec(registry.render())?.[1];
  assert.is(value('istio_tcp_received_bytes_total'), '5');
  assert.is(value('istio_tcp_connections_opened_total'), '1');
  assert.is(value('istio_tcp_connections_closed_total'), undefined);
  live.bytesAToB = 11;
  live.bytesBToA = 22;
  record.complete();
  assert.equal([value('istio_tcp_received_bytes_total'), value('istio_tcp_sent_bytes_total')], ['11', '22']);
  assert.is(value('istio_tcp_connections_closed_total'), '1');
});

test('labels: one value for each name, unknown where nothing is known', () => {
  const labels = trafficLabels(FACTS, '-');
  assert.is(labels.length, TRAFFIC_LABELS.length);
  const named = Object.fromEntries(TRAFFIC_LABELS.map((name, index) => [name, labels[index]]));
  assert.equal(
    [
      named['source_workload'],
      named['source_app'],
      named['destination_canonical_revision'],
      named['destination_service_name'],
    ],
    ['shell', 'shell', 'unknown', 'web'],
  );
  assert.equal([named['source_region'], named['destination_zone']], ['r1', 'unknown']);
  const nowhere = trafficLabels({ ...FACTS, source: UNKNOWN_PARTY, destination: UNKNOWN_PARTY }, '-');
  assert.equal(nowhere.slice(-4), [undefined, undefined, undefined, undefined]);
});

test('baggage describes a peer that the mesh does not know', () => {
  const party = baggageParty({ serviceName: 'svc', workloadName: 'deploy', serviceVersion: 'v2' });
  assert.equal([party.name, party.app, party.canonicalName, party.version], ['svc', 'deploy', 'svc', 'v2']);
});

test('sockets are a gauge by reporter', () => {
  const { telemetry, registry } = world();
  const closed = telemetry.socketOpened('source');
  assert.match(registry.render(), 'istio_tcp_sockets_open{reporter="source"} 1');
  closed();
  assert.match(registry.render(), 'istio_tcp_sockets_open{reporter="source"} 0');
});

test.run();
