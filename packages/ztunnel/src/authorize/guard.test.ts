import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AuthzAttributes } from '@ambit/common/authz/verdict';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { Policy } from '@ambit/common/model/policy';
import { ip, mesh, workload } from '../mesh.fixture.ts';
import { describeDenial, Guard } from './guard.ts';

const POD = workload({ name: 'pod', ips: ['10.0.0.2'] });
const ATTRIBUTES: AuthzAttributes = {
  identity: undefined,
  sourceIp: ip('10.0.0.1'),
  remoteIp: ip('10.0.0.1'),
  destinationIp: ip('10.0.0.2'),
  destinationPort: 80,
  sni: undefined,
  http: undefined,
};

function portPolicy(action: 'ALLOW' | 'DENY', port: number): Policy {
  const values = [{ kind: 'port', port } as const];
  const condition = { attribute: 'destination.port', key: '', values, notValues: [] } as const;
  return {
    name: `${action.toLowerCase()}-${port}`,
    namespace: 'default',
    scope: 'NAMESPACE',
    action,
    dryRun: false,
    listeners: [],
    rules: [{ clauses: [{ origin: 'to', matches: [{ conditions: [condition] }] }] }],
  };
}

function guarded(): { store: MeshStore; guard: Guard } {
  const store = mesh({ workloads: [POD] });
  const guard = new Guard(store);
  store.onChange(() => guard.recheck());
  return { store, guard };
}

test('without policies a connection is admitted, and watched until it is released', () => {
  const { guard } = guarded();
  const admission = guard.admit(POD, ATTRIBUTES);
  assert.is(admission.kind, 'permit');
  assert.is(guard.size, 1);
  if (admission.kind === 'permit') admission.permit.release();
  assert.is(guard.size, 0);
});

test('a denial names the policy and is not watched', () => {
  const { store, guard } = guarded();
  store.applyPolicies([portPolicy('DENY', 80)], []);
  const admission = guard.admit(POD, ATTRIBUTES);
  assert.is(admission.kind, 'denied');
  assert.is(
    describeDenial(admission.verdict),
    'connection closed due to policy rejection: explicitly denied by: default/deny-80',
  );
  assert.is(guard.size, 0);
});

test('allow policies that do not match deny', () => {
  const { store, guard } = guarded();
  store.applyPolicies([portPolicy('ALLOW', 81)], []);
  const { verdict } = guard.admit(POD, ATTRIBUTES);
  assert.is(
    describeDenial(verdict),
    'connection closed due to policy rejection: allow policies exist, but none allowed',
  );
});

test('ZT-CM-03 a new DENY revokes exactly the connections it hits', () => {
  const { store, guard } = guarded();
  const cut: number[] = [];
  for (const destinationPort of [80, 81]) {
    const admission = guard.admit(POD, { ...ATTRIBUTES, destinationPort });
    if (admission.kind === 'permit') admission.permit.whenRevoked(() => cut.push(destinationPort));
  }
  store.applyPolicies([portPolicy('DENY', 80)], []);
  assert.equal(cut, [80]);
  assert.is(guard.size, 1);
});

test('a revocation before anybody listens is told when somebody does', () => {
  const { store, guard } = guarded();
  const admission = guard.admit(POD, ATTRIBUTES);
  store.applyPolicies([portPolicy('DENY', 80)], []);
  if (admission.kind !== 'permit') throw new Error('unreachable');
  assert.is(admission.permit.revoked?.message, 'connection closed due to policy change');
  let told: string | undefined;
  admission.permit.whenRevoked((error) => (told = error.code));
  assert.is(told, 'POLICY_DENIED');
  assert.is(admission.permit.verdict?.decidedBy?.policy, 'default/deny-80');
});

test('ZT-CM-01 ZT-CM-02 equal connections are all told of a change, but not those that have ended', () => {
  const { store, guard } = guarded();
  const told: number[] = [];
  const permits = [1, 2, 3].map((number) => {
    const admission = guard.admit(POD, ATTRIBUTES);
    if (admission.kind !== 'permit') throw new Error('denied');
    admission.permit.whenRevoked(() => told.push(number));
    return admission.permit;
  });
  permits[1]?.release();
  assert.is(guard.size, 2);
  store.applyPolicies([portPolicy('DENY', 80)], []);
  assert.equal([told, guard.size], [[1, 3], 0]);
});

test('a released connection is not cut', () => {
  const { store, guard } = guarded();
  const admission = guard.admit(POD, ATTRIBUTES);
  if (admission.kind !== 'permit') throw new Error('unreachable');
  admission.permit.whenRevoked(() => assert.unreachable());
  admission.permit.release();
  store.applyPolicies([portPolicy('DENY', 80)], []);
});

test.run();
