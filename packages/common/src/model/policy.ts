import type { Cidr } from '../address/cidr.ts';

/**
 * One authorization policy, the same form for L4 (from `istio.security.Authorization`) and L7 (from `ambit.l7.v1.Policy`).
 *
 *     Policy   rules      OR
 *     Rule     clauses    AND   (from, to and each `when` of an AuthorizationPolicy)
 *     Clause   matches    OR    (each source, each operation)
 *     Match    conditions AND   (each field)
 *     Condition values    OR, and none of notValues
 *
 * No rules: never matches. A rule without clauses, a clause without matches: always matches.
 * A match without conditions: never matches at L4 (Istio's ztunnel).
 */
export interface Policy {
  readonly name: string;
  readonly namespace: string;
  readonly scope: 'GLOBAL' | 'NAMESPACE' | 'WORKLOAD_SELECTOR' | 'TARGETED';
  readonly action: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
  readonly dryRun: boolean;
  readonly rules: readonly Rule[];
  /** For TARGETED policies: `namespace/hostname` of the services it is attached to; empty means every service of the waypoint. */
  readonly listeners: readonly string[];
}

export interface Rule {
  readonly clauses: readonly Clause[];
}

export interface Clause {
  /** The field of the AuthorizationPolicy it came from: said in explanations. */
  readonly origin: 'from' | 'to' | 'when' | 'any';
  readonly matches: readonly Match[];
}

export interface Match {
  readonly conditions: readonly Condition[];
}

/** What a condition looks at. The second group exists only in HTTP. */
export type Attribute =
  | 'source.principal'
  | 'source.namespace'
  | 'source.serviceAccount'
  | 'source.trustDomain'
  | 'source.ip'
  | 'remote.ip'
  | 'destination.ip'
  | 'destination.port'
  | 'connection.sni'
  | HttpAttribute;

export type HttpAttribute =
  | 'request.host'
  | 'request.method'
  | 'request.path'
  | 'request.header'
  | 'request.auth.principal'
  | 'request.auth.audiences'
  | 'request.auth.presenter'
  | 'request.auth.claims';

export const HTTP_ATTRIBUTES: ReadonlySet<Attribute> = new Set<HttpAttribute>([
  'request.host',
  'request.method',
  'request.path',
  'request.header',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'request.auth.claims',
]);

export interface Condition {
  readonly attribute: Attribute;
  /** Header name (lower case) for `request.header`, claim path (`a.b`, as ['a','b'] joined by U+0000) for `request.auth.claims`, else ''. */
  readonly key: string;
  readonly values: readonly ValueMatcher[];
  readonly notValues: readonly ValueMatcher[];
}

/** How one literal of a policy is compared. `text` is the literal as the user wrote it. */
export type ValueMatcher =
  | {
      readonly kind: 'exact' | 'prefix' | 'suffix' | 'glob' | 'template';
      readonly value: string;
      readonly ignoreCase: boolean;
    }
  | { readonly kind: 'presence' }
  | { readonly kind: 'cidr'; readonly cidr: Cidr }
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'serviceAccount'; readonly namespace: string; readonly serviceAccount: string };

/** `namespace/name`, as logs and `ambit why` print it. */
export const policyKey = (policy: Pick<Policy, 'namespace' | 'name'>): string => `${policy.namespace}/${policy.name}`;
