import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Registry } from '@ambit/common/telemetry/metrics';
import { NOTHING_FETCHED } from './decision.ts';
import { createFetch } from './on-demand.ts';
import { ip, workload } from './mesh.fixture.ts';
import { SOURCE_LABELS, sourceLabels } from './telemetry/traffic-labels.ts';

const CLIENT = workload({ name: 'shell-0', workloadName: 'shell', namespace: 'a', canonicalName: 'shell' });
const need = { what: 'dns', hostname: 'db.example', workload: 'w' } as const;

test('ZT-DIR-04 every use of a resolution is counted, with who asked', async () => {
  const registry = new Registry();
  const family = registry.counter('istio_on_demand_dns', 'Uses', [...SOURCE_LABELS, 'hostname'], { unstable: true });
  const fetch = createFetch({
    resolve: async () => [ip('203.0.113.1')],
    demand: async () => undefined,
    resolved: (hostname, source) => family.with([...sourceLabels(source), hostname]).inc(),
  });
  const fetched = await fetch(need, NOTHING_FETCHED, CLIENT);
  assert.equal(fetched.resolved.get('db.example'), [ip('203.0.113.1')]);
  await fetch(need, NOTHING_FETCHED, CLIENT);
  assert.match(
    registry.render(),
    'istio_on_demand_dns_total{source_workload="shell",source_canonical_service="shell",source_canonical_revision="unknown",source_workload_namespace="a",source_principal="unknown",source_app="shell",source_version="unknown",source_cluster="Kubernetes",hostname="db.example"} 2',
  );
});

test('a name that cannot be resolved, and an address nobody answers for, are recorded as missing', async () => {
  const fetch = createFetch({
    resolve: () => Promise.reject(new Error('SERVFAIL')),
    demand: async () => undefined,
    resolved: () => undefined,
  });
  assert.equal((await fetch(need, NOTHING_FETCHED, CLIENT)).resolved.get('db.example'), []);
  const asked = await fetch({ what: 'address', key: '/10.0.0.1' }, NOTHING_FETCHED, CLIENT);
  assert.equal([...(asked.asked ?? [])], ['/10.0.0.1']);
});

test.run();
