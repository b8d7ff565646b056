import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { spiffeId } from '@ambit/common/identity/spiffe';
import { Access } from './access.ts';
import type { KubeObject } from './collections/object.ts';
import { ObjectStore } from './collections/object-store.ts';
import type { Caller } from './serve/authenticate.ts';

const pod = (
  name: string,
  spec: Record<string, unknown>,
  more: { labels?: Record<string, string>; phase?: string } = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'apps', uid: `uid-${name}`, labels: more.labels ?? {} },
  spec: { containers: [{ name: 'c' }], ...spec },
  status: { phase: more.phase ?? 'Running' },
});
const caller = (namespace: string, account: string, podName: string, podUid = `uid-${podName}`): Caller => ({
  identity: spiffeId('cluster.local', namespace, account),
  podName,
  podUid,
});
const access = (...pods: KubeObject[]): Access => {
  const store = new ObjectStore();
  store.apply(pods);
  return new Access(store, ['istio-system/ztunnel'], 'here');
};
const AGENT = caller('istio-system', 'ztunnel', 'ztunnel');

test('CP-046: a token is good for the pod with its uid, and always for a node agent', () => {
  const web = access(pod('web', {}));
  assert.ok(web.admit(caller('apps', 'default', 'web')));
  assert.is(web.admit(caller('apps', 'default', 'web', 'an older pod of that name')), undefined);
  assert.is(web.admit(caller('apps', 'default', 'gone')), undefined);
  assert.ok(web.admit(AGENT));
  assert.is(web.admit(undefined), undefined);
});

test('CP-047: a node agent speaks for accounts of pods on its own node that have not failed', () => {
  const identity = spiffeId('cluster.local', 'apps', 'web');
  const rows: [KubeObject[], boolean][] = [
    [[pod('a', { serviceAccountName: 'web', nodeName: 'here' })], true],
    [[pod('a', { serviceAccountName: 'web' })], true],
    [[pod('a', { serviceAccountName: 'web', nodeName: 'there' })], false],
    [[pod('a', { serviceAccountName: 'web' }, { phase: 'Failed' })], false],
    [[pod('a', { serviceAccountName: 'other' }), pod('b', {})], false],
    [[], false],
  ];
  for (const [pods, expected] of rows) assert.is(access(...pods).mayImpersonate(AGENT, identity), expected);
  assert.ok(access(pod('a', {})).mayImpersonate(AGENT, spiffeId('cluster.local', 'apps', 'default')));
});

test('only the pods of a Gateway get its configuration', () => {
  const gateway = access(
    pod('w', {}, { labels: { 'gateway.networking.k8s.io/gateway-name': 'waypoint' } }),
    pod('x', {}),
  );
  assert.ok(gateway.servesGateway(caller('apps', 'waypoint', 'w'), 'waypoint'));
  assert.not(gateway.servesGateway(caller('apps', 'waypoint', 'w'), 'other'));
  assert.not(gateway.servesGateway(caller('apps', 'default', 'x'), 'waypoint'));
});

test.run();
