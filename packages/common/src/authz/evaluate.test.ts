import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCidr } from '../address/cidr.ts';
import { type IpAddress, parseIp } from '../address/ip.ts';
import { parseSpiffe } from '../identity/spiffe.ts';
import { HTTP_ATTRIBUTES } from '../model/policy.ts';
import type { Attribute, Clause, Condition, Match, Policy, Rule, ValueMatcher } from '../model/policy.ts';
import { evaluate } from './evaluate.ts';
import type { AuthzAttributes, HttpAttributes, JwtAttributes } from './verdict.ts';

function sure<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the test itself is wrong');
  return value;
}
const ip = (text: string): IpAddress => sure(parseIp(text));
const cidr = (text: string): ValueMatcher => ({ kind: 'cidr', cidr: sure(parseCidr(text)) });

/** Reads a literal as Istio does: `*` presence, `*x` suffix, `x*` prefix, a template, else exact. */
function literal(text: string): ValueMatcher {
  if (text === '*') return { kind: 'presence' };
  if (text.includes('{*')) return { kind: 'template', value: text, ignoreCase: false };
  if (text.startsWith('*')) return { kind: 'suffix', value: text.slice(1), ignoreCase: false };
  if (text.endsWith('*')) return { kind: 'prefix', value: text.slice(0, -1), ignoreCase: false };
  return { kind: 'exact', value: text, ignoreCase: false };
}
const glob = (text: string): ValueMatcher => ({ kind: 'glob', value: text, ignoreCase: false });
const port = (number: number): ValueMatcher => ({ kind: 'port', port: number });
const account = (namespace: string, serviceAccount: string): ValueMatcher => ({
  kind: 'serviceAccount',
  namespace,
  serviceAccount,
});
const read = (value: string | ValueMatcher): ValueMatcher => (typeof value === 'string' ? literal(value) : value);

function is(attribute: Attribute, ...values: (string | ValueMatcher)[]): Condition {
  return { attribute, key: '', values: values.map(read), notValues: [] };
}
const not = (condition: Condition): Condition => ({ ...condition, values: [], notValues: condition.values });
const keyed = (key: string, condition: Condition): Condition => ({ ...condition, key });
const all = (...conditions: Condition[]): Match => ({ conditions });
const any = (...matches: Match[]): Clause => ({ origin: 'any', matches });
const rule = (...clauses: Clause[]): Rule => ({ clauses });

function policy(action: Policy['action'], rules: Rule[], over: Partial<Policy> = {}): Policy {
  return { name: 'p', namespace: 'ns', scope: 'TARGETED', action, dryRun: false, rules, listeners: [], ...over };
}
/** As Istio's ztunnel gets it. */
const l4 = (action: Policy['action'], rules: Rule[], over: Partial<Policy> = {}): Policy =>
  policy(action, rules, { scope: 'NAMESPACE', ...over });

const JWT: JwtAttributes = jwt({ iss: 'https://id.example/realm', sub: 'ann', azp: 'web', roles: ['a', 'b'] });

type Claims = Record<string, string | string[] | Record<string, string[]>> & { iss: string; sub: string; azp?: string };

function jwt(claims: Claims, audiences = ['x', 'y']): JwtAttributes {
  return {
    principal: `${claims.iss}/${claims.sub}`,
    audiences,
    presenter: claims.azp ?? '',
    claim: ([name = '', inner]) => {
      const value = claims[name];
      if (value === undefined) return [];
      if (typeof value === 'string') return [value];
      return Array.isArray(value) ? value : (value[inner ?? ''] ?? []);
    },
  };
}

function http(over: Partial<HttpAttributes> & { headers?: Record<string, string[]> } = {}): HttpAttributes {
  const { headers = {}, ...rest } = over;
  return {
    host: 'Api.Example.com:8080',
    method: 'GET',
    path: '/v1/items',
    header: (name) => headers[name] ?? [],
    jwt: undefined,
    ...rest,
  };
}

