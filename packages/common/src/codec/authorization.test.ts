import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { makeCidr } from '../address/cidr.ts';
import { ipFromBytes } from '../address/ip.ts';
import type { Attribute, Condition, Policy, ValueMatcher } from '../model/policy.ts';
import { message } from '../proto/load.ts';
import { decodeAuthorization, encodeAuthorization } from './authorization.ts';
import { decodePolicy, encodePolicy } from './policy.ts';

const word = fc.string({ maxLength: 10 });
const text = (...kinds: ('exact' | 'prefix' | 'suffix' | 'glob' | 'template')[]): fc.Arbitrary<ValueMatcher> =>
  fc.record({ kind: fc.constantFrom(...kinds), value: word, ignoreCase: fc.boolean() });
const presence: fc.Arbitrary<ValueMatcher> = fc.constant({ kind: 'presence' });
const cidr: fc.Arbitrary<ValueMatcher> = fc
  .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.nat(32))
  .map(([bytes, length]) => {
    const ip = ipFromBytes(bytes);
    return ip && makeCidr(ip, length);
  })
  .filter((one) => one !== undefined)
  .map((one) => ({ kind: 'cidr', cidr: one }));
const port: fc.Arbitrary<ValueMatcher> = fc.record({ kind: fc.constant('port'), port: fc.nat(65_535) });
const account: fc.Arbitrary<ValueMatcher> = fc.record({
  kind: fc.constant('serviceAccount'),
  namespace: word,
  serviceAccount: word,
});

const condition = (attribute: Attribute, value: fc.Arbitrary<ValueMatcher>): fc.Arbitrary<Condition> =>
  fc
    .record({
      attribute: fc.constant(attribute),
      key: fc.constant(''),
      values: fc.array(value, { maxLength: 3 }),
      notValues: fc.array(value, { maxLength: 3 }),
    })
    .filter(({ values, notValues }) => values.length + notValues.length > 0);

const l4Text = fc.oneof(
  text('exact', 'prefix', 'suffix').map((one) => ({ ...one, ignoreCase: false })),
  presence,
);
/** In the order of the wire's fields. */
const L4: readonly fc.Arbitrary<Condition>[] = [
  condition('source.namespace', l4Text),
  condition('source.principal', l4Text),
  condition('source.ip', cidr),
  condition('destination.ip', cidr),
  condition('destination.port', port),
  condition('source.serviceAccount', account),
];
const conditions: fc.Arbitrary<Condition[]> = fc
  .tuple(...L4.map((one) => fc.option(one, { nil: undefined })))
  .map((all) => all.filter((one) => one !== undefined));

const policyOf = (
  matches: fc.Arbitrary<Condition[]>,
  fixed: Pick<Policy, 'listeners'> & {
    readonly origins: readonly Policy['rules'][number]['clauses'][number]['origin'][];
  },
  choices: { readonly scope: fc.Arbitrary<Policy['scope']>; readonly action: fc.Arbitrary<Policy['action']> },
): fc.Arbitrary<Policy> =>
  fc.record({
    name: word,
    namespace: word,
    ...choices,
    dryRun: fc.boolean(),
    rules: fc.array(
      fc.record({
        clauses: fc.array(
          fc.record({
            origin: fc.constantFrom(...fixed.origins),
            matches: fc.array(fc.record({ conditions: matches }), { maxLength: 2 }),
          }),
          { maxLength: 2 },
        ),
      }),
      { maxLength: 2 },
    ),
    listeners: fc.constant(fixed.listeners),
  });

const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_key, one: unknown) => (one instanceof Uint8Array ? [...one] : one)));

test('any L4 policy comes back as it was', () => {
  const policies = policyOf(
    conditions,
    { listeners: [], origins: ['any'] },
    { scope: fc.constantFrom('GLOBAL', 'NAMESPACE', 'WORKLOAD_SELECTOR'), action: fc.constantFrom('ALLOW', 'DENY') },
  );
  fc.assert(
    fc.property(policies, (one) => assert.equal(plain(decodeAuthorization(encodeAuthorization(one))), plain(one))),
    { numRuns: 200 },
  );
});

