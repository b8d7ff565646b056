import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '../collections/object.ts';
import { serviceSpec } from '../files/schema/core.ts';
import { deploymentSpec } from '../files/schema/pod.ts';
import { newReport, read } from '../files/schema/schema.ts';
import { ingestGateway } from '../ingest/gateway.ts';
import { isProvisioned, renderWaypoint } from './waypoint.ts';

interface Written {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly spec?: Record<string, unknown>;
}

function gateway({ labels, annotations, spec }: Written = {}): NonNullable<ReturnType<typeof ingestGateway>> {
  const metadata = {
    name: 'waypoint',
    namespace: 'egress',
    uid: 'u',
    ...(labels && { labels }),
    ...(annotations && { annotations }),
  };
  const listeners = [
    { name: 'mesh', port: 15_008, protocol: 'HBONE' },
    { name: 'Odd_Name', port: 80, protocol: 'HTTP' },
    { name: 'again', port: 80, protocol: 'HTTP' },
  ];
  const form = ingestGateway({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata,
    spec: { gatewayClassName: 'istio-waypoint', listeners, ...spec },
  });
  assert.ok(form);
  return form;
}

const PROGRAM = {
  command: ['run-waypoint'],
  env: { XDS_ADDRESS: 'a:1', NETWORK: 'over' },
  trustDomain: 'cluster.local',
  clusterId: 'Kubernetes',
  network: '',
};

function rendered(written: Written = {}): { account: KubeObject; deployment: KubeObject; service: KubeObject } {
  const [account, deployment, service, ...rest] = renderWaypoint(gateway(written), PROGRAM);
  assert.ok(account && deployment && service && rest.length === 0);
  return { account, deployment, service };
}

test('CP-002: what is made fits the schemas of files, and belongs to the Gateway', () => {
  const { account, deployment, service } = rendered();
  const report = newReport(true);
  assert.ok(deploymentSpec.check(deployment.spec, [], report), JSON.stringify(report.errors));
  assert.ok(serviceSpec.check(service.spec, [], report), JSON.stringify(report.errors));
  for (const { metadata } of [account, deployment, service]) {
    assert.equal([metadata.name, metadata.namespace], ['waypoint', 'egress']);
    assert.equal(metadata.ownerReferences?.[0], {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      name: 'waypoint',
      uid: 'u',
      controller: true,
    });
    assert.is(metadata.labels?.['gateway.istio.io/managed'], 'istio.io-mesh-controller');
  }
});

test('the pod carries the labels, ports, probes, token and environment that people and tools look for', () => {
  const spec = read(deploymentSpec, rendered().deployment.spec);
  const { labels, annotations } = spec?.template.metadata ?? {};
  assert.is(spec?.replicas, undefined, 'left to whoever scales it');
  assert.equal(spec?.selector.matchLabels, { 'gateway.networking.k8s.io/gateway-name': 'waypoint' });
  assert.equal(
    [
      labels?.['istio.io/dataplane-mode'],
      labels?.['sidecar.istio.io/inject'],
      labels?.['service.istio.io/canonical-name'],
    ],
    ['none', 'false', 'waypoint'],
  );
  assert.is(annotations?.['prometheus.io/path'], '/stats/prometheus');
  const container = spec?.template.spec.containers[0];
  assert.equal([container?.name, container?.command], ['istio-proxy', ['run-waypoint']]);
  assert.equal(
    container?.ports?.map((port) => port.containerPort),
    [15_020, 15_021, 15_090],
  );
  assert.equal(container?.readinessProbe?.httpGet, { path: '/healthz/ready', port: 15_021 });
  const env = new Map(container?.env?.map((one) => [one.name, one.value ?? one.valueFrom?.fieldRef?.fieldPath]));
  assert.equal(
    ['POD_NAME', 'INSTANCE_IPS', 'GATEWAY_NAME', 'XDS_ADDRESS', 'NETWORK', 'AUTH_TOKEN'].map((name) => env.get(name)),
    ['metadata.name', 'status.podIPs', 'waypoint', 'a:1', 'over', '/var/run/secrets/tokens/istio-token'],
  );
  assert.is(env.size, container?.env?.length, 'each variable once');
});

test('the Service has the status port and one port per listener port', () => {
  const spec = read(serviceSpec, rendered().service.spec);
  assert.equal(
    spec?.ports?.map(({ name, port, appProtocol }) => [name, port, appProtocol]),
    [
      ['status-port', 15_021, 'tcp'],
      ['mesh', 15_008, 'hbone'],
      ['odd-name', 80, 'http'],
    ],
  );
  assert.equal([spec?.type, spec?.ipFamilyPolicy], ['ClusterIP', 'PreferDualStack']);
  assert.is(rendered().service.metadata.annotations?.['networking.istio.io/traffic-distribution'], 'PreferClose');
});

test('names, labels and annotations can be chosen', () => {
  const { account, deployment, service } = rendered({
    labels: { team: 'a', 'gateway.networking.k8s.io/own': 'x' },
    annotations: {
      'gateway.istio.io/service-account': 'sa',
      'gateway.istio.io/name-override': 'other',
      'networking.istio.io/service-type': 'LoadBalancer',
      note: 'n',
    },
  });
  assert.equal(
    [account, deployment, service].map((one) => one.metadata.name),
    ['sa', 'other', 'other'],
  );
  assert.equal(
    [service.metadata.labels?.['team'], service.metadata.labels?.['gateway.networking.k8s.io/own']],
    ['a', undefined],
  );
  assert.equal(
    [service.metadata.annotations?.['note'], service.metadata.annotations?.['gateway.istio.io/name-override']],
    ['n', undefined],
  );
  assert.is(service.spec?.['type'], 'LoadBalancer');
  const own = rendered({
    labels: { team: 'a' },
    annotations: { note: 'n' },
    spec: { infrastructure: { labels: { zone: 'z' } } },
  });
  assert.equal(
    [
      own.account.metadata.labels?.['team'],
      own.account.metadata.labels?.['zone'],
      own.account.metadata.annotations?.['note'],
    ],
    [undefined, 'z', 'n'],
  );
});

test('a Gateway of another class, or one that points at a Service of somebody else, is left alone', () => {
  assert.ok(isProvisioned(gateway()));
  assert.not(isProvisioned(gateway({ spec: { gatewayClassName: 'istio' } })));
  assert.not(isProvisioned(gateway({ spec: { addresses: [{ type: 'Hostname', value: 'a.b' }] } })));
  assert.not(isProvisioned(gateway({ spec: { addresses: [{ value: '10.0.0.1' }, { value: '10.0.0.2' }] } })));
});

test.run();
