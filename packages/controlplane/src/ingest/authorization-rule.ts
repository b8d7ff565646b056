import type { Attribute, Clause, Condition, ValueMatcher } from '@ambit/common/model/policy';
import type { AuthorizationRule, Operation, Source, When } from '../files/schema/authorization-policy.ts';
import {
  accountValue,
  cidrValue,
  hostValue,
  namespaceValue,
  pathValue,
  portValue,
  principalValue,
  type ReadValue,
  stringValue,
  type TrustDomains,
} from './authorization-values.ts';

/** A condition with the names under which the policy wrote it, for messages. */
export interface NamedCondition {
  readonly fields: readonly string[];
  /** The node agent can decide it; the others need HTTP or an attribute it does not have. */
  readonly l4: boolean;
  /** As an ALLOW reads it, never wider than written. Undefined: it never holds. */
  readonly narrow: Condition | undefined;
  /** As every other action reads it, never narrower than written. Undefined: it always holds. */
  readonly wide: Condition | undefined;
}

/** One clause (`from`, `to` or one `when`) as lists of named conditions. */
export interface NamedClause {
  readonly origin: Clause['origin'];
  readonly matches: readonly (readonly NamedCondition[])[];
}

interface Field<T> {
  readonly values: keyof T & string;
  readonly notValues: keyof T & string;
  readonly attribute: Attribute;
  readonly l4: boolean;
  readonly read: ReadValue;
}

export interface RuleContext {
  readonly namespace: string;
  readonly trustDomains: TrustDomains;
}

/** Istio leaves trustDomains out at L4 in silence, which widens an ALLOW; here it counts as not decidable there. */
const sourceFields = ({ namespace, trustDomains }: RuleContext): readonly Field<Source>[] => [
  field('principals', 'notPrincipals', 'source.principal', { l4: true, read: principalValue(trustDomains) }),
  field('namespaces', 'notNamespaces', 'source.namespace', { l4: true, read: namespaceValue }),
  field('serviceAccounts', 'notServiceAccounts', 'source.serviceAccount', { l4: true, read: accountValue(namespace) }),
  field('ipBlocks', 'notIpBlocks', 'source.ip', { l4: true, read: cidrValue }),
  field('trustDomains', 'notTrustDomains', 'source.trustDomain', { l4: false, read: stringValue }),
  field('remoteIpBlocks', 'notRemoteIpBlocks', 'remote.ip', { l4: false, read: cidrValue }),
  field('requestPrincipals', 'notRequestPrincipals', 'request.auth.principal', { l4: false, read: stringValue }),
];

const OPERATION_FIELDS: readonly Field<Operation>[] = [
  field('ports', 'notPorts', 'destination.port', { l4: true, read: portValue }),
  field('hosts', 'notHosts', 'request.host', { l4: false, read: hostValue }),
  field('methods', 'notMethods', 'request.method', { l4: false, read: stringValue }),
  field('paths', 'notPaths', 'request.path', { l4: false, read: pathValue }),
];

function field<T>(
  values: keyof T & string,
  notValues: keyof T & string,
  attribute: Attribute,
  how: { readonly l4: boolean; readonly read: ReadValue },
): Field<T> {
  return { values, notValues, attribute, ...how };
}

/** The clauses of a rule, in the order in which explanations read best: who, what, under which circumstances. */
export function clausesOf(rule: AuthorizationRule, context: RuleContext): NamedClause[] {
  const clauses: NamedClause[] = [];
  const fields = sourceFields(context);
  if (rule.from !== undefined)
    clauses.push({ origin: 'from', matches: rule.from.map(({ source = {} }) => conditionsOf(source, fields)) });
  if (rule.to !== undefined)
    clauses.push({
      origin: 'to',
      matches: rule.to.map(({ operation = {} }) => conditionsOf(operation, OPERATION_FIELDS)),
    });
  for (const when of rule.when ?? []) clauses.push({ origin: 'when', matches: [[whenCondition(when, context)]] });
  return clauses;
}

