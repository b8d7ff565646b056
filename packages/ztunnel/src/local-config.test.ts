import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readConfig } from './config.ts';
import { readProxyConfig } from './local-config.ts';

const MESH = `
trustDomain: td
defaultConfig:
  discoveryAddress: mesh:15012
  statsPort: 16020
  concurrency: 3
  tracing: {}
  proxyMetadata:
    ISTIO_META_DNS_CAPTURE: "false"
    A: mesh
    B: mesh
`;

test('ZT-CFG-01 PROXY_CONFIG beats the mesh file field by field, its metadata entry by entry, prefixes stripped', () => {
  const config = readProxyConfig(MESH, 'proxyAdminPort: 16000\nproxyMetadata: { ISTIO_META_B: env, C: 7 }');
  assert.equal(config, {
    discoveryAddress: 'mesh:15012',
    proxyAdminPort: 16_000,
    statsPort: 16_020,
    concurrency: 3,
    proxyMetadata: { DNS_CAPTURE: 'false', A: 'mesh', B: 'env', C: '7' },
  });
});

test('ZT-CFG-01 ISTIO_META_ variables beat both, and all of it takes effect', () => {
  const env = { PROXY_CONFIG: 'proxyMetadata: { B: config, C: config }', ISTIO_META_C: 'env' };
  const config = readConfig(env, MESH);
  assert.equal(config.metadata, { DNS_CAPTURE: 'false', A: 'mesh', B: 'config', C: 'env' });
  assert.equal([config.dnsEnabled, config.metricsPort, config.adminPort], [false, 16_020, 15_000]);
  assert.is(config.xdsAddress, 'https://mesh:15012');
  assert.is(config.caAddress, 'https://localhost:15012');
  assert.is(readConfig({ ...env, XDS_ADDRESS: 'env:1' }, MESH).xdsAddress, 'https://env:1');
});

test('metadata name the cluster for the control plane only by their own variable', () => {
  const config = readConfig({ PROXY_CONFIG: 'proxyMetadata: { CLUSTER_ID: other }' }, undefined);
  assert.equal([config.clusterId, config.metadata], ['Kubernetes', { CLUSTER_ID: 'other' }]);
});

for (const [title, mesh, proxyConfig, message] of [
  ['YAML that does not parse', undefined, 'a: [', /PROXY_CONFIG is no valid YAML: .*line 1/],
  ['a list', '- a', undefined, /the mesh file is no YAML mapping/],
  ['a port that is none', undefined, 'statsPort: 70000', /PROXY_CONFIG: statsPort=70000 \(accepted: a port/],
  ['a field of the wrong type', 'defaultConfig: { concurrency: two }', undefined, /concurrency="two"/],
  ['metadata that are a list', undefined, 'proxyMetadata: [a]', /proxyMetadata is no mapping/],
] as const) {
  test(`refuses ${title}`, () => assert.throws(() => readProxyConfig(mesh, proxyConfig), message));
}

test('nothing given, or empty files, are the defaults', () => {
  for (const [mesh, text] of [
    [undefined, undefined],
    ['', ''],
    ['defaultConfig:', 'proxyMetadata:'],
  ] as const)
    assert.equal(readProxyConfig(mesh, text).proxyMetadata, {});
});

test.run();
