import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { SERVICE_RANGE } from '../address-pool.ts';
import { record } from '../fields.ts';
import { ClusterIps } from './cluster-ips.ts';

const folder = mkdtempSync(join(tmpdir(), 'ambit-ips-'));
const file = join(folder, 'cluster-ips.json');
test.before.each(() => rmSync(file, { force: true }));
test.after(() => rmSync(folder, { recursive: true }));

const service = (name: string, spec: Record<string, unknown> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec,
});
const ips = (pool: ClusterIps, object: KubeObject): unknown => record(pool.admit(object).spec)['clusterIPs'];
const open = (): ClusterIps => new ClusterIps(file, SERVICE_RANGE);

test('a Service keeps its address over restarts, whatever comes first', () => {
  const before = open();
  const [a, b] = [ips(before, service('a')), ips(before, service('b'))];
  assert.not.equal(a, b);
  const after = open();
  assert.equal(ips(after, service('b')), b);
  assert.equal(ips(after, service('c')), ['10.96.0.18']);
  assert.equal(ips(after, service('a')), a);
});

test('families follow the policy', () => {
  const pool = open();
  assert.equal(ips(pool, service('single')), ['10.96.0.16']);
  assert.equal(ips(pool, service('dual', { ipFamilyPolicy: 'PreferDualStack' })), ['10.96.0.17', 'fd00:10:96::11']);
  assert.equal(ips(pool, service('six', { ipFamilies: ['IPv6'] })), ['fd00:10:96::12']);
  assert.equal(ips(pool, service('both', { ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'RequireDualStack' })), [
    'fd00:10:96::13',
    '10.96.0.19',
  ]);
});

test('an address that was written is kept if it is free', () => {
  const pool = open();
  assert.equal(ips(pool, service('a', { clusterIP: '10.96.3.4' })), ['10.96.3.4']);
  assert.not.equal(ips(pool, service('b', { clusterIP: '10.96.3.4' })), ['10.96.3.4']);
  assert.equal(ips(open(), service('a')), ['10.96.3.4']);
});

test('headless and ExternalName Services get none', () => {
  const pool = open();
  for (const spec of [{ clusterIP: 'None' }, { type: 'ExternalName', externalName: 'a.b' }])
    assert.equal(pool.admit(service('x', spec)).spec, spec);
});

test('a broken file is not fatal', () => {
  writeFileSync(file, '{"Service/shop/a":');
  assert.equal(ips(open(), service('a')), ['10.96.0.16']);
});

test.run();