const OPAQUE: AuthzAttributes = {
  identity: parseSpiffe('spiffe://cluster.local/ns/shop/sa/checkout'),
  sourceIp: ip('10.244.0.7'),
  remoteIp: ip('198.51.100.9'),
  destinationIp: ip('240.240.0.2'),
  destinationPort: 443,
  sni: 'api.example.com',
  http: undefined,
};
const PLAINTEXT: AuthzAttributes = { ...OPAQUE, identity: undefined };
const REQUEST: AuthzAttributes = { ...OPAQUE, http: http() };
const withHttp = (over: Parameters<typeof http>[0]): AuthzAttributes => ({ ...OPAQUE, http: http(over) });

/** A one-condition ALLOW allows exactly when the condition holds, and the same DENY denies then. */
function expectHolds(condition: Condition, attributes: AuthzAttributes, holds: boolean, what: string): void {
  const rules = [rule(any(all(condition)))];
  assert.is(evaluate([policy('ALLOW', rules)], attributes).allowed, holds, `ALLOW ${what}`);
  assert.is(evaluate([policy('DENY', rules)], attributes).allowed, !holds, `DENY ${what}`);
}

type Row = readonly [Condition, AuthzAttributes, holds: boolean];

/** WP-104, 105, 107, 109, 110, ZT-RB-05..11: each attribute with values it has and has not, over HTTP. */
const HTTP_ROWS: readonly Row[] = [
  [is('source.principal', 'cluster.local/ns/shop/sa/checkout'), REQUEST, true],
  [is('source.principal', 'spiffe://cluster.local/ns/shop/sa/checkout'), REQUEST, false],
  [is('source.principal', 'cluster.local/ns/shop/*'), REQUEST, true],
  [is('source.principal', '*/sa/checkout'), REQUEST, true],
  [is('source.principal', '*/sa/other'), REQUEST, false],
  [is('source.principal', '*'), REQUEST, true],
  [is('source.namespace', 'shop'), REQUEST, true],
  [is('source.namespace', 'sho'), REQUEST, false],
  [is('source.namespace', glob('s*o*')), REQUEST, true],
  [is('source.namespace', glob('s*x*')), REQUEST, false],
  [is('source.namespace', glob('sh*hop')), REQUEST, false],
  [is('source.serviceAccount', account('shop', 'checkout')), REQUEST, true],
  [is('source.serviceAccount', account('other', 'checkout')), REQUEST, false],
  [is('source.serviceAccount', 'shop/checkout'), REQUEST, true],
  [is('source.trustDomain', 'cluster.local'), REQUEST, true],
  [is('source.trustDomain', '*.local'), REQUEST, true],
  [is('source.trustDomain', 'other'), REQUEST, false],
  [is('source.ip', cidr('10.244.0.0/16')), REQUEST, true],
  [is('source.ip', cidr('10.244.0.7')), REQUEST, true],
  [is('source.ip', cidr('198.51.100.9')), REQUEST, false],
  [is('remote.ip', cidr('198.51.100.0/24')), REQUEST, true],
  [is('remote.ip', cidr('10.0.0.0/8')), REQUEST, false],
  [is('destination.ip', cidr('240.240.0.0/16')), REQUEST, true],
  [is('destination.ip', cidr('2001:2::/48')), REQUEST, false],
  [is('destination.port', port(443)), REQUEST, true],
  [is('destination.port', port(80), port(8080)), REQUEST, false],
  [is('connection.sni', '*.example.com'), REQUEST, true],
  [is('connection.sni', 'example.com'), REQUEST, false],
  [is('request.host', 'api.example.com:8080'), REQUEST, true],
  [is('request.host', 'API.example.COM:8080'), REQUEST, true],
  [is('request.host', 'api.example.com'), REQUEST, false],
  [is('request.host', 'API.*'), REQUEST, true],
  [is('request.host', '*.EXAMPLE.com:8080'), REQUEST, true],
  [is('request.host', '*'), REQUEST, true],
  [is('request.method', 'GET', 'HEAD'), REQUEST, true],
  [is('request.method', 'get'), REQUEST, false],
  [is('request.path', '/v1/items'), REQUEST, true],
  [is('request.path', '/v1/*'), REQUEST, true],
  [is('request.path', '*/items'), REQUEST, true],
  [is('request.path', '/v1'), REQUEST, false],
  [is('request.path', '/v1/{*}'), REQUEST, true],
  [is('request.path', '/{*}'), REQUEST, false],
  [is('request.path', '*'), withHttp({ path: '' }), false],
];

