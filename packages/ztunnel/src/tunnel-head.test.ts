import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hostPort, workload } from './mesh.fixture.ts';
import { requestHeaders, responseHeaders } from './tunnel-head.ts';

const LOCAL = workload({ name: 'web-0', workloadName: 'web', namespace: 'b' });

test('ZT-IN-08 baggage is answered when enabled only', () => {
  assert.is(
    responseHeaders(LOCAL, true).get('baggage'),
    'k8s.cluster.name=Kubernetes,k8s.namespace.name=b,k8s.deployment.name=web',
  );
  assert.is(responseHeaders(LOCAL, false).get('baggage'), undefined);
});

test('ZT-OUT-21 the origin network is told only inside a tunnel in a tunnel, even without a name', () => {
  const part = { workload: LOCAL, client: hostPort('10.0.0.1:80'), host: undefined };
  assert.is(requestHeaders(part).get('x-forwarded-network'), undefined);
  assert.is(requestHeaders({ ...part, originNetwork: '' }).get('x-forwarded-network'), '');
});

test.run();
