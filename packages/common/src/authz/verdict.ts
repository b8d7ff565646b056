import type { IpAddress } from '../address/ip.ts';
import type { SpiffeId } from '../identity/spiffe.ts';
import type { Attribute } from '../model/policy.ts';

/** What policies can look at. HTTP fields are undefined on an opaque connection. */
export interface AuthzAttributes {
  readonly identity: SpiffeId | undefined;
  readonly sourceIp: IpAddress;
  /** After X-Forwarded-For or PROXY processing; the direct peer where there is none. */
  readonly remoteIp: IpAddress;
  readonly destinationIp: IpAddress;
  readonly destinationPort: number;
  readonly sni: string | undefined;
  readonly http: HttpAttributes | undefined;
}

export interface HttpAttributes {
  readonly host: string;
  readonly method: string;
  /** Normalised, without query and fragment. */
  readonly path: string;
  /** All values of a header (lower-case name), in order; empty when absent. */
  header(name: string): readonly string[];
  readonly jwt: JwtAttributes | undefined;
}

/** A verified token. */
export interface JwtAttributes {
  /** `iss/sub`. */
  readonly principal: string;
  readonly audiences: readonly string[];
  readonly presenter: string;
  claim(path: readonly string[]): readonly string[];
}

/** The rule that decided: index as in the AuthorizationPolicy. */
export interface DecidingRule {
  /** `namespace/name`. */
  readonly policy: string;
  readonly rule: number;
}

/** The outcome of authorization, and why. Log line, metric and `ambit why` read this one value. */
export interface Verdict {
  readonly allowed: boolean;
  readonly reason: 'no-allow-policies' | 'allow-matched' | 'deny-matched' | 'none-allowed';
  /** Set for allow-matched and deny-matched. */
  readonly decidedBy: DecidingRule | undefined;
  /** Dry-run and AUDIT policies that matched: recorded, not enforced. */
  readonly shadow: readonly (DecidingRule & { readonly action: 'ALLOW' | 'DENY' | 'AUDIT' })[];
  /** Filled on a denial: every policy in the order considered, and the nearest allow. */
  readonly explanation: Explanation | undefined;
}

export interface Explanation {
  readonly considered: readonly {
    readonly policy: string;
    readonly action: string;
    readonly outcome: 'matched' | 'no match' | 'dry run';
  }[];
  /** For none-allowed: the ALLOW rule with the fewest failing conditions, and the first that failed. */
  readonly nearest: NearestAllow | undefined;
}

export interface NearestAllow extends DecidingRule {
  readonly attribute: Attribute;
  /** Header or claim name where the attribute has one. */
  readonly key: string;
  /** As the user wrote them. */
  readonly wanted: readonly string[];
  readonly actual: string;
}
