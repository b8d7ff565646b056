import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatSourceError, validateText } from '../validate.ts';
import { MESH_KEYS } from './mesh-keys.ts';

const warnings = (text: string): string[] => {
  const { errors, warnings: found } = validateText(text, 'f');
  assert.equal(errors.map(formatSourceError), []);
  return found.map((one) => `${one.field}: ${one.message}`);
};
const object = (kind: string, metadata: string): string =>
  ({
    Namespace: `{apiVersion: v1, kind: Namespace, metadata: {name: x, ${metadata}}}`,
    Gateway: `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: x, ${metadata}}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}`,
    ServiceEntry: `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: x, ${metadata}}, spec: {hosts: [a.test]}}`,
    Deployment: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, ${metadata}}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, ${metadata}}, spec: {containers: [{name: c}]}}}}`,
  })[kind] ?? '';

for (const [kind, metadata, expected] of [
  [
    'Namespace',
    'labels: {istio.io/rev: canary}',
    [
      'metadata.labels["istio.io/rev"]: istio.io/rev is accepted but has no effect here: there is one control plane, and it takes the objects of every revision',
    ],
  ],
  [
    'Namespace',
    'labels: {istio-injection: enabled}',
    [
      'metadata.labels.istio-injection: istio-injection is accepted but has no effect here: nothing is injected: label the namespace istio.io/dataplane-mode=ambient',
    ],
  ],
  ['Namespace', 'labels: {istio-injection: disabled, istio.io/dataplane-mode: ambient, istio.io/use-waypoint: w}', []],
  [
    'Namespace',
    'labels: {istio.io/use-waypoint-canary: w}',
    [
      'metadata.labels["istio.io/use-waypoint-canary"]: istio.io/use-waypoint-canary is accepted but has no effect here: all traffic goes through the waypoint of istio.io/use-waypoint',
    ],
  ],
  [
    'Gateway',
    'annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}',
    [
      'metadata.annotations["ambient.istio.io/waypoint-inbound-binding"]: ambient.istio.io/waypoint-inbound-binding is accepted but has no effect here: a waypoint takes HBONE itself',
    ],
  ],
  ['Gateway', 'annotations: {ambient.istio.io/waypoint-inbound-binding: NONE}', []],
  [
    'ServiceEntry',
    'annotations: {istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT}',
    [
      'metadata.annotations["istio.io/connect-strategy"]: istio.io/connect-strategy is accepted but has no effect here: one address is tried after the other',
    ],
  ],
  ['ServiceEntry', 'labels: {istio.io/use-waypoint: w, team: a}', []],
  [
    'ServiceEntry',
    'annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "80"}',
    [
      'metadata.annotations["traffic.sidecar.istio.io/excludeOutboundPorts"]: traffic.sidecar.istio.io/excludeOutboundPorts is accepted but has no effect here: there are no sidecars',
    ],
  ],
] as const)
  test(`${kind} with ${metadata}`, () => assert.equal(warnings(object(kind, metadata)), expected));

test('a binding on a Deployment says where it belongs; on the pods it makes it counts', () => {
  const found = warnings(object('Deployment', 'annotations: {ambient.istio.io/dns-capture: "false"}'));
  assert.equal(found.length, 1);
  assert.match(found[0] ?? '', /^metadata\.annotations/);
});

test('keys stand in the table once', () => {
  const keys = MESH_KEYS.map((one) => `${one.in} ${one.key}`);
  assert.is(new Set(keys).size, keys.length);
});

test.run();