test('every attribute: values it has, values it has not, and their negation (ZT-RB-10, WP-104, WP-105, WP-110)', () => {
  for (const [condition, request, holds] of HTTP_ROWS) {
    const what = `${condition.attribute} ${JSON.stringify(condition.values)}`;
    const forms = HTTP_ATTRIBUTES.has(condition.attribute) ? [request] : [request, { ...request, http: undefined }];
    for (const attributes of forms) {
      expectHolds(condition, attributes, holds, what);
      expectHolds(not(condition), attributes, !holds, `not ${what}`);
    }
  }
});

const JWT_REQUEST = withHttp({ jwt: JWT });

test('tokens: issuer and subject are split at the last slash, lists match by element, claims nest (WP-107)', () => {
  const nested = withHttp({ jwt: jwt({ iss: 'i', sub: 's', realm: { roles: ['admin', 'dev'] } }, []) });
  const rows: Row[] = [
    [is('request.auth.principal', 'https://id.example/realm/ann'), JWT_REQUEST, true],
    [is('request.auth.principal', 'https://id.example/realm/bob'), JWT_REQUEST, false],
    [is('request.auth.principal', '*'), JWT_REQUEST, true],
    [is('request.auth.principal', '*'), REQUEST, false],
    [is('request.auth.principal', '*'), withHttp({ jwt: jwt({ iss: 'i', sub: '' }) }), false],
    [is('request.auth.principal', '*realm/ann'), JWT_REQUEST, true],
    [is('request.auth.principal', 'https://id.example/realm/a*'), JWT_REQUEST, true],
    [is('request.auth.principal', 'https://id.example/r*'), JWT_REQUEST, false],
    [is('request.auth.principal', '*nn'), JWT_REQUEST, true],
    [is('request.auth.principal', 'ann'), JWT_REQUEST, false],
    [is('request.auth.principal', 'https*'), withHttp({ jwt: jwt({ iss: 'https.id', sub: 'x' }) }), true],
    [is('request.auth.principal', 'i/a'), withHttp({ jwt: jwt({ iss: 'i', sub: 'a' }) }), true],
    [is('request.auth.principal', 'i/a/b'), withHttp({ jwt: jwt({ iss: 'i', sub: 'a/b' }) }), false],
    [is('request.auth.audiences', 'y'), JWT_REQUEST, true],
    [is('request.auth.audiences', 'z'), JWT_REQUEST, false],
    [is('request.auth.presenter', 'web'), JWT_REQUEST, true],
    [is('request.auth.presenter', 'app'), JWT_REQUEST, false],
    [keyed('roles', is('request.auth.claims', 'b')), JWT_REQUEST, true],
    [keyed('roles', is('request.auth.claims', 'c')), JWT_REQUEST, false],
    [keyed('realm\0roles', is('request.auth.claims', 'dev')), nested, true],
    [keyed('realm\0roles', is('request.auth.claims', 'ops')), nested, false],
    [keyed('none', is('request.auth.claims', '*')), nested, false],
  ];
  for (const [condition, attributes, holds] of rows) {
    const what = `${condition.attribute} ${JSON.stringify(condition.values)}`;
    expectHolds(condition, attributes, holds, what);
    expectHolds(not(condition), attributes, !holds, `not ${what}`);
  }
});

