import { parseCidr } from '@ambit/common/address/cidr';
import { checkMatchLabels, type Metadata } from './metadata.ts';
import { pathTemplateProblem } from './path-template.ts';
import {
  choice,
  isSet,
  list,
  map,
  notRun,
  object,
  type Path,
  refuse,
  type Report,
  type Schema,
  text,
  warn,
  warnNotRun,
} from './schema.ts';

type Values = readonly string[];

export interface Source {
  readonly principals?: Values;
  readonly notPrincipals?: Values;
  readonly requestPrincipals?: Values;
  readonly notRequestPrincipals?: Values;
  readonly namespaces?: Values;
  readonly notNamespaces?: Values;
  readonly serviceAccounts?: Values;
  readonly notServiceAccounts?: Values;
  readonly trustDomains?: Values;
  readonly notTrustDomains?: Values;
  readonly ipBlocks?: Values;
  readonly notIpBlocks?: Values;
  readonly remoteIpBlocks?: Values;
  readonly notRemoteIpBlocks?: Values;
}

export interface Operation {
  readonly hosts?: Values;
  readonly notHosts?: Values;
  readonly ports?: Values;
  readonly notPorts?: Values;
  readonly methods?: Values;
  readonly notMethods?: Values;
  readonly paths?: Values;
  readonly notPaths?: Values;
}

export interface When {
  readonly key: string;
  readonly values?: Values;
  readonly notValues?: Values;
}

export interface AuthorizationRule {
  readonly from?: readonly { readonly source?: Source }[];
  readonly to?: readonly { readonly operation?: Operation }[];
  readonly when?: readonly When[];
}

