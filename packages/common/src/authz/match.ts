import { cidrContains } from '../address/cidr.ts';
import { type IpAddress, ipToBytes } from '../address/ip.ts';
import type { Attribute, Condition, ValueMatcher } from '../model/policy.ts';
import { parsePathTemplate, type PathTemplate } from './template.ts';
import type { AuthzAttributes, HttpAttributes, JwtAttributes } from './verdict.ts';

/** What is asked of the policies, with addresses as bytes, made at most once per evaluation. */
export class Facts {
  readonly attributes: AuthzAttributes;
  readonly http: HttpAttributes | undefined;
  #sourceIp: Uint8Array | undefined;
  #remoteIp: Uint8Array | undefined;
  #destinationIp: Uint8Array | undefined;

  constructor(attributes: AuthzAttributes) {
    this.attributes = attributes;
    this.http = attributes.http;
    this.#sourceIp = undefined;
    this.#remoteIp = undefined;
    this.#destinationIp = undefined;
  }

  sourceIp(): Uint8Array {
    return (this.#sourceIp ??= ipToBytes(this.attributes.sourceIp));
  }

  remoteIp(): Uint8Array {
    const { sourceIp, remoteIp } = this.attributes;
    return (this.#remoteIp ??= remoteIp === sourceIp ? this.sourceIp() : ipToBytes(remoteIp));
  }

  destinationIp(): Uint8Array {
    return (this.#destinationIp ??= ipToBytes(this.attributes.destinationIp));
  }
}

type Values = readonly ValueMatcher[];
type AnyOf = (values: Values, facts: Facts, key: string) => boolean;

/** True when the attribute has one of `values` (or none are given) and none of `notValues`. */
export function conditionHolds(condition: Condition, facts: Facts): boolean {
  const anyOf = ANY_OF[condition.attribute];
  if (condition.values.length > 0 && !anyOf(condition.values, facts, condition.key)) return false;
  return condition.notValues.length === 0 || !anyOf(condition.notValues, facts, condition.key);
}

/** The URI without its scheme: policies name principals so. */
export const principalOf = (uri: string): string => uri.slice('spiffe://'.length);

/** An attribute that is missing matches no value; so its `notValues` hold. */
const ANY_OF: Readonly<Record<Attribute, AnyOf>> = {
  'source.principal': (values, { attributes: { identity } }) =>
    identity !== undefined && anyText(values, principalOf(identity.uri)),
  // Istio's ztunnel compares with '' when there is no identity, so an exact '' matches plaintext.
  'source.namespace': (values, { attributes: { identity } }) => anyText(values, identity?.namespace ?? ''),
  'source.serviceAccount': (values, { attributes: { identity } }) =>
    identity !== undefined && anyServiceAccount(values, identity.namespace, identity.serviceAccount),
  'source.trustDomain': (values, { attributes: { identity } }) =>
    identity !== undefined && anyText(values, identity.trustDomain),
  'source.ip': (values, facts) => anyAddress(values, facts.sourceIp(), facts.attributes.sourceIp),
  'remote.ip': (values, facts) => anyAddress(values, facts.remoteIp(), facts.attributes.remoteIp),
  'destination.ip': (values, facts) => anyAddress(values, facts.destinationIp(), facts.attributes.destinationIp),
  'destination.port': (values, { attributes }) => anyPort(values, attributes.destinationPort),
  'connection.sni': (values, { attributes: { sni } }) => sni !== undefined && anyText(values, sni),
  'request.host': (values, { http }) => http !== undefined && anyHost(values, http.host),
  'request.method': (values, { http }) => http !== undefined && anyText(values, http.method),
  'request.path': (values, { http }) => http !== undefined && anyText(values, http.path),
  'request.header': (values, { http }, key) => http !== undefined && anyHeader(values, http.header(key)),
  'request.auth.principal': (values, { http }) => http?.jwt !== undefined && anyRequestPrincipal(values, http.jwt),
  'request.auth.audiences': (values, { http }) => http?.jwt !== undefined && anyElement(values, http.jwt.audiences),
  'request.auth.presenter': (values, { http }) => http?.jwt !== undefined && anyText(values, http.jwt.presenter),
  'request.auth.claims': (values, { http }, key) =>
    http?.jwt !== undefined && anyElement(values, http.jwt.claim(key.split('\0'))),
};

function anyText(values: Values, actual: string): boolean {
  for (const value of values) if (textMatches(value, actual)) return true;
  return false;
}

function anyElement(values: Values, actual: readonly string[]): boolean {
  for (const element of actual) if (anyText(values, element)) return true;
  return false;
}

/** A repeated header is tested line by line; an empty value counts as present. */
function anyHeader(values: Values, actual: readonly string[]): boolean {
  if (actual.length === 0) return false;
  for (const value of values) if (value.kind === 'presence') return true;
  return anyElement(values, actual);
}

/** RFC 9110 §4.2.3: host names ignore case, whatever the policy says. */
function anyHost(values: Values, actual: string): boolean {
  const host = actual.toLowerCase();
  for (const value of values) {
    if (
      value.kind === 'presence'
        ? host !== ''
        : 'value' in value && stringMatches(value, value.value.toLowerCase(), host)
    )
      return true;
  }
  return false;
}

type StringMatcher = Extract<ValueMatcher, { readonly value: string }>;

function textMatches(value: ValueMatcher, actual: string): boolean {
  if (value.kind === 'presence') return actual !== '';
  if (!('value' in value)) return false;
  if (value.kind === 'template') return templateOf(value)?.matches(actual) ?? false;
  return value.ignoreCase
    ? stringMatches(value, value.value.toLowerCase(), actual.toLowerCase())
    : stringMatches(value, value.value, actual);
}

function stringMatches(matcher: StringMatcher, wanted: string, actual: string): boolean {
  switch (matcher.kind) {
    case 'exact':
      return actual === wanted;
    case 'prefix':
      return actual.startsWith(wanted);
    case 'suffix':
      return actual.endsWith(wanted);
    case 'glob':
      return actual !== '' && globMatches(wanted, actual);
    case 'template':
      return false;
  }
  return false;
}

/** `*` is any characters, anywhere and any number of times; linear without backtracking over earlier stars. */
function globMatches(glob: string, actual: string): boolean {
  const parts = glob.split('*');
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (parts.length === 1) return glob === actual;
  if (actual.length < first.length + last.length || !actual.startsWith(first) || !actual.endsWith(last)) return false;
  const end = actual.length - last.length;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = actual.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/** Policies are frozen and replaced whole, so a template is parsed once per value; one that cannot be parsed matches nothing (the control plane refuses it). */
const templates = new WeakMap<ValueMatcher, { readonly template: PathTemplate | undefined }>();

function templateOf(value: StringMatcher): PathTemplate | undefined {
  let entry = templates.get(value);
  if (entry === undefined) templates.set(value, (entry = { template: parsePathTemplate(value.value) }));
  return entry.template;
}

function anyServiceAccount(values: Values, namespace: string, serviceAccount: string): boolean {
  for (const value of values) {
    const hit =
      value.kind === 'serviceAccount'
        ? value.namespace === namespace && value.serviceAccount === serviceAccount
        : textMatches(value, `${namespace}/${serviceAccount}`);
    if (hit) return true;
  }
  return false;
}

function anyAddress(values: Values, bytes: Uint8Array, ip: IpAddress): boolean {
  for (const value of values) {
    if (value.kind === 'cidr' ? cidrContains(value.cidr, bytes) : textMatches(value, ip)) return true;
  }
  return false;
}

function anyPort(values: Values, port: number): boolean {
  for (const value of values) {
    if (value.kind === 'port' ? value.port === port : textMatches(value, String(port))) return true;
  }
  return false;
}

/** `<issuer>/<subject>`, where a literal is split at its last slash: an issuer is a URL and has slashes of its own. */
function anyRequestPrincipal(values: Values, jwt: JwtAttributes): boolean {
  const slash = jwt.principal.lastIndexOf('/');
  const issuer = jwt.claim(['iss'])[0] ?? jwt.principal.slice(0, Math.max(slash, 0));
  const subject = jwt.claim(['sub'])[0] ?? jwt.principal.slice(slash + 1);
  if (issuer === '' || subject === '') return false;
  for (const value of values) if (requestPrincipalMatches(value, issuer, subject)) return true;
  return false;
}

function requestPrincipalMatches(value: ValueMatcher, issuer: string, subject: string): boolean {
  if (value.kind === 'presence') return true;
  if (value.kind !== 'exact' && value.kind !== 'prefix' && value.kind !== 'suffix') return false;
  const slash = value.value.lastIndexOf('/');
  if (slash < 0) return oneSideMatches(value.kind, value.value, issuer, subject);
  const before = value.value.slice(0, slash);
  const after = value.value.slice(slash + 1);
  const issuerFits = value.kind === 'suffix' ? issuer.endsWith(before) : issuer === before;
  return issuerFits && (value.kind === 'prefix' ? subject.startsWith(after) : subject === after);
}

/** Without a slash `x*` speaks of the issuer and `*x` of the subject; an exact value says neither and never matches. */
function oneSideMatches(kind: 'exact' | 'prefix' | 'suffix', text: string, issuer: string, subject: string): boolean {
  if (kind === 'prefix') return issuer.startsWith(text);
  return kind === 'suffix' && subject.endsWith(text);
}