test('headers: presence counts an empty value, repeats are tested one by one, a comma list is not split (WP-096)', () => {
  const rows: [value: string, lines: string[], holds: boolean][] = [
    ['a', ['a'], true],
    ['a', ['A'], false],
    ['a', [], false],
    ['a', ['b', 'a'], true],
    ['a', ['a, b'], false],
    ['*', [''], true],
    ['*', [], false],
    ['a*', ['abc'], true],
    ['*c', ['abc'], true],
  ];
  for (const [value, lines, holds] of rows) {
    const condition = keyed('x-test', is('request.header', value));
    const attributes = withHttp({ headers: { 'x-test': lines } });
    expectHolds(condition, attributes, holds, `${value} of ${lines.join('|')}`);
    expectHolds(not(condition), attributes, !holds, `not ${value} of ${lines.join('|')}`);
  }
  const both = keyed('x-test', { ...is('request.header', 'a*'), notValues: [literal('abc')] });
  expectHolds(both, withHttp({ headers: { 'x-test': ['abd'] } }), true, 'values and notValues');
  expectHolds(both, withHttp({ headers: { 'x-test': ['abc'] } }), false, 'values and notValues');
});

test('plaintext has no principal: only negations and an empty namespace hold (ZT-RB-05, ZT-RB-06, ZT-RB-07, WP-106)', () => {
  const sources: Condition[] = [
    is('source.principal', '*'),
    is('source.principal', 'cluster.local/ns/shop/sa/checkout'),
    is('source.namespace', '*'),
    is('source.namespace', 'shop'),
    is('source.namespace', glob('*')),
    is('source.serviceAccount', account('shop', 'checkout')),
    is('source.trustDomain', '*'),
  ];
  for (const condition of sources) {
    expectHolds(condition, PLAINTEXT, false, condition.attribute);
    expectHolds(not(condition), PLAINTEXT, true, `not ${condition.attribute}`);
  }
  expectHolds(is('source.namespace', ''), PLAINTEXT, true, 'empty namespace');
});

test('addresses: an IPv4 prefix never holds an IPv6 address (ZT-RB-04, ZT-RB-08, ZT-RB-09)', () => {
  const six = { ...OPAQUE, sourceIp: ip('fd00:10:244::7'), destinationIp: ip('::1') };
  for (const [condition, attributes, holds] of [
    [is('source.ip', cidr('0.0.0.0/0')), six, false],
    [is('source.ip', cidr('::/0')), six, true],
    [is('source.ip', cidr('::/0')), OPAQUE, false],
    [is('source.ip', cidr('fd00:10:244::/64')), six, true],
    [is('destination.ip', cidr('240.240.0.0/24')), OPAQUE, true],
    [is('destination.ip', cidr('240.240.1.0/24')), OPAQUE, false],
    [is('destination.ip', cidr('10.0.0.0/8'), cidr('240.240.0.2/32')), OPAQUE, true],
  ] satisfies Row[]) {
    expectHolds(condition, attributes, holds, JSON.stringify(condition.values));
    expectHolds(not(condition), attributes, !holds, `not ${JSON.stringify(condition.values)}`);
  }
});

test('strings: exact, prefix, suffix, presence, with empty input too (ZT-RB-11)', () => {
  for (const [text, sni, holds] of [
    ['abc', 'abc', true],
    ['abc', 'abcd', false],
    ['ab*', 'ab', true],
    ['ab*', 'a', false],
    ['*bc', 'abc', true],
    ['*bc', 'bcd', false],
    ['*', 'x', true],
    ['*', '', false],
    ['', '', true],
  ] as const)
    expectHolds(is('connection.sni', text), { ...OPAQUE, sni }, holds, `${text} of ${sni}`);
  expectHolds(is('connection.sni', '*'), { ...OPAQUE, sni: undefined }, false, 'no sni');
  expectHolds(not(is('connection.sni', 'x')), { ...OPAQUE, sni: undefined }, true, 'no sni, not');
});