export interface TargetRef {
  readonly group?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

export interface AuthorizationPolicySpec {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly targetRef?: TargetRef;
  readonly targetRefs?: readonly TargetRef[];
  readonly action?: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
  readonly provider?: { readonly name?: string };
  readonly rules?: readonly AuthorizationRule[];
}

const values = list(text, { max: 4096 });

const source: Schema<Source> = object<Source>(
  {
    principals: values,
    notPrincipals: values,
    requestPrincipals: values,
    notRequestPrincipals: values,
    namespaces: values,
    notNamespaces: values,
    serviceAccounts: list(text, { max: 16 }),
    notServiceAccounts: list(text, { max: 16 }),
    trustDomains: values,
    notTrustDomains: values,
    ipBlocks: values,
    notIpBlocks: values,
    remoteIpBlocks: values,
    notRemoteIpBlocks: values,
  },
  { rules: checkSource },
);

const operation: Schema<Operation> = object<Operation>(
  {
    hosts: values,
    notHosts: values,
    ports: values,
    notPorts: values,
    methods: values,
    notMethods: values,
    paths: values,
    notPaths: values,
  },
  { rules: checkOperation },
);

const targetRef: Schema<TargetRef> = object<TargetRef>(
  { group: text, kind: text, name: text, namespace: text },
  { required: ['kind', 'name'], rules: checkTargetRef },
);

const rule: Schema<AuthorizationRule> = object<AuthorizationRule>(
  {
    from: list(object<{ source?: Source }>({ source }, { rules: needs('source') }), { max: 512 }),
    to: list(object<{ operation?: Operation }>({ operation }, { rules: needs('operation') })),
    when: list(object<When>({ key: text, values, notValues: values }, { required: ['key'], rules: checkWhen })),
  },
  {
    rules: (value, path, report) => {
      for (const field of ['from', 'to'] as const)
        if (value[field]?.length === 0)
          refuse(report, [...path, field], `${field} is empty: leave it out to match everything`, 'key');
    },
  },
);

export const authorizationPolicySpec: Schema<AuthorizationPolicySpec> = object<AuthorizationPolicySpec>({
  selector: object<NonNullable<AuthorizationPolicySpec['selector']>>({ matchLabels: map(text) }),
  targetRef,
  targetRefs: list(targetRef, { max: 16 }),
  action: choice('ALLOW', 'DENY', 'AUDIT', 'CUSTOM'),
  provider: notRun(
    object<{ name?: string }>({ name: text }),
    'nobody is asked: a waypoint denies what the rules match',
  ),
  rules: list(rule, { max: 512 }),
});

function needs(field: 'source' | 'operation') {
  return (value: { source?: Source; operation?: Operation }, path: Path, report: Report): void => {
    const inner = value[field];
    if (inner === undefined || Object.keys(inner).length === 0)
      refuse(report, path, `${field} is empty: expected at least one of its fields`);
  };
}

function checkSource(value: Source, path: Path, report: Report): void {
  for (const field of ['requestPrincipals', 'notRequestPrincipals'] as const)
    if (value[field] !== undefined) warn(report, [...path, field], NO_TOKENS, 'key');
  checkValues(Object.entries(value), path, report);
  for (const field of ['ipBlocks', 'notIpBlocks', 'remoteIpBlocks', 'notRemoteIpBlocks'] as const)
    checkCidrs(value[field], [...path, field], report);
  for (const field of ['serviceAccounts', 'notServiceAccounts'] as const)
    checkAccounts(value[field], [...path, field], report);
  const accounts = [value.serviceAccounts, value.notServiceAccounts].some((one) => one !== undefined);
  const others = [value.namespaces, value.notNamespaces, value.principals, value.notPrincipals];
  if (accounts && others.some((one) => one !== undefined))
    refuse(report, path, 'serviceAccounts stand alone: expected no namespaces or principals beside them');
}

function checkAccounts(accounts: Values | undefined, path: Path, report: Report): void {
  for (const [i, one] of (accounts ?? []).entries())
    if (one.includes('*') || one.split('/').length > 2)
      refuse(
        report,
        [...path, i],
        `expected <service account> or <namespace>/<service account> without wildcards, found ${one}`,
      );
}

function checkOperation(value: Operation, path: Path, report: Report): void {
  checkValues(Object.entries(value), path, report);
  for (const field of ['ports', 'notPorts'] as const) checkPorts(value[field], [...path, field], report);
  for (const field of ['paths', 'notPaths'] as const)
    for (const [i, one] of (value[field] ?? []).entries()) {
      const problem = pathTemplateProblem(one);
      if (problem !== undefined) refuse(report, [...path, field, i], problem);
    }
}

/** A field that is there must say something: an empty list or an empty value matches nothing and is a mistake. */
function checkValues(fields: readonly (readonly [string, Values])[], path: Path, report: Report): void {
  for (const [field, list] of fields) {
    if (list.length === 0) refuse(report, [...path, field], `${field} is empty: expected at least one value`, 'key');
    for (const [i, one] of list.entries())
      if (one === '') refuse(report, [...path, field, i], `expected a value in ${field}, found empty text`);
  }
}

function checkCidrs(blocks: Values | undefined, path: Path, report: Report): void {
  for (const [i, block] of (blocks ?? []).entries())
    if (parseCidr(block) === undefined)
      refuse(report, [...path, i], `expected an IP address or CIDR, found ${JSON.stringify(block)}`);
}

function checkPorts(ports: Values | undefined, path: Path, report: Report): void {
  for (const [i, port] of (ports ?? []).entries())
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
      refuse(report, [...path, i], `expected a port from 0 to 65535, found ${JSON.stringify(port)}`);
}

/** Tokens are read by nobody yet, so no request has what they would say. */
const NO_TOKENS = 'tokens of requests are not validated here: no request has a value, so only negative conditions hold';

const WHEN_KEYS: ReadonlySet<string> = new Set([
  'source.ip',
  'remote.ip',
  'source.namespace',
  'source.principal',
  'source.serviceAccount',
  'source.trustDomain',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'destination.ip',
  'destination.port',
  'connection.sni',
]);

/** `request.headers[name]`, `request.auth.claims[a][b]` and Envoy's experimental keys. */
const BRACKETED =
  /^(request\.headers\[[^[\]]+\]|request\.auth\.claims(\[[^[\]]+\])+|experimental\.envoy\.filters\..+)$/;

function checkWhen(value: When, path: Path, report: Report): void {
  if (value.key === '') return void refuse(report, [...path, 'key'], 'key is empty: expected the attribute to look at');
  if (!WHEN_KEYS.has(value.key) && !BRACKETED.test(value.key)) {
    refuse(
      report,
      [...path, 'key'],
      `unknown key ${value.key}; expected one of ${[...WHEN_KEYS].join(', ')}, request.headers[name], request.auth.claims[name]`,
    );
    return;
  }
  if (value.key.startsWith('request.auth.')) warn(report, [...path, 'key'], NO_TOKENS);
  if (value.key.startsWith('experimental.'))
    warnNotRun([...path, 'key'], 'an ALLOW rule with it never allows, any other rule goes without it', report);
  const all = [value.values, value.notValues];
  if (all.every((list) => (list ?? []).length === 0))
    refuse(report, path, 'values are missing: expected values or notValues');
  for (const [i, field] of (['values', 'notValues'] as const).entries()) {
    const at = [...path, field];
    if (value.key.endsWith('.ip')) checkCidrs(all[i], at, report);
    if (value.key === 'destination.port') checkPorts(all[i], at, report);
  }
}

const TARGETS: Readonly<Record<string, string>> = {
  Gateway: 'gateway.networking.k8s.io',
  GatewayClass: 'gateway.networking.k8s.io',
  Service: '',
  ServiceEntry: 'networking.istio.io',
};

function checkTargetRef(ref: TargetRef, path: Path, report: Report): void {
  const group = TARGETS[ref.kind];
  if (group === undefined)
    refuse(report, [...path, 'kind'], `expected one of ${Object.keys(TARGETS).join(', ')}, found ${ref.kind}`);
  else if ((ref.group === 'core' ? '' : (ref.group ?? '')) !== group)
    refuse(
      report,
      [...path, 'group'],
      `a ${ref.kind} is of group ${JSON.stringify(group)}, found ${JSON.stringify(ref.group ?? '')}`,
    );
  if (ref.name === '') refuse(report, [...path, 'name'], `name is empty: expected the name of the ${ref.kind}`);
  if ((ref.namespace ?? '') !== '')
    refuse(report, [...path, 'namespace'], 'a policy targets objects of its own namespace: expected no namespace here');
}

/** Istio's checks of an AuthorizationPolicy across its fields. */
export function checkAuthorizationPolicy(spec: AuthorizationPolicySpec, metadata: Metadata, report: Report): void {
  checkScope(spec, report);
  checkAction(spec, metadata, report);
  if (spec.action === 'CUSTOM') checkCustom(spec, report);
  if (spec.action === 'DENY') warnHttpOnly(spec, report);
}

function checkScope(spec: AuthorizationPolicySpec, report: Report): void {
  const targeted = spec.targetRef !== undefined || (spec.targetRefs ?? []).length > 0;
  if (spec.selector !== undefined && targeted)
    refuse(report, ['spec', 'selector'], 'expected either selector or targetRefs, found both', 'key');
  if (spec.targetRef !== undefined && spec.targetRefs !== undefined)
    refuse(report, ['spec', 'targetRef'], 'expected either targetRef or targetRefs, found both', 'key');
  checkMatchLabels(spec.selector?.matchLabels, ['spec', 'selector', 'matchLabels'], report);
  if (spec.selector !== undefined && Object.keys(spec.selector.matchLabels ?? {}).length === 0)
    warn(report, ['spec', 'selector'], 'selector has no labels: the policy applies to the whole namespace', 'key');
}

function checkAction(spec: AuthorizationPolicySpec, metadata: Metadata, report: Report): void {
  const { action = 'ALLOW', provider, rules = [] } = spec;
  const at = ['spec', 'action'];
  if (action !== 'CUSTOM' && provider !== undefined)
    refuse(report, ['spec', 'provider'], `provider belongs to action CUSTOM, found action ${action}`, 'key');
  if (action !== 'ALLOW' && action !== 'AUDIT' && rules.length === 0)
    refuse(report, at, `a ${action} policy without rules never matches: expected at least one rule`);
  if (metadata.annotations?.[DRY_RUN] === 'true' && DRY_RUN_ACTIONS.every((one) => one !== action))
    refuse(report, ['metadata', 'annotations', DRY_RUN], `dry run is for ALLOW and DENY, found action ${action}`);
}

const DRY_RUN = 'istio.io/dry-run';
const DRY_RUN_ACTIONS = ['ALLOW', 'DENY'];

const IDENTITY_FIELDS: ReadonlySet<string> = new Set([
  'principals',
  'notPrincipals',
  'requestPrincipals',
  'notRequestPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'trustDomains',
  'notTrustDomains',
]);
const IDENTITY_KEY = /^(source\.(namespace|principal|serviceAccount|trustDomain)|request\.auth\..+)$/;

/** CUSTOM asks a provider, and before identities are established. */
function checkCustom(spec: AuthorizationPolicySpec, report: Report): void {
  if (!isSet(spec.provider?.name))
    refuse(
      report,
      ['spec', 'action'],
      'provider.name is missing: action CUSTOM expects the name of an extension provider',
    );
  for (const [i, { from = [], when = [] }] of (spec.rules ?? []).entries()) {
    const at = ['spec', 'rules', i];
    for (const [j, { source = {} }] of from.entries())
      for (const field of Object.keys(source).filter((one) => IDENTITY_FIELDS.has(one)))
        refuse(report, [...at, 'from', j, 'source', field], beforeIdentity(field), 'key');
    for (const [j, { key }] of when.entries())
      if (IDENTITY_KEY.test(key)) refuse(report, [...at, 'when', j, 'key'], beforeIdentity(key));
  }
}

const beforeIdentity = (what: string): string => `action CUSTOM cannot look at ${what}: it runs before authentication`;

const HTTP_FIELDS = /^(not)?(hosts|methods|paths|requestPrincipals)$/i;
const HTTP_KEY = /^request\./;

/** Without HTTP such a rule has nothing left to compare, so it denies every TCP connection in its scope. */
function warnHttpOnly(spec: AuthorizationPolicySpec, report: Report): void {
  for (const [i, rule] of (spec.rules ?? []).entries()) {
    const fields = [
      ...(rule.from ?? []).flatMap((one) => Object.keys(one.source ?? {})),
      ...(rule.to ?? []).flatMap((one) => Object.keys(one.operation ?? {})),
    ];
    const keys = (rule.when ?? []).map((one) => one.key);
    if (fields.length + keys.length === 0) continue;
    if (fields.every((field) => HTTP_FIELDS.test(field)) && keys.every((key) => HTTP_KEY.test(key)))
      warn(
        report,
        ['spec', 'rules', i],
        'this DENY rule has HTTP fields only: at TCP ports it denies every connection',
      );
  }
}
