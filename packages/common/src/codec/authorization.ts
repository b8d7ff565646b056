import { makeCidr } from '../address/cidr.ts';
import { ipFromBytes, ipToBytes } from '../address/ip.ts';
import { MeshError } from '../errors.ts';
import type { Attribute, Condition, Match, Policy, ValueMatcher } from '../model/policy.ts';
import { type Unset, type WireInput, message } from '../proto/load.ts';
import { wireEnum } from './wire-enum.ts';

interface WireAuthorization {
  readonly name: string;
  readonly namespace: string;
  readonly scope: number;
  readonly action: number;
  readonly rules: readonly { readonly clauses: readonly { readonly matches: readonly WireMatch[] }[] }[];
  readonly dryRun: boolean;
}

/** Each pair of lists (`x`, `not_x`) of the wire is one condition of the model. */
interface WireMatch {
  readonly namespaces: readonly WireString[];
  readonly notNamespaces: readonly WireString[];
  readonly principals: readonly WireString[];
  readonly notPrincipals: readonly WireString[];
  readonly sourceIps: readonly WirePrefix[];
  readonly notSourceIps: readonly WirePrefix[];
  readonly destinationIps: readonly WirePrefix[];
  readonly notDestinationIps: readonly WirePrefix[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
  readonly serviceAccounts: readonly WireServiceAccount[];
  readonly notServiceAccounts: readonly WireServiceAccount[];
}

interface WireString {
  readonly matchType?: 'exact' | 'prefix' | 'suffix' | 'presence';
  readonly exact?: string | Unset;
  readonly prefix?: string | Unset;
  readonly suffix?: string | Unset;
  readonly presence?: object | Unset;
}

interface WirePrefix {
  readonly address: Uint8Array;
  readonly length: number;
}

interface WireServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

const AUTHORIZATION = message<WireAuthorization>('istio.security.Authorization');
const SCOPE = wireEnum<Policy['scope']>('scope', ['GLOBAL', 'NAMESPACE', 'WORKLOAD_SELECTOR']);
const ACTION = wireEnum<Policy['action']>('action', ['ALLOW', 'DENY']);

/** @throws MeshError CONFIG naming the policy and the field at fault. */
export function decodeAuthorization(bytes: Uint8Array): Policy {
  const wire = AUTHORIZATION.decode(bytes);
  const resource = `authorization ${wire.namespace}/${wire.name}`;
  const action = ACTION.decode(wire.action, resource);
  const allow = action === 'ALLOW';
  return Object.freeze({
    name: wire.name,
    namespace: wire.namespace,
    scope: SCOPE.decode(wire.scope, resource),
    action,
    dryRun: wire.dryRun,
    rules: wire.rules.map(({ clauses }) => ({
      clauses: clauses.map(({ matches }) => ({ origin: 'any' as const, matches: decodeMatches(matches, allow) })),
    })),
    listeners: [],
  });
}

/**
 * A value that cannot be read (a string match of no kind, an address of a wrong size) never makes an ALLOW wider or a DENY
 * narrower than written, where Istio's agent leaves it out: an ALLOW match then never holds, a DENY match holds without
 * the condition. Undefined: holds whatever comes.
 */
function decodeMatch(wire: WireMatch, allow: boolean): Match | undefined {
  const conditions: Condition[] = [];
  let never = false;
  let lost = false;
  const add = (attribute: Attribute, wanted: readonly Decoded[], excluded: readonly Decoded[]): void => {
    const [values, notValues] = [wanted.flatMap(readable), excluded.flatMap(readable)];
    const [badWanted, badExcluded] = [values.length < wanted.length, notValues.length < excluded.length];
    never ||= allow && ((badWanted && values.length === 0) || badExcluded);
    lost ||= badWanted || badExcluded;
    const kept = badWanted && !allow ? [] : values;
    if (kept.length + notValues.length > 0) conditions.push({ attribute, key: '', values: kept, notValues });
  };
  add('source.namespace', wire.namespaces.map(decodeString), wire.notNamespaces.map(decodeString));
  add('source.principal', wire.principals.map(decodeString), wire.notPrincipals.map(decodeString));
  add('source.ip', wire.sourceIps.map(decodePrefix), wire.notSourceIps.map(decodePrefix));
  add('destination.ip', wire.destinationIps.map(decodePrefix), wire.notDestinationIps.map(decodePrefix));
  add('destination.port', wire.destinationPorts.map(decodePort), wire.notDestinationPorts.map(decodePort));
  add('source.serviceAccount', wire.serviceAccounts.map(decodeAccount), wire.notServiceAccounts.map(decodeAccount));
  if (never) return NEVER;
  return lost && !allow && conditions.length === 0 ? undefined : { conditions };
}

/** Undefined: a value that cannot be read. */
type Decoded = ValueMatcher | undefined;

const readable = (value: Decoded): readonly ValueMatcher[] => (value === undefined ? [] : [value]);

/** A match without conditions never holds at L4. */
const NEVER: Match = Object.freeze({ conditions: [] });

/** A clause of which one match always holds is no condition at all: it becomes one without matches. */
function decodeMatches(wire: readonly WireMatch[], allow: boolean): Match[] {
  const matches = wire.map((match) => decodeMatch(match, allow));
  const decoded = matches.filter((match) => match !== undefined);
  return decoded.length < matches.length ? [] : decoded;
}

function decodeString(wire: WireString): Decoded {
  const kind = wire.matchType;
  if (kind === undefined) return undefined;
  if (kind === 'presence') return { kind };
  return { kind, value: wire[kind] ?? '', ignoreCase: false };
}

function decodePrefix(wire: WirePrefix): Decoded {
  const ip = ipFromBytes(wire.address);
  const cidr = ip === undefined ? undefined : makeCidr(ip, wire.length);
  return cidr && { kind: 'cidr', cidr };
}

const decodePort = (port: number): ValueMatcher => ({ kind: 'port', port });

const decodeAccount = ({ namespace, serviceAccount }: WireServiceAccount): ValueMatcher => ({
  kind: 'serviceAccount',
  namespace,
  serviceAccount,
});

/** @throws MeshError CONFIG when the policy says what the L4 wire cannot: L7 attributes, TARGETED scope, AUDIT or CUSTOM. */
export function encodeAuthorization(policy: Policy): Uint8Array {
  if (policy.scope === 'TARGETED') cannot(policy, 'a policy with a target belongs to a waypoint');
  if (policy.action !== 'ALLOW' && policy.action !== 'DENY') cannot(policy, `action ${policy.action}`);
  return AUTHORIZATION.encode({
    name: policy.name,
    namespace: policy.namespace,
    scope: SCOPE.encode(policy.scope),
    action: ACTION.encode(policy.action),
    dryRun: policy.dryRun,
    rules: policy.rules.map(({ clauses }) => ({
      clauses: clauses.map(({ matches }) => ({ matches: matches.map((match) => encodeMatch(match, policy)) })),
    })),
  });
}

const cannot = (policy: Policy, what: string): never => {
  throw new MeshError('CONFIG', `policy ${policy.namespace}/${policy.name}: ${what}: not possible at L4`);
};

/** Where an attribute goes on the wire, and how one value of it is written (undefined: not at all). */
interface Slot {
  readonly values: keyof WireMatch;
  readonly notValues: keyof WireMatch;
  readonly encode: (value: ValueMatcher) => unknown;
}

const SLOTS: { readonly [A in Attribute]?: Slot } = {
  'source.namespace': { values: 'namespaces', notValues: 'notNamespaces', encode: encodeString },
  'source.principal': { values: 'principals', notValues: 'notPrincipals', encode: encodeString },
  'source.ip': { values: 'sourceIps', notValues: 'notSourceIps', encode: encodePrefix },
  'destination.ip': { values: 'destinationIps', notValues: 'notDestinationIps', encode: encodePrefix },
  'destination.port': {
    values: 'destinationPorts',
    notValues: 'notDestinationPorts',
    encode: (value) => (value.kind === 'port' ? value.port : undefined),
  },
  'source.serviceAccount': {
    values: 'serviceAccounts',
    notValues: 'notServiceAccounts',
    encode: (value) => (value.kind === 'serviceAccount' ? value : undefined),
  },
};

function encodeMatch(match: Match, policy: Policy): WireInput<WireMatch> {
  const fields: { -readonly [K in keyof WireMatch]?: readonly unknown[] } = {};
  for (const { attribute, values, notValues } of match.conditions) {
    const slot = SLOTS[attribute] ?? cannot(policy, attribute);
    if (fields[slot.values] !== undefined) cannot(policy, `two conditions on ${attribute} in one match`);
    const encode = (value: ValueMatcher): unknown =>
      slot.encode(value) ?? cannot(policy, `${value.kind} match for ${attribute}`);
    fields[slot.values] = values.map(encode);
    fields[slot.notValues] = notValues.map(encode);
  }
  return fields as WireInput<WireMatch>;
}

function encodePrefix(value: ValueMatcher): WireInput<WirePrefix> | undefined {
  return value.kind === 'cidr' ? { address: ipToBytes(value.cidr.ip), length: value.cidr.length } : undefined;
}

function encodeString(value: ValueMatcher): WireInput<WireString> | undefined {
  if (value.kind === 'presence') return { presence: {} };
  if (value.kind === 'exact' || value.kind === 'prefix' || value.kind === 'suffix') {
    return { [value.kind]: value.value };
  }
  return undefined;
}
