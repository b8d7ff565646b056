import { formatCidr } from '../address/cidr.ts';
import { isV6 } from '../address/ip.ts';
import { type Attribute, type Condition, HTTP_ATTRIBUTES, type ValueMatcher } from '../model/policy.ts';
import { type Facts, principalOf } from './match.ts';
import type { NearestAllow } from './verdict.ts';

/** Headers whose values are credentials or likely to be: what was sent and what was wanted stay out of logs. */
const SECRET_HEADER = /auth|cookie|token|secret|key|password|session|credential|signature/;
const HIDDEN = '(hidden)';

/** What a failed condition asked for, as the user wrote it, and what there was; credentials hidden, length bounded. */
export function wantedAndActual(condition: Condition, facts: Facts): Pick<NearestAllow, 'wanted' | 'actual'> {
  const secret = condition.attribute === 'request.header' && SECRET_HEADER.test(condition.key);
  const show = (value: ValueMatcher): string => (secret && value.kind !== 'presence' ? HIDDEN : literalOf(value));
  const wanted = [...condition.values.map(show), ...condition.notValues.map((value) => `not ${show(value)}`)];
  const actual = actualValue(condition, facts);
  return { wanted, actual: secret && actual !== NOTHING ? HIDDEN : actual };
}

/** The literal as the user wrote it. */
function literalOf(value: ValueMatcher): string {
  switch (value.kind) {
    case 'prefix':
      return `${value.value}*`;
    case 'suffix':
      return `*${value.value}`;
    case 'presence':
      return '*';
    case 'cidr':
      return value.cidr.length === (isV6(value.cidr.ip) ? 128 : 32) ? value.cidr.ip : formatCidr(value.cidr);
    case 'port':
      return String(value.port);
    case 'serviceAccount':
      return `${value.namespace}/${value.serviceAccount}`;
    case 'exact':
    case 'glob':
    case 'template':
      return value.value;
  }
  return '';
}

/** Said of an attribute that is missing. */
const NOTHING = '(none)';
const PLAINTEXT = '(no identity: the connection was not mutual TLS)';
const OPAQUE = '(not HTTP: this port is handled as opaque TCP)';
const NO_TOKEN = '(no valid token)';
/** A path or header may be many kilobytes. */
const MAX_ACTUAL = 200;

type ActualOf = (facts: Facts, key: string) => string | undefined;

const identityText = (text: (id: NonNullable<Facts['attributes']['identity']>) => string): ActualOf => {
  return ({ attributes: { identity } }) => (identity === undefined ? PLAINTEXT : text(identity));
};

const tokenText = (text: (jwt: NonNullable<NonNullable<Facts['http']>['jwt']>, key: string) => string): ActualOf => {
  return ({ http }, key) => (http?.jwt === undefined ? NO_TOKEN : text(http.jwt, key));
};

const ACTUAL: Readonly<Record<Attribute, ActualOf>> = {
  'source.principal': identityText((id) => principalOf(id.uri)),
  'source.namespace': identityText((id) => id.namespace),
  'source.serviceAccount': identityText((id) => `${id.namespace}/${id.serviceAccount}`),
  'source.trustDomain': identityText((id) => id.trustDomain),
  'source.ip': ({ attributes }) => attributes.sourceIp,
  'remote.ip': ({ attributes }) => attributes.remoteIp,
  'destination.ip': ({ attributes }) => attributes.destinationIp,
  'destination.port': ({ attributes }) => String(attributes.destinationPort),
  'connection.sni': ({ attributes }) => attributes.sni,
  'request.host': ({ http }) => http?.host,
  'request.method': ({ http }) => http?.method,
  'request.path': ({ http }) => http?.path,
  'request.header': ({ http }, key) => http?.header(key).join(', '),
  'request.auth.principal': tokenText((jwt) => jwt.principal),
  'request.auth.audiences': tokenText((jwt) => jwt.audiences.join(', ')),
  'request.auth.presenter': tokenText((jwt) => jwt.presenter),
  'request.auth.claims': tokenText((jwt, key) => jwt.claim(key.split('\0')).join(', ')),
};

function actualValue(condition: Condition, facts: Facts): string {
  if (facts.http === undefined && HTTP_ATTRIBUTES.has(condition.attribute)) return OPAQUE;
  const actual = ACTUAL[condition.attribute](facts, condition.key) ?? '';
  if (actual === '') return NOTHING;
  return actual.length > MAX_ACTUAL ? `${actual.slice(0, MAX_ACTUAL)}…` : actual;
}
