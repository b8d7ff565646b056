import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readConfig } from './config.ts';

test('without any variable the defaults are Istio’s', () => {
  const config = readConfig({});
  assert.equal(
    [config.xdsAddress, config.caAddress, config.packetMark, config.maxStreams, config.poolIdleMs, config.clusterId],
    ['https://localhost:15012', 'https://localhost:15012', 1337, 100, 300_000, 'Kubernetes'],
  );
  assert.equal([config.dnsEnabled, config.dnsPort, config.terminationDeadlineMs], [true, 15_053, 5000]);
});

for (const [title, env, key, expected] of [
  [
    'in Kubernetes the control plane is istiod',
    { KUBERNETES_SERVICE_HOST: '10.0.0.1' },
    'xdsAddress',
    'https://istiod.istio-system.svc:15012',
  ],
  ['a scheme is added', { XDS_ADDRESS: 'istiod:15012' }, 'xdsAddress', 'https://istiod:15012'],
  ['an empty address means no control plane', { XDS_ADDRESS: '' }, 'xdsAddress', undefined],
  ['ISTIO_META_CLUSTER_ID beats CLUSTER_ID', { CLUSTER_ID: 'a', ISTIO_META_CLUSTER_ID: 'b' }, 'clusterId', 'b'],
  [
    'the deadline leaves a long grace period five seconds',
    { TERMINATION_GRACE_PERIOD_SECONDS: '30' },
    'terminationDeadlineMs',
    25_000,
  ],
  ['and a short one a second', { TERMINATION_GRACE_PERIOD_SECONDS: '1' }, 'terminationDeadlineMs', 1000],
  [
    'the deadline itself wins',
    { TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '2s' },
    'terminationDeadlineMs',
    2000,
  ],
  ['DNS is off when the metadata say so', { ISTIO_META_DNS_CAPTURE: 'false' }, 'dnsEnabled', false],
  ['on in any case', { ISTIO_META_DNS_CAPTURE: 'TRUE' }, 'dnsEnabled', true],
  ['the DNS port follows the metadata', { ISTIO_META_DNS_PROXY_ADDR: 'localhost:15353' }, 'dnsPort', 15_353],
  ['LOG_FORMAT is json only when exactly that', { LOG_FORMAT: 'JSON' }, 'logFormat', 'plain'],
  ['TLS12_ENABLED counts only when exactly true', { TLS12_ENABLED: 'yes' }, 'tls12', false],
  ['ZT-CFG-03 a number of threads', { ZTUNNEL_WORKER_THREADS: '3' }, 'workers', 3],
  ['ZT-CFG-03 a share of the limit', { ZTUNNEL_WORKER_THREADS: '50%', ZTUNNEL_CPU_LIMIT: '8' }, 'workers', 4],
  ['ZT-CFG-03 zero is every core of the limit', { ZTUNNEL_WORKER_THREADS: '0', ZTUNNEL_CPU_LIMIT: '8' }, 'workers', 8],
  [
    'ZT-CFG-03 the limit when nothing is said',
    { ZTUNNEL_CPU_LIMIT: '6', ZTUNNEL_RESOURCE_CPU_REQUEST: '2' },
    'workers',
    6,
  ],
] as const) {
  test(title, () => assert.is(readConfig(env)[key], expected));
}

test('ZT-CFG-01 metadata lose their prefix', () => {
  const config = readConfig({
    ISTIO_META_ISTIO_VERSION: '1.30',
    ISTIO_METAJSON_LABELS: '{"a":1}',
    ISTIO_METAJSON_BAD: '{',
  });
  assert.equal(config.metadata, { ISTIO_VERSION: '1.30' });
  assert.equal(config.jsonMetadata, { LABELS: { a: 1 } });
  assert.equal(config.badJsonMetadata, ['BAD']);
});

test('ZT-CFG-02 headers by prefix, names in lower case', () => {
  const config = readConfig({ XDS_HEADER_FOO: 'bar', CA_HEADER_X_Y: 'z' });
  assert.equal([config.xdsHeaders, config.caHeaders], [{ foo: 'bar' }, { x_y: 'z' }]);
  assert.throws(() => readConfig({ 'XDS_HEADER_A B': 'c' }), /no header/);
  assert.throws(() => readConfig({ XDS_HEADER_A: 'é' }), /no header/);
});

for (const [title, env, message] of [
  ['ZT-CFG-04 a bad DNS address', { ISTIO_META_DNS_PROXY_ADDR: 'foo:1' }, /DNS_PROXY_ADDR="foo:1"/],
  ['an empty CA address', { CA_ADDRESS: '' }, /CA_ADDRESS is empty/],
  ['on demand with DNS', { XDS_ON_DEMAND: 'true' }, /XDS_ON_DEMAND/],
  ['nothing left to do', { ENABLE_PROXY: 'false', ISTIO_META_DNS_CAPTURE: 'false' }, /nothing is left/],
  ['dedicated without a workload', { PROXY_MODE: 'dedicated' }, /PROXY_WORKLOAD_INFO/],
  ['two static sources', { LOCAL_XDS: 'a', LOCAL_XDS_PATH: 'b' }, /LOCAL_XDS_PATH/],
  ['several bad values at once', { IPV6_ENABLED: 'yes', SECRET_TTL: '1x' }, /SECRET_TTL="1x".*IPV6_ENABLED="yes"/],
] as const) {
  test(`refuses ${title}`, () =>
    assert.throws(
      () => readConfig(env),
      (error: Error) => message.test(error.message),
    ));
}

test.run();
