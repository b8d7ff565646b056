import { makeCidr } from '../address/cidr.ts';
import { ipToBytes } from '../address/ip.ts';
import type { Attribute, Clause, Condition, Policy, ValueMatcher } from '../model/policy.ts';
import { type Unset, type WireInput, message } from '../proto/load.ts';
import { decodeIp } from './network-address.ts';
import { refuse, wireEnum } from './wire-enum.ts';

interface WirePolicy {
  readonly namespace: string;
  readonly name: string;
  readonly action: number;
  readonly dryRun: boolean;
  readonly listeners: readonly string[];
  readonly rules: readonly { readonly clauses: readonly WireClause[] }[];
}

interface WireClause {
  readonly origin: number;
  readonly matches: readonly { readonly conditions: readonly WireCondition[] }[];
}

interface WireCondition {
  readonly attribute: number;
  readonly key: string;
  readonly values: readonly WireValue[];
  readonly notValues: readonly WireValue[];
}

type Text = 'exact' | 'prefix' | 'suffix' | 'glob' | 'template';

type WireValue = { readonly [K in Text]?: string | Unset } & {
  readonly kind: Text | 'presence' | 'cidr' | 'port' | 'serviceAccount' | undefined;
  readonly presence?: boolean | Unset;
  readonly cidr?: { readonly address: Uint8Array; readonly length: number } | Unset;
  readonly port?: number | Unset;
  readonly serviceAccount?: { readonly namespace: string; readonly name: string } | Unset;
  readonly ignoreCase: boolean;
};

const POLICY = message<WirePolicy>('ambit.l7.v1.Policy');
const ACTION = wireEnum<Policy['action']>('action', ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']);
const ORIGIN = wireEnum<Clause['origin']>('rules.clauses.origin', ['any', 'from', 'to', 'when']);
const ATTRIBUTE = wireEnum<Attribute>('rules.clauses.matches.conditions.attribute', [
  undefined,
  'source.principal',
  'source.namespace',
  'source.serviceAccount',
  'source.trustDomain',
  'source.ip',
  'remote.ip',
  'destination.ip',
  'destination.port',
  'connection.sni',
  'request.host',
  'request.method',
  'request.path',
  'request.header',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'request.auth.claims',
]);

/** `ambit.l7.v1.Policy`; its resource name is `namespace/name`. The scope is not sent: a waypoint only gets what targets it. */
export function encodePolicy(policy: Policy): Uint8Array {
  return POLICY.encode({
    namespace: policy.namespace,
    name: policy.name,
    action: ACTION.encode(policy.action),
    dryRun: policy.dryRun,
    listeners: policy.listeners,
    rules: policy.rules.map(({ clauses }) => ({
      clauses: clauses.map(({ origin, matches }) => ({
        origin: ORIGIN.encode(origin),
        matches: matches.map(({ conditions }) => ({ conditions: conditions.map(encodeCondition) })),
      })),
    })),
  });
}

const encodeCondition = (condition: Condition): WireInput<WireCondition> => ({
  attribute: ATTRIBUTE.encode(condition.attribute),
  key: condition.key,
  values: condition.values.map(encodeValue),
  notValues: condition.notValues.map(encodeValue),
});

function encodeValue(value: ValueMatcher): WireInput<WireValue> {
  if (value.kind === 'presence') return { presence: true };
  if (value.kind === 'cidr') return { cidr: { address: ipToBytes(value.cidr.ip), length: value.cidr.length } };
  if (value.kind === 'port') return { port: value.port };
  if (value.kind === 'serviceAccount') {
    return { serviceAccount: { namespace: value.namespace, name: value.serviceAccount } };
  }
  return { [value.kind]: value.value, ignoreCase: value.ignoreCase };
}

/** @throws MeshError CONFIG naming the policy and what in it cannot be read: nothing is left out of a policy. */
export function decodePolicy(bytes: Uint8Array): Policy {
  const wire = POLICY.decode(bytes);
  const resource = `policy ${wire.namespace}/${wire.name}`;
  return Object.freeze({
    name: wire.name,
    namespace: wire.namespace,
    scope: 'TARGETED',
    action: ACTION.decode(wire.action, resource),
    dryRun: wire.dryRun,
    rules: wire.rules.map(({ clauses }) => ({ clauses: clauses.map((clause) => decodeClause(clause, resource)) })),
    listeners: wire.listeners,
  });
}

const decodeClause = (wire: WireClause, resource: string): Clause => ({
  origin: ORIGIN.decode(wire.origin, resource),
  matches: wire.matches.map(({ conditions }) => ({
    conditions: conditions.map((condition) => decodeCondition(condition, resource)),
  })),
});

function decodeCondition(wire: WireCondition, resource: string): Condition {
  const attribute = ATTRIBUTE.decode(wire.attribute, resource);
  return {
    attribute,
    key: wire.key,
    values: wire.values.map((value) => decodeValue(value, resource, attribute)),
    notValues: wire.notValues.map((value) => decodeValue(value, resource, attribute)),
  };
}

function decodeValue(wire: WireValue, resource: string, attribute: Attribute): ValueMatcher {
  const { kind } = wire;
  if (kind === undefined) return refuse(resource, attribute, 'a value of no known kind');
  if (kind === 'presence') return { kind };
  if (kind === 'cidr') return decodeCidr(wire.cidr, resource, attribute);
  if (kind === 'port') return { kind, port: wire.port ?? 0 };
  if (kind === 'serviceAccount') {
    const { namespace = '', name = '' } = wire.serviceAccount ?? {};
    return { kind, namespace, serviceAccount: name };
  }
  return { kind, value: wire[kind] ?? '', ignoreCase: wire.ignoreCase };
}

function decodeCidr(wire: WireValue['cidr'], resource: string, attribute: Attribute): ValueMatcher {
  const ip = decodeIp(wire?.address ?? new Uint8Array(), resource, attribute);
  const length = wire?.length ?? 0;
  const cidr = makeCidr(ip, length) ?? refuse(resource, attribute, `${ip} has no prefix of ${length} bits`);
  return { kind: 'cidr', cidr };
}
