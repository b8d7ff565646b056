import { MeshError } from '@ambit/common/errors';
import { MeshStore } from '@ambit/common/mesh/store';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { localWorkload } from './local-workload.ts';
import { workload } from './mesh.fixture.ts';

const POD = { name: 'a', namespace: 'ns', serviceAccount: 'default' };
const LONG_MS = 10_000;

const add = (store: MeshStore, part: Parameters<typeof workload>[0]): void =>
  store.applyAddresses([{ kind: 'workload', workload: workload({ namespace: 'ns', ...part }) }], []);

test('ZT-ST-02 waits until the workload of this pod and node arrives, then has it at once', async () => {
  const store = new MeshStore();
  add(store, { name: 'x', node: 'n1' });
  const local = localWorkload(store, POD, 'n1', LONG_MS);
  assert.is(local.current(), undefined);
  const late = local.get();
  add(store, { name: 'a', node: 'n2' });
  assert.is(local.current(), undefined);
  add(store, { name: 'a', node: 'n1', clusterId: 'here' });
  assert.is((await late).node, 'n1');
  assert.is((await local.get()).node, 'n1');
});

test('an empty node name accepts every node, another service account never', () => {
  const store = new MeshStore();
  add(store, { name: 'a', node: 'n2' });
  assert.is(localWorkload(store, POD, '').current()?.name, 'a');
  assert.is(localWorkload(store, { ...POD, serviceAccount: 'else' }, '').current(), undefined);
});

test('a workload that does not come in time is told as such', async () => {
  try {
    await localWorkload(new MeshStore(), POD, 'n1', 1).get();
    assert.unreachable();
  } catch (error) {
    assert.ok(error instanceof MeshError && error.code === 'NO_IDENTITY');
    assert.match(error.message, 'has not told of pod ns/a (service account default) on node n1 within 1 ms');
  }
});

test.run();