test('any L7 policy comes back as it was', () => {
  const value = fc.oneof(text('exact', 'prefix', 'suffix', 'glob', 'template'), presence, cidr, port, account);
  const attributes: Attribute[] = [
    'request.path',
    'request.header',
    'connection.sni',
    'remote.ip',
    'source.trustDomain',
  ];
  const l7 = fc.array(
    fc.record({
      attribute: fc.constantFrom(...attributes),
      key: word,
      values: fc.array(value, { maxLength: 2 }),
      notValues: fc.array(value, { maxLength: 2 }),
    }),
    { maxLength: 2 },
  );
  const policies = policyOf(
    l7,
    { listeners: ['a/b'], origins: ['any', 'from', 'to', 'when'] },
    { scope: fc.constant('TARGETED'), action: fc.constantFrom('ALLOW', 'DENY', 'AUDIT', 'CUSTOM') },
  );
  fc.assert(
    fc.property(policies, (one) => assert.equal(plain(decodePolicy(encodePolicy(one))), plain(one))),
    { numRuns: 200 },
  );
});

const of = (values: readonly ValueMatcher[], attribute: Attribute = 'source.principal'): Policy => ({
  name: 'p',
  namespace: 'ns',
  scope: 'NAMESPACE',
  action: 'DENY',
  dryRun: false,
  rules: [{ clauses: [{ origin: 'any', matches: [{ conditions: [{ attribute, key: '', values, notValues: [] }] }] }] }],
  listeners: [],
});

test('an L4 policy has the field numbers of Istio', () => {
  const expected = [
    [0x0a, 0x01, 0x70], // name=1 "p"
    [0x12, 0x02, 0x6e, 0x73], // namespace=2 "ns"
    [0x18, 0x01], // scope=3 NAMESPACE
    [0x20, 0x01], // action=4 DENY
    [0x2a, 0x0b, 0x0a, 0x09, 0x12, 0x07], // rules=5 {clauses=1 {matches=2 …
    [0x1a, 0x05, 0x12, 0x03, 0x61, 0x2f, 0x62], // principals=3 {prefix=2 "a/b"}
  ].flat();
  const policy = of([{ kind: 'prefix', value: 'a/b', ignoreCase: false }]);
  assert.equal([...encodeAuthorization(policy)], expected);
  assert.equal(plain(decodeAuthorization(Uint8Array.from(expected))), plain(policy));
});

