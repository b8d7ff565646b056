import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { objectTable } from './columns.ts';
import { ObjectView } from './object-view.ts';
import { alignColumns } from './table.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');
const view = (object: unknown): ObjectView => new ObjectView(object, NOW);
const row = (kind: string, object: unknown): string =>
  objectTable(kind, [view(object)], { wide: false, namespaces: true }).rows[0]?.join('|') ?? '';

test('a ServiceEntry shows its addresses, its waypoint and whether it is bound', () => {
  const entry = {
    metadata: {
      name: 'api',
      namespace: 'apps',
      creationTimestamp: '2026-01-02T03:03:05Z',
      labels: { 'istio.io/use-waypoint': 'w', 'istio.io/use-waypoint-namespace': 'e' },
    },
    spec: { hosts: ['a.example.org', 'b.example.org'], resolution: 'DNS' },
    status: {
      addresses: [{ value: '240.240.0.1' }, { value: '2001:2::1' }],
      conditions: [{ type: 'istio.io/WaypointBound', status: 'True', reason: 'WaypointAccepted' }],
    },
  };
  assert.is(row('ServiceEntry', entry), 'apps|api|a.example.org,b.example.org|DNS|240.240.0.1,2001:2::1|e/w|True|60s');
  const denied = {
    ...entry,
    status: { conditions: [{ type: 'istio.io/WaypointBound', status: 'False', reason: 'AttachmentDenied' }] },
  };
  assert.is(row('ServiceEntry', denied), 'apps|api|a.example.org,b.example.org|DNS|-|e/w|AttachmentDenied|60s');
});

test('a pod shows why it waits rather than its phase', () => {
  const pod = {
    metadata: { name: 'p', namespace: 'd', annotations: { 'ambient.istio.io/redirection': 'enabled' } },
    status: {
      phase: 'Running',
      podIP: '10.244.0.5',
      containerStatuses: [{ ready: false, restartCount: 3, state: { waiting: { reason: 'CrashLoopBackOff' } } }],
    },
  };
  assert.is(row('Pod', pod), 'd|p|0/1|CrashLoopBackOff|3|enabled|10.244.0.5|-');
});

test('a policy names what it is attached to', () => {
  const policy = (spec: object): string =>
    row('AuthorizationPolicy', { metadata: { name: 'p', namespace: 'd' }, spec });
  assert.is(
    policy({ targetRefs: [{ kind: 'ServiceEntry', name: 'httpbin' }], rules: [{}, {}] }),
    'd|p|ALLOW|ServiceEntry/httpbin|2|-|-',
  );
  assert.is(policy({ action: 'DENY', selector: { matchLabels: { app: 'web' } } }), 'd|p|DENY|app=web|0|-|-');
  assert.is(policy({}), 'd|p|ALLOW|namespace|0|-|-');
});

test('an unknown kind has a name and an age', () => {
  assert.equal(objectTable('ConfigMap', [view({ metadata: { name: 'c' } })], { wide: true, namespaces: false }), {
    header: ['NAME', 'AGE'],
    rows: [['c', '-']],
  });
});

test('ages read as kubectl writes them', () => {
  const age = (seconds: number): string =>
    view({ metadata: { creationTimestamp: new Date(NOW - seconds * 1000).toISOString() } }).age();
  assert.equal([5, 119, 180, 7100, 7300, 100_000, 200_000].map(age), ['5s', '119s', '3m', '118m', '2h', '28h', '2d']);
});

test('columns are as wide as their widest cell, colours not counted', () => {
  assert.equal(
    alignColumns(
      [
        ['A', 'B'],
        ['\u001b[31mxx\u001b[0m', 'y'],
      ],
      2,
    ),
    ['A   B', '\u001b[31mxx\u001b[0m  y'],
  );
});

test.run();
