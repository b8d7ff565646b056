import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { boundCount } from './bound-services.ts';
import { objectTable } from './columns.ts';
import { ordered } from './object-order.ts';
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
  assert.is(row('ServiceEntry', denied), 'apps|api|a.example.org,b.example.org|DNS|-|e/w|False|60s');
});

test('a waypoint that only the namespace’s label gives is shown as the verdict names it', () => {
  const bound = (status: string, reason: string, message: string): string =>
    objectTable(
      'Service',
      [
        view({
          metadata: { name: 's' },
          status: { conditions: [{ type: 'istio.io/WaypointBound', status, reason, message }] },
        }),
      ],
      { wide: true, namespaces: false },
    )
      .rows[0]?.slice(4, 7)
      .join('|') ?? '';
  for (const [status, reason, message, expected] of [
    ['True', 'WaypointAccepted', 'Successfully attached to waypoint e/w.x', 'e/w.x|True|WaypointAccepted'],
    [
      'True',
      'WaypointAccepted',
      'Successfully attached to waypoint e/w. Traffic of ingress …',
      'e/w|True|WaypointAccepted',
    ],
    [
      'False',
      'WaypointIsNotReady',
      'waypoint "e/w" is not ready: there is no such Gateway',
      'e/w|False|WaypointIsNotReady',
    ],
  ] as const)
    assert.is(bound(status, reason, message), expected);
});

test('a waypoint shows how many services are bound to it', () => {
  const service = (status: string, message: string): ObjectView =>
    view({ status: { conditions: [{ type: 'istio.io/WaypointBound', status, message }] } });
  const bound = boundCount([
    service('True', 'Successfully attached to waypoint e/w'),
    service('True', 'Successfully attached to waypoint e/w'),
    service('True', 'Successfully attached to waypoint e/other'),
    service('False', 'waypoint "e/w" is not ready: there is no such Gateway'),
    view({ metadata: { labels: { 'istio.io/use-waypoint': 'w' } } }),
  ]);
  const gateway = view({
    metadata: { name: 'w', namespace: 'e' },
    status: { addresses: [{ value: '10.96.0.1' }, { value: 'w.e.svc' }] },
  });
  const { header, rows } = objectTable('waypoint', [gateway], { wide: false, namespaces: true, bound });
  assert.equal(header, ['NAMESPACE', 'NAME', 'TRAFFIC TYPE', 'PROGRAMMED', 'SERVICES', 'ADDRESS', 'AGE']);
  assert.equal(rows, [['e', 'w', 'service', 'Unknown', '2', '10.96.0.1', '-']]);
});

test('fields stand where readers of Kubernetes look for them', () => {
  const object = {
    status: {},
    spec: {},
    data: {},
    metadata: { uid: 'u', labels: {}, name: 'n', namespace: 'd' },
    kind: 'K',
    apiVersion: 'v1',
  };
  const result = ordered(object);
  assert.equal(Object.keys(result), ['apiVersion', 'kind', 'metadata', 'data', 'spec', 'status']);
  assert.match(JSON.stringify(result), '"metadata":{"name":"n","namespace":"d","labels":{},"uid":"u"}');
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
