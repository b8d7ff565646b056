import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCidr } from '../address/cidr.ts';
import { type IpAddress, parseIp } from '../address/ip.ts';
import { parseSpiffe } from '../identity/spiffe.ts';
import type { Attribute, Clause, Condition, Match, Policy, Rule, ValueMatcher } from '../model/policy.ts';
import { evaluate } from './evaluate.ts';
import { describeVerdict, envoyDenialDetail } from './explain.ts';
import type { AuthzAttributes } from './verdict.ts';

const ip = (text: string): IpAddress => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const cidr = (text: string): ValueMatcher => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return { kind: 'cidr', cidr: parsed };
};
const read = (value: string | ValueMatcher): ValueMatcher => {
  if (typeof value !== 'string') return value;
  return value === '*' ? { kind: 'presence' } : { kind: 'exact', value, ignoreCase: false };
};

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

const OPAQUE: AuthzAttributes = {
  identity: parseSpiffe('spiffe://cluster.local/ns/shop/sa/checkout'),
  sourceIp: ip('10.244.0.7'),
  remoteIp: ip('10.244.0.7'),
  destinationIp: ip('240.240.0.2'),
  destinationPort: 443,
  sni: undefined,
  http: undefined,
};
const PLAINTEXT: AuthzAttributes = { ...OPAQUE, identity: undefined };

function withHttp(over: { method?: string; path?: string; headers?: Record<string, string[]> } = {}): AuthzAttributes {
  const { method = 'GET', path = '/v1/items', headers = {} } = over;
  const http = { host: 'api', method, path, jwt: undefined, header: (name: string) => headers[name] ?? [] };
  return { ...OPAQUE, http };
}
const REQUEST = withHttp();

const PRINCIPAL = is('source.principal', 'cluster.local/ns/shop/sa/checkout');
const STRANGER = is('source.principal', 'cluster.local/ns/x/sa/y');
const YES = [rule()];

const nearestOf = (condition: Condition, attributes: AuthzAttributes): string =>
  describeVerdict(evaluate([policy('ALLOW', [rule(any(all(condition)))])], attributes));

test('a denial tells what was considered and which ALLOW came nearest', () => {
  const policies = [
    policy('ALLOW', [rule(any(all(STRANGER)), any(all(is('request.method', 'POST'))))], { name: 'far' }),
    policy('ALLOW', [rule(any(all(PRINCIPAL)), any(all(is('request.method', 'POST', 'PUT'))))], { name: 'near' }),
    policy('DENY', [rule(any(all(STRANGER)))], { name: 'no' }),
    policy('ALLOW', YES, { name: 'maybe', dryRun: true }),
  ];
  const verdict = evaluate(policies, REQUEST);
  assert.equal(verdict.explanation, {
    considered: [
      { policy: 'ns/no', action: 'DENY', outcome: 'no match' },
      { policy: 'ns/far', action: 'ALLOW', outcome: 'no match' },
      { policy: 'ns/near', action: 'ALLOW', outcome: 'no match' },
      { policy: 'ns/maybe', action: 'ALLOW', outcome: 'dry run' },
    ],
    nearest: {
      policy: 'ns/near',
      rule: 0,
      attribute: 'request.method',
      key: '',
      wanted: ['POST', 'PUT'],
      actual: 'GET',
    },
  });
  assert.is(
    describeVerdict(verdict),
    'allow policies exist, but none allowed; nearest: ns/near rule 0 wants request.method POST, PUT, was GET; not enforced: ALLOW ns/maybe rule 0',
  );
  assert.is(envoyDenialDetail(verdict), 'rbac_access_denied_matched_policy[none]');
});

test('an explicit denial names the rule and stops there', () => {
  const verdict = evaluate(
    [
      policy('DENY', [rule(any(all(STRANGER))), rule(any(all(PRINCIPAL)))], { name: 'no' }),
      policy('ALLOW', YES, { name: 'yes' }),
    ],
    REQUEST,
  );
  assert.is(describeVerdict(verdict), 'explicitly denied by: ns/no rule 1');
  assert.is(envoyDenialDetail(verdict), 'rbac_access_denied_matched_policy[ns[ns]-policy[no]-rule[1]]');
  assert.equal(verdict.explanation?.considered, [{ policy: 'ns/no', action: 'DENY', outcome: 'matched' }]);
  assert.is(verdict.explanation?.nearest, undefined);
});

test('explanations say what is missing, and keep credentials and control characters out', () => {
  const secret = nearestOf(
    keyed('authorization', is('request.header', 'Bearer right')),
    withHttp({ headers: { authorization: ['Bearer wrong'] } }),
  );
  assert.not.match(secret, /right|wrong/);
  assert.match(secret, 'request.header[authorization] (hidden), was (hidden)');
  assert.match(nearestOf(PRINCIPAL, PLAINTEXT), '(no identity: the connection was not mutual TLS)');
  assert.match(nearestOf(is('request.path', '/x'), OPAQUE), '(not HTTP: this port is handled as opaque TCP)');
  assert.match(nearestOf(is('request.auth.principal', '*'), REQUEST), '(no valid token)');
  assert.match(nearestOf(not(is('request.method', 'GET')), REQUEST), 'wants request.method not GET, was GET');
  assert.match(nearestOf(is('source.ip', cidr('10.0.0.0/16'), cidr('10.1.1.1')), OPAQUE), '10.0.0.0/16, 10.1.1.1, was');
  const forged = nearestOf(is('request.path', '/x'), withHttp({ path: '/\r\n\u001b[31m\u202e' + 'y'.repeat(9000) }));
  assert.not.match(forged, /[\p{Cc}\p{Cf}]/u);
  assert.ok(forged.length < 400);
});

test('an ALLOW rule that is out because of an HTTP field says which', () => {
  const rules = [rule(any(all(PRINCIPAL), all(is('request.path', '/x'))))];
  const { explanation } = evaluate([policy('ALLOW', rules)], OPAQUE);
  assert.equal(explanation?.nearest?.attribute, 'request.path');
});

test.run();
