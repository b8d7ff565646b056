import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { query, RCODE, RECORD, recordAddress, recordTarget, type DnsMessage } from '@ambit/common/dns/message';
import { clusterServices, serviceVips } from './cluster-service.ts';
import { ClusterZone } from './cluster-zone.ts';

const pod = (
  name: string,
  ip: string,
  change: { ready?: boolean; ending?: boolean; port?: string; subdomain?: string } = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'shop',
    labels: { app: 'web' },
    ...(change.ending === true ? { deletionTimestamp: 'now' } : {}),
  },
  spec: {
    ...(change.subdomain === undefined ? {} : { hostname: name, subdomain: change.subdomain }),
    containers: [{ ports: [{ name: change.port ?? 'http', containerPort: 8080 }] }],
  },
  status: {
    podIPs: [{ ip }, { ip: `fd00:10:244::${ip.split('.')[3] ?? ''}` }],
    conditions: [{ type: 'Ready', status: change.ready === false ? 'False' : 'True' }],
  },
});
const service = (name: string, spec: Record<string, unknown>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec,
});
const web = (spec: Record<string, unknown> = {}): KubeObject =>
  service('web', {
    clusterIP: '10.96.0.20',
    clusterIPs: ['10.96.0.20'],
    selector: { app: 'web' },
    ports: [{ port: 80, targetPort: 'http' }],
    ...spec,
  });
const endpoints = (
  objects: readonly KubeObject[],
  pods: readonly KubeObject[],
  slices: readonly KubeObject[] = [],
): string[] =>
  serviceVips(clusterServices(objects, pods, slices)).flatMap((vip) =>
    vip.endpoints.map((one) => `${vip.vip}:${vip.port} ${one.ip}:${one.port}`),
  );

test('ready pods that are selected get the traffic of their family', () => {
  const pods = [
    pod('a', '10.244.0.2'),
    pod('b', '10.244.0.3', { ready: false }),
    pod('c', '10.244.0.4', { ending: true }),
  ];
  assert.equal(endpoints([web()], pods), ['10.96.0.20:80 10.244.0.2:8080']);
  assert.equal(endpoints([web({ clusterIPs: ['fd00:10:96::14'] })], pods), ['fd00:10:96::14:80 fd00:10:244::2:8080']);
  assert.equal(endpoints([web({ publishNotReadyAddresses: true })], pods).length, 3);
  assert.equal(endpoints([web({ selector: { app: 'other' } })], pods), []);
});

test('a named target port is looked up in each pod', () => {
  assert.equal(endpoints([web()], [pod('a', '10.244.0.2', { port: 'grpc' })]), []);
  assert.equal(endpoints([web({ ports: [{ port: 81 }] })], [pod('a', '10.244.0.2')]), ['10.96.0.20:81 10.244.0.2:81']);
});

test('a Service without selector takes the addresses of its EndpointSlices', () => {
  const slice: KubeObject = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
    ports: [{ name: '', port: 9000 }],
    endpoints: [{ addresses: ['203.0.113.7'] }, { addresses: ['203.0.113.8'], conditions: { ready: false } }],
  };
  assert.equal(endpoints([web({ selector: undefined })], [], [slice]), ['10.96.0.20:80 203.0.113.7:9000']);
});

const zone = new ClusterZone(
  'cluster.local',
  clusterServices(
    [
      web({ clusterIPs: ['10.96.0.20', 'fd00:10:96::14'] }),
      service('db', { clusterIP: 'None', selector: { app: 'web' } }),
      service('out', { type: 'ExternalName', externalName: 'api.example.org' }),
    ],
    [pod('a', '10.244.0.2', { subdomain: 'db' }), pod('b', '10.244.0.3', { ready: false })],
    [],
  ),
);
const ask = (name: string, type: number = RECORD.A): DnsMessage | 'forward' => zone.answer(query(1, name, type));
const told = (answer: DnsMessage | 'forward'): string =>
  answer === 'forward'
    ? answer
    : [answer.rcode, ...answer.answers.map((one) => recordAddress(one) ?? recordTarget(one) ?? '?')].join(' ');

test('the zone answers with what the Services are', () => {
  const cases: readonly (readonly [name: string, type: number, told: string])[] = [
    ['web.shop.svc.cluster.local', RECORD.A, '0 10.96.0.20'],
    ['WEB.Shop.svc.CLUSTER.local', RECORD.A, '0 10.96.0.20'],
    ['web.shop.svc.cluster.local', RECORD.AAAA, '0 fd00:10:96::14'],
    ['web.shop.svc.cluster.local', RECORD.TXT, '0'],
    ['db.shop.svc.cluster.local', RECORD.A, '0 10.244.0.2'],
    ['a.db.shop.svc.cluster.local', RECORD.AAAA, '0 fd00:10:244::2'],
    ['b.db.shop.svc.cluster.local', RECORD.A, '3'],
    ['out.shop.svc.cluster.local', RECORD.A, '0 api.example.org'],
    ['shop.svc.cluster.local', RECORD.A, '0'],
    ['nobody.shop.svc.cluster.local', RECORD.A, '3'],
    ['cluster.local', RECORD.A, '0'],
    ['notcluster.local', RECORD.A, 'forward'],
    ['example.org', RECORD.A, 'forward'],
  ];
  for (const [name, type, expected] of cases) assert.is(told(ask(name, type)), expected, `${name} ${type}`);
});

test('negative answers say for how long they hold', () => {
  const answer = ask('nobody.shop.svc.cluster.local');
  assert.ok(answer !== 'forward');
  assert.is(answer.authorities[0]?.type, RECORD.SOA);
  assert.is(answer.authoritative, true);
});

test('what is no plain question is refused', () => {
  const one = query(1, 'web.shop.svc.cluster.local', RECORD.A);
  const refused = zone.answer({ ...one, opcode: 5 });
  assert.is(refused === 'forward' ? refused : refused.rcode, RCODE.NOTIMP);
  const twice = zone.answer({ ...one, questions: [...one.questions, ...one.questions] });
  assert.is(twice === 'forward' ? twice : twice.rcode, RCODE.FORMERR);
});

test.run();
