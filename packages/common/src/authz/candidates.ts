import type { Policy } from '../model/policy.ts';
import type { Facts } from './match.ts';
import { mayMatch } from './rules.ts';

/** The policies of one set that can matter to one source identity, by what a match does. */
export interface Candidates {
  /** AUDIT and dry-run: recorded, not enforced. */
  readonly record: readonly Policy[];
  /** CUSTOM, then DENY. */
  readonly deny: readonly Policy[];
  readonly allow: readonly Policy[];
  /** An enforced ALLOW policy applies, whether or not this identity can match it. */
  readonly allowExists: boolean;
}

/** Callers of one workload are few; beyond this the index starts over. */
const MAX_IDENTITIES = 4096;

/**
 * policies array → identity → candidates. A caller is one identity for thousands of requests, so what its identity rules
 * out is found once: of 1,000 policies for 1,000 callers each request reads the few about its own.
 */
const index = new WeakMap<readonly Policy[], Map<string, Candidates>>();

/** The policies worth evaluating for this caller. The array and its policies must never change. */
export function candidatesFor(policies: readonly Policy[], facts: Facts): Candidates {
  let byIdentity = index.get(policies);
  if (byIdentity === undefined) index.set(policies, (byIdentity = new Map()));
  const key = facts.attributes.identity?.uri ?? '';
  let candidates = byIdentity.get(key);
  if (candidates === undefined) {
    if (byIdentity.size >= MAX_IDENTITIES) byIdentity.clear();
    byIdentity.set(key, (candidates = select(policies, facts)));
  }
  return candidates;
}

function select(policies: readonly Policy[], facts: Facts): Candidates {
  const enforced = policies.filter((policy) => !isRecordedOnly(policy));
  const among = (list: readonly Policy[], action: Policy['action']): Policy[] =>
    list.filter((policy) => policy.action === action && mayMatch(policy, facts));
  return {
    record: policies.filter((policy) => isRecordedOnly(policy) && mayMatch(policy, facts)),
    deny: [...among(enforced, 'CUSTOM'), ...among(enforced, 'DENY')],
    allow: among(enforced, 'ALLOW'),
    allowExists: enforced.some((policy) => policy.action === 'ALLOW'),
  };
}

/** A dry-run CUSTOM policy asks nobody and has no effect. */
export const isRecordedOnly = (policy: Policy): boolean => policy.dryRun || policy.action === 'AUDIT';
