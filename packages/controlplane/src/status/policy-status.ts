import type { L4Outcome } from '../derive/policies.ts';
import type { TargetResult } from '../derive/policy-targets.ts';
import type { AuthorizationPolicyForm } from '../ingest/authorization-policy.ts';
import type { TargetRef } from '../files/schema/authorization-policy.ts';
import type { Condition } from './conditions.ts';

export const ZTUNNEL_ACCEPTED = 'ZtunnelAccepted';
export const WAYPOINT_ACCEPTED = 'WaypointAccepted';

/** What the node agents make of a policy without targets. */
export function ztunnelCondition(form: AuthorizationPolicyForm, { sent, rules }: L4Outcome): Condition {
  const base = { type: ZTUNNEL_ACCEPTED, ...generation(form) };
  if (!sent) {
    const what = form.dryRun ? 'dry run' : `action ${form.action}`;
    return { ...base, status: 'False', reason: 'UnsupportedValue', message: `ztunnel does not support ${what}` };
  }
  if (rules.unsupported.length === 0)
    return { ...base, status: 'True', reason: 'Accepted', message: 'attached to ztunnel' };
  const fields = rules.unsupported.join(', ');
  return {
    ...base,
    status: 'True',
    reason: 'UnsupportedValue',
    message: `ztunnel does not support HTTP attributes (found: ${fields}). ${effect(form, rules.enforceable)} Bind the policy to a waypoint with targetRefs to enforce all of it.`,
  };
}

/** What becomes of the policy without those attributes. */
function effect(form: AuthorizationPolicyForm, enforceable: boolean): string {
  if (form.action === 'ALLOW') return 'In an ALLOW policy, rules with HTTP attributes are omitted: they never allow.';
  if (enforceable) return 'This DENY policy is enforced without its HTTP attributes, so it may deny more than it says.';
  return 'This DENY policy has nothing left that ztunnel can enforce: it denies nothing.';
}

/** Where a policy with targets is in force; nothing for one without. */
export function waypointCondition(
  form: AuthorizationPolicyForm,
  results: readonly TargetResult[],
): Condition | undefined {
  const [first] = results;
  if (first === undefined) return undefined;
  const base = { type: WAYPOINT_ACCEPTED, ...generation(form) };
  if (results.length === 1)
    return {
      ...base,
      status: first.reason === 'Accepted' ? 'True' : 'False',
      reason: first.reason,
      message: first.message,
    };
  const failed = results.filter((one) => one.reason !== 'Accepted');
  if (failed.length === 0) return { ...base, status: 'True', reason: 'Accepted', message: '' };
  const message = `not bound: ${failed.map(({ ref }) => targetName(ref, form.namespace)).join(', ')}`;
  if (failed.length === results.length) return { ...base, status: 'False', reason: 'Invalid', message };
  return { ...base, status: 'True', reason: 'PartiallyInvalid', message };
}

/** `<Kind>.<group or core>:<namespace>/<name>`. */
const targetName = ({ kind, group, name, namespace }: TargetRef, own: string): string =>
  `${kind}.${group === undefined || group === '' ? 'core' : group}:${namespace ?? own}/${name}`;

function generation({ object }: AuthorizationPolicyForm): { readonly observedGeneration?: number } {
  const { generation } = object.metadata;
  return generation === undefined ? {} : { observedGeneration: generation };
}