function conditionsOf<T extends { readonly [K in keyof T]?: readonly string[] }>(
  written: T,
  fields: readonly Field<T>[],
): NamedCondition[] {
  return fields.flatMap(({ values, notValues, attribute, l4, read }) => {
    const names = [values, notValues].filter((name) => written[name] !== undefined);
    if (names.length === 0) return [];
    return [{ fields: names, l4, ...conditionOf(attribute, '', read, [written[values], written[notValues]]) }];
  });
}

function conditionOf(
  attribute: Attribute,
  key: string,
  read: ReadValue,
  [values, notValues]: readonly [readonly string[] | undefined, readonly string[] | undefined],
): Readings {
  const wanted = readAll(values, read);
  const excluded = readAll(notValues, read);
  const condition = (some: Read['values']): Condition | undefined =>
    some.length + excluded.values.length === 0
      ? undefined
      : { attribute, key, values: some, notValues: excluded.values };
  const lost = (wanted.unreadable && wanted.values.length === 0) || excluded.unreadable;
  return {
    narrow: lost ? undefined : condition(wanted.values),
    wide: condition(wanted.unreadable ? [] : wanted.values),
  };
}

type Readings = Pick<NamedCondition, 'narrow' | 'wide'>;

interface Read {
  readonly values: readonly ValueMatcher[];
  /** Some literal means nothing to us: the list is not what its writer meant. */
  readonly unreadable: boolean;
}

function readAll(texts: readonly string[] = [], read: ReadValue): Read {
  const all = texts.map((text) => read(text));
  return { values: all.flatMap((one) => one ?? []), unreadable: all.includes(undefined) };
}

interface WhenKey {
  readonly attribute: Attribute;
  readonly l4: boolean;
  readonly read: ReadValue;
}

const whenKeys = ({ namespace, trustDomains }: RuleContext): Readonly<Record<string, WhenKey>> => ({
  'source.ip': { attribute: 'source.ip', l4: true, read: cidrValue },
  'source.namespace': { attribute: 'source.namespace', l4: true, read: namespaceValue },
  'source.principal': { attribute: 'source.principal', l4: true, read: principalValue(trustDomains) },
  'destination.ip': { attribute: 'destination.ip', l4: true, read: cidrValue },
  'destination.port': { attribute: 'destination.port', l4: true, read: portValue },
  'remote.ip': { attribute: 'remote.ip', l4: false, read: cidrValue },
  'source.serviceAccount': { attribute: 'source.serviceAccount', l4: false, read: accountValue(namespace) },
  'source.trustDomain': { attribute: 'source.trustDomain', l4: false, read: stringValue },
  'request.auth.principal': { attribute: 'request.auth.principal', l4: false, read: stringValue },
  'request.auth.audiences': { attribute: 'request.auth.audiences', l4: false, read: stringValue },
  'request.auth.presenter': { attribute: 'request.auth.presenter', l4: false, read: stringValue },
  'connection.sni': { attribute: 'connection.sni', l4: false, read: stringValue },
});

function whenCondition(when: When, context: RuleContext): NamedCondition {
  const fields = [when.key];
  const written = [when.values, when.notValues] as const;
  const plain = whenKeys(context)[when.key];
  if (plain !== undefined) return { fields, l4: plain.l4, ...conditionOf(plain.attribute, '', plain.read, written) };
  const names = [...when.key.matchAll(/\[([^[\]]+)\]/g)].map((match) => match[1] ?? '');
  if (when.key.startsWith('request.headers[')) {
    const name = (names[0] ?? '').toLowerCase();
    return { fields, l4: false, ...conditionOf('request.header', name, stringValue, written) };
  }
  if (when.key.startsWith('request.auth.claims['))
    return { fields, l4: false, ...conditionOf('request.auth.claims', names.join('\0'), stringValue, written) };
  return { fields, l4: false, narrow: undefined, wide: undefined };
}