const refusal = (run: () => unknown): string => {
  try {
    run();
    return 'accepted';
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
};

const CANNOT: readonly (readonly [string, Policy])[] = [
  ['policy ns/p: request.path', of([{ kind: 'exact', value: '/', ignoreCase: false }], 'request.path')],
  ['glob match for source.principal', of([{ kind: 'glob', value: '*a*', ignoreCase: false }])],
  ['port match for source.ip', of([{ kind: 'port', port: 1 }], 'source.ip')],
  ['a policy with a target belongs to a waypoint', { ...of([]), scope: 'TARGETED' }],
  ['action AUDIT', { ...of([]), action: 'AUDIT' }],
];
for (const [problem, policy] of CANNOT) {
  test(`the L4 wire cannot say: ${problem}`, () => {
    assert.match(
      refusal(() => encodeAuthorization(policy)),
      problem,
    );
  });
}

test('two conditions on one attribute in one match are refused: their lists would become one', () => {
  const [rule] = of([{ kind: 'presence' }]).rules;
  const condition = rule?.clauses[0]?.matches[0]?.conditions[0];
  assert.ok(condition);
  const match = { conditions: [condition, condition] };
  const twice: Policy = { ...of([]), rules: [{ clauses: [{ origin: 'any', matches: [match] }] }] };
  assert.match(
    refusal(() => encodeAuthorization(twice)),
    'two conditions on source.principal',
  );
});

interface LoosePrefix {
  readonly address: Uint8Array;
  readonly length: number;
}

interface Loose {
  readonly scope: number;
  readonly action: number;
  readonly rules: readonly {
    readonly clauses: readonly {
      readonly matches: readonly {
        readonly principals: readonly { readonly exact: string }[];
        readonly sourceIps: readonly LoosePrefix[];
        readonly notSourceIps: readonly LoosePrefix[];
        readonly destinationPorts: readonly number[];
      }[];
    }[];
  }[];
}
const AUTHORIZATION = message<Loose>('istio.security.Authorization');

const BAD = { address: Uint8Array.of(1, 2, 3), length: 8 };
const LONG = { address: Uint8Array.of(10, 0, 0, 0), length: 33 };
const TEN = { address: Uint8Array.of(10, 0, 0, 0), length: 8 };
const PORTS = { destinationPorts: [80] };

for (const [what, action, match, expected] of [
  ['of an ALLOW list go; the rest allows less', 0, { sourceIps: [TEN, LONG, BAD] }, [['source.ip 1!0']]],
  ['alone in an ALLOW list: it never holds', 0, { sourceIps: [BAD] }, [[]]],
  ['beside a readable field: the match still never holds', 0, { ...PORTS, principals: [{}] }, [[]]],
  ['among what an ALLOW excludes: it never holds', 0, { ...PORTS, notSourceIps: [TEN, BAD] }, [[]]],
  ['of a DENY list: it holds without that field', 1, { ...PORTS, sourceIps: [TEN, BAD] }, [['destination.port 1!0']]],
  ['among what a DENY excludes go', 1, { ...PORTS, notSourceIps: [BAD] }, [['destination.port 1!0']]],
  ['alone in a DENY match: it always holds', 1, { sourceIps: [BAD] }, []],
  ['in no list: an empty DENY match never fires, as in Istio', 1, {}, [[]]],
] as const)
  test(`values that cannot be read, ${what}`, () => {
    const bytes = AUTHORIZATION.encode({ action, rules: [{ clauses: [{ matches: [match] }] }] });
    const matches = decodeAuthorization(bytes).rules[0]?.clauses[0]?.matches ?? [];
    assert.equal(
      matches.map((one) =>
        one.conditions.map(({ attribute, values, notValues }) => `${attribute} ${values.length}!${notValues.length}`),
      ),
      expected,
    );
  });

test('unknown scopes and actions refuse the policy', () => {
  assert.match(
    refusal(() => decodeAuthorization(AUTHORIZATION.encode({ scope: 3 }))),
    'scope: unknown value 3',
  );
  assert.match(
    refusal(() => decodeAuthorization(AUTHORIZATION.encode({ action: 2 }))),
    'action: unknown value 2',
  );
});

interface LooseL7 {
  readonly namespace: string;
  readonly name: string;
  readonly rules: readonly {
    readonly clauses: readonly {
      readonly matches: readonly {
        readonly conditions: readonly {
          readonly attribute: number;
          readonly values: readonly { readonly exact: string }[];
        }[];
      }[];
    }[];
  }[];
}
const POLICY = message<LooseL7>('ambit.l7.v1.Policy');

test('an L7 policy that holds anything unknown is refused whole', () => {
  const bytes = (attribute: number, value: { readonly exact?: string }): Uint8Array =>
    POLICY.encode({
      namespace: 'ns',
      name: 'p',
      rules: [{ clauses: [{ matches: [{ conditions: [{ attribute, values: [value] }] }] }] }],
    });
  assert.match(
    refusal(() => decodePolicy(bytes(0, { exact: 'x' }))),
    /policy ns\/p: .*attribute: unknown value 0/,
  );
  assert.match(
    refusal(() => decodePolicy(bytes(99, { exact: 'x' }))),
    'unknown value 99',
  );
  assert.match(
    refusal(() => decodePolicy(bytes(12, {}))),
    'request.path: a value of no known kind',
  );
  assert.is(
    refusal(() => decodePolicy(bytes(12, { exact: '' }))),
    'accepted',
  );
});

test.run();