const YES = [rule()];
const PRINCIPAL = is('source.principal', 'cluster.local/ns/shop/sa/checkout');
const STRANGER = is('source.principal', 'cluster.local/ns/x/sa/y');

test('structure: rules OR, clauses AND, matches OR, conditions AND; what is empty (ZT-RB-01, ZT-RB-02, ZT-RB-03)', () => {
  const rows: [name: string, rules: Rule[], l4: boolean, l7: boolean][] = [
    ['no rules never matches', [], false, false],
    ['a rule without clauses matches', YES, true, true],
    ['a clause without matches matches', [rule(any())], true, true],
    ['a match without conditions', [rule(any(all()))], false, true],
    ['a match whose lists are all empty', [rule(any(all(is('source.principal'))))], false, true],
    ['OR in a clause', [rule(any(all(STRANGER), all(PRINCIPAL)))], true, true],
    ['AND across clauses', [rule(any(all(STRANGER)), any(all(PRINCIPAL)))], false, false],
    ['AND in a match', [rule(any(all(PRINCIPAL, is('destination.port', port(443)))))], true, true],
    ['AND in a match, one fails', [rule(any(all(PRINCIPAL, is('destination.port', port(1)))))], false, false],
    ['OR across rules', [rule(any(all(STRANGER))), rule(any(all(PRINCIPAL)))], true, true],
  ];
  for (const [name, rules, atL4, atL7] of rows) {
    assert.is(evaluate([l4('ALLOW', rules)], OPAQUE).allowed, atL4, `${name} at L4`);
    assert.is(evaluate([policy('ALLOW', rules)], OPAQUE).allowed, atL7, `${name} at L7`);
  }
});

test('order: nothing applies, ALLOW must match, DENY wins, and each names its rule (ZT-RB-12, ZT-RB-13, ZT-RB-14, WP-097)', () => {
  const none = evaluate([], OPAQUE);
  assert.equal([none.allowed, none.reason], [true, 'no-allow-policies']);
  const second = evaluate([policy('ALLOW', [rule(any(all(STRANGER))), rule(any(all(PRINCIPAL)))])], OPAQUE);
  assert.equal(second.decidedBy, { policy: 'ns/p', rule: 1 });
  assert.is(second.reason, 'allow-matched');
  const both = evaluate([policy('ALLOW', YES, { name: 'yes' }), policy('DENY', YES, { name: 'no' })], OPAQUE);
  assert.equal([both.allowed, both.reason, both.decidedBy?.policy], [false, 'deny-matched', 'ns/no']);
  assert.is(evaluate([policy('ALLOW', [])], OPAQUE).reason, 'none-allowed');
  assert.is(evaluate([policy('DENY', [rule(any(all(STRANGER)))])], OPAQUE).reason, 'no-allow-policies');
});

test('an ALLOW for others still means that an ALLOW exists', () => {
  const others = policy('ALLOW', [rule(any(all(STRANGER)))]);
  assert.not(evaluate([others], OPAQUE).allowed);
  assert.not(evaluate([others], PLAINTEXT).allowed);
});

test('dry-run and AUDIT are recorded and change nothing (ZT-RB-15)', () => {
  const dry = { dryRun: true };
  const recorded = evaluate(
    [
      policy('DENY', YES, { ...dry, name: 'dry-deny' }),
      policy('ALLOW', [], { ...dry, name: 'dry-nothing' }),
      policy('ALLOW', YES, { ...dry, name: 'dry-allow' }),
      policy('AUDIT', YES, { name: 'audit' }),
      policy('CUSTOM', YES, { ...dry, name: 'dry-custom' }),
    ],
    OPAQUE,
  );
  assert.ok(recorded.allowed);
  assert.is(recorded.reason, 'no-allow-policies');
  assert.equal(recorded.shadow, [
    { policy: 'ns/dry-deny', rule: 0, action: 'DENY' },
    { policy: 'ns/dry-allow', rule: 0, action: 'ALLOW' },
    { policy: 'ns/audit', rule: 0, action: 'AUDIT' },
  ]);
});

