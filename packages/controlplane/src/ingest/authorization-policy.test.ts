import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeAuthorization } from '@ambit/common/codec/authorization';
import type { Policy, Rule } from '@ambit/common/model/policy';
import type { KubeObject } from '../collections/object.ts';
import { type AuthorizationPolicyForm, ingestAuthorizationPolicy, l4Rules, l7Rules } from './authorization-policy.ts';

/** A policy as an API server may hold it, past every check of ours. */
function form(action: Policy['action'], rules: readonly unknown[]): AuthorizationPolicyForm {
  const found = ingestAuthorizationPolicy(policy({ action, rules }), { own: 'cluster.local', aliases: [] });
  assert.ok(found);
  return found;
}
const policy = (spec: Record<string, unknown>): KubeObject => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'p', namespace: 'apps' },
  spec,
});

const shape = (rules: readonly Rule[]): unknown =>
  rules.map(({ clauses }) =>
    clauses.map(({ matches }) =>
      matches.map(({ conditions }) =>
        conditions.map(({ attribute, values, notValues }) => `${attribute} ${values.length}!${notValues.length}`),
      ),
    ),
  );

const from = (source: unknown): unknown => ({ from: [{ source }] });
const ports = (written: unknown): unknown => ({ to: [{ operation: written }] });

for (const [what, rule] of [
  ['all values', from({ ipBlocks: ['nonsense'] })],
  ['all values beside others', from({ ipBlocks: ['nonsense'], namespaces: ['a'] })],
  ['one excluded value', from({ ipBlocks: ['10.0.0.0/8'], notIpBlocks: ['10.1.0.0/16', 'nonsense'] })],
  ['no value at all', from({ ipBlocks: [] })],
  ['a port', ports({ ports: ['0x50'] })],
  ['an excluded port', ports({ notPorts: ['http'] })],
  ['a condition', { when: [{ key: 'source.ip', values: ['nonsense'] }] }],
  ['a condition without values', { when: [{ key: 'source.namespace', values: [] }] }],
] as const)
  test(`an ALLOW rule that cannot be read (${what}) allows nothing`, () => {
    assert.equal(l4Rules(form('ALLOW', [rule])).rules, []);
    assert.equal(l7Rules(form('ALLOW', [rule])), []);
  });

test('of an ALLOW list the readable values stay: fewer values allow less', () => {
  const rule = from({ ipBlocks: ['nonsense', '10.0.0.0/8'] });
  assert.equal(shape(l4Rules(form('ALLOW', [rule])).rules), [[[['source.ip 1!0']]]]);
  assert.equal(shape(l7Rules(form('ALLOW', [rule]))), [[[['source.ip 1!0']]]]);
});

test('a DENY rule keeps denying what it cannot read, at the node agent and at a waypoint', () => {
  for (const rule of [from({ ipBlocks: ['nonsense'] }), ports({ ports: ['http'] })]) {
    assert.equal(shape(l4Rules(form('DENY', [rule])).rules), [[]], 'a rule without clauses matches all');
    assert.equal(shape(l7Rules(form('DENY', [rule]))), [[[[]]]], 'so does an empty match at a waypoint');
  }
  const partly = from({ ipBlocks: ['nonsense', '10.0.0.0/8'], namespaces: ['a'] });
  assert.equal(shape(l4Rules(form('DENY', [partly])).rules), [[[['source.namespace 1!0']]]]);
  const mixed = { ...Object(from({ namespaces: ['a'] })), ...Object(ports({ ports: ['http'], paths: ['/x'] })) };
  assert.equal(shape(l4Rules(form('DENY', [mixed])).rules), [[[['source.namespace 1!0']]]]);
});

test('a DENY clause with HTTP alone still never fires at the node agent, as in Istio', () => {
  const found = l4Rules(form('DENY', [ports({ paths: ['/x'] })]));
  assert.equal(shape(found.rules), [[[[]]]]);
  assert.not(found.enforceable);
});

test('a policy that does not fit its schema denies what it may be meant for, in its scope', () => {
  const read = (spec: Record<string, unknown>): AuthorizationPolicyForm | undefined =>
    ingestAuthorizationPolicy(policy(spec), { own: 'cluster.local', aliases: [] });
  const selector = { matchLabels: { app: 'web' } };
  const allow = read({ selector, rules: 'all' });
  assert.equal([allow?.action, allow?.selector, allow?.rules], ['ALLOW', { app: 'web' }, []]);
  assert.equal(read({ action: 'NEW', rules: [{}] })?.rules, [], 'an action of a later version allows nothing');
  const deny = read({ action: 'DENY', rules: [{ from: 'x' }] });
  assert.equal([deny?.action, deny?.rules], ['DENY', [[]]]);
  assert.is(read({ action: 'AUDIT', rules: 7 }), undefined);
});

test('what the wire says is what was derived', () => {
  const rules = l4Rules(form('DENY', [from({ ipBlocks: ['nonsense'] })])).rules;
  const value: Policy = {
    name: 'p',
    namespace: 'apps',
    scope: 'NAMESPACE',
    action: 'DENY',
    dryRun: false,
    rules,
    listeners: [],
  };
  assert.ok(encodeAuthorization(value).length > 0);
});

test.run();
