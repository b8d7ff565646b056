import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MeshStore } from '@ambit/common/mesh/store';
import { dumpMesh } from './admin/dump-mesh.ts';
import { applyLocalState, readLocalState } from './local-state.ts';

const MESH = `
workloads:
  - uid: cluster1//Pod/default/web
    name: web
    namespace: default
    serviceAccount: web
    workloadIps: ["10.0.0.2", "fd00::2"]
    protocol: HBONE
    node: local
    network: ""
    waypoint: { destination: default/waypoint.example, hboneMtlsPort: 15008 }
    networkGateway: { destination: net/10.0.0.9, hboneMtlsPort: 15009 }
    applicationTunnel: { protocol: PROXY, port: 15088 }
    locality: { region: r1, zone: z1 }
    authorizationPolicies: [default/p]
    services:
      default/web.example: { 80: 8080 }
services:
  - name: web
    namespace: default
    hostname: web.example
    vips: ["/10.96.0.1"]
    ports: { 80: 8080 }
    loadBalancer: { mode: Failover, routingPreferences: [Network, Region], healthPolicy: AllowAll }
    ipFamilies: IPv4
policies:
  - name: p
    namespace: default
    scope: WorkloadSelector
    action: Deny
    rules:
      - - - principals: [!Exact cluster.local/ns/a/sa/b, !Presence []]
            notNamespaces: [{ Prefix: team- }]
            sourceIps: [10.0.0.0/8]
            destinationPorts: [80]
            serviceAccounts: [{ namespace: a, serviceAccount: b }]
`;

test('ZT-ST-31 static state is read from YAML, in the forms of the dump', () => {
  const store = new MeshStore();
  applyLocalState(store, readLocalState(MESH, 'LOCAL_XDS'));
  const text = JSON.stringify(dumpMesh(store));
  for (const part of [
    '"workloadIps":["10.0.0.2","fd00::2"],"protocol":"HBONE"',
    '"waypoint":{"destination":"default/waypoint.example","hboneMtlsPort":15008}',
    '"networkGateway":{"destination":"net/10.0.0.9","hboneMtlsPort":15009}',
    '"applicationTunnel":{"protocol":"PROXY","port":15088}',
    '"endpoints":{"cluster1//Pod/default/web":{"workloadUid":"cluster1//Pod/default/web","port":{"80":8080}',
    '"loadBalancer":{"routingPreferences":["Network","Region"],"mode":"Failover","healthPolicy":"AllowAll"}',
    '"ipFamilies":"IPv4"',
    '"principals":[{"Exact":"cluster.local/ns/a/sa/b"},{"Presence":[]}]',
    '"notNamespaces":[{"Prefix":"team-"}]',
    '"sourceIps":["10.0.0.0/8"],"destinationPorts":[80],"serviceAccounts":[{"namespace":"a","serviceAccount":"b"}]',
  ])
    assert.ok(text.includes(part), `${part} in ${text}`);
});

for (const [title, yaml, message] of [
  ['unknown fields', 'workloads: [{ uid: a, colour: red }]', /LOCAL_XDS\.workloads\[0\]: unknown fields colour/],
  ['unknown sections', 'gateways: []', /LOCAL_XDS: unknown fields gateways/],
  ['what has no uid', 'workloads: [{ name: a }]', /workloads\[0\]\.uid=nothing \(accepted: text\)/],
  ['other words', 'services: [{ namespace: a, hostname: b, visibility: Some }]', /accepted: Public, Namespace/],
  ['no address', 'workloads: [{ uid: a, workloadIps: [x] }]', /workloadIps\[0\]="x" \(accepted: an IP address\)/],
  ['a strange matcher', 'policies: [{ name: p, rules: [[[{ principals: [{ Like: x }] }]]] }]', /Exact, Prefix/],
  ['no mapping', '- a', /accepted: a mapping of fields/],
] as const) {
  test(`static state refuses ${title}`, () => assert.throws(() => readLocalState(yaml, 'LOCAL_XDS'), message));
}

test('nothing is an empty mesh', () => {
  assert.equal(readLocalState('', 'LOCAL_XDS'), { workloads: [], services: [], policies: [] });
});

test.run();