test('CUSTOM refuses what it would ask about, as there is no authorizer to ask', () => {
  assert.not(evaluate([policy('CUSTOM', YES), policy('ALLOW', YES)], OPAQUE).allowed);
  assert.ok(evaluate([policy('CUSTOM', [rule(any(all(STRANGER)))])], OPAQUE).allowed);
});

test('HTTP fields on an opaque connection: an ALLOW rule with one never matches, DENY and AUDIT ignore them', () => {
  const path = is('request.path', '/x');
  const rows: [rules: Rule[], allow: boolean, deny: boolean][] = [
    [[rule(any(all(path)))], false, true],
    [[rule(any(all(not(path))))], false, true],
    [[rule(any(all(PRINCIPAL)), any(all(path)))], false, true],
    [[rule(any(all(STRANGER)), any(all(path)))], false, false],
    [[rule(any(all(PRINCIPAL), all(path)))], false, true],
    [[rule(any(all(path))), rule(any(all(PRINCIPAL)))], true, true],
    [[rule(any(all(is('destination.port', port(443)), path)))], false, true],
    [[rule(any(all(is('destination.port', port(80)), path)))], false, false],
  ];
  for (const [index, [rules, allow, deny]] of rows.entries()) {
    assert.is(evaluate([policy('ALLOW', rules)], OPAQUE).allowed, allow, `ALLOW row ${index}`);
    assert.is(!evaluate([policy('DENY', rules)], OPAQUE).allowed, deny, `DENY row ${index}`);
    assert.is(evaluate([policy('AUDIT', rules)], OPAQUE).shadow.length > 0, deny, `AUDIT row ${index}`);
  }
});

test('L7: by path, method and header; by principal; prefix; the longer DENY over the ALLOW prefix (WP-093, WP-094, WP-095, WP-108)', () => {
  const policies = [
    policy('ALLOW', [rule(any(all(PRINCIPAL)), any(all(is('request.path', '/v1/*'))))], { name: 'allow' }),
    policy('DENY', [rule(any(all(is('request.path', '/v1/items/secret*'))))], { name: 'secret' }),
    policy('DENY', [rule(any(all(is('request.method', 'DELETE'), keyed('x-force', is('request.header', 'yes')))))], {
      name: 'delete',
    }),
  ];
  for (const [attributes, allowed] of [
    [REQUEST, true],
    [withHttp({ path: '/v2' }), false],
    [withHttp({ path: '/v1/items/secret' }), false],
    [withHttp({ method: 'DELETE' }), true],
    [withHttp({ method: 'DELETE', headers: { 'x-force': ['yes'] } }), false],
    [{ ...REQUEST, identity: parseSpiffe('spiffe://cluster.local/ns/x/sa/y') }, false],
    [{ ...REQUEST, identity: undefined }, false],
  ] as const)
    assert.is(evaluate(policies, attributes).allowed, allowed, JSON.stringify(attributes.http));
});

test('of 1,000 policies a request reads those about its caller', () => {
  let asked = 0;
  const counting: HttpAttributes = {
    ...http(),
    get method() {
      asked++;
      return 'GET';
    },
  };
  const policies = Array.from({ length: 1000 }, (_, i) =>
    policy('ALLOW', [
      rule(any(all(is('source.principal', `cluster.local/ns/shop/sa/s${i}`))), any(all(is('request.method', 'GET')))),
    ]),
  );
  const caller = { ...OPAQUE, identity: parseSpiffe('spiffe://cluster.local/ns/shop/sa/s900'), http: counting };
  for (let i = 0; i < 100; i++) assert.ok(evaluate(policies, caller).allowed);
  assert.is(asked, 100);
});

test.run();
