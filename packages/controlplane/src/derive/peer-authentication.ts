import type { Clause, Condition, Policy } from '@ambit/common/model/policy';
import { type Labels, selects } from '../ingest/labels.ts';
import type { PeerAuthenticationForm } from '../ingest/peer-authentication.ts';
import type { Inputs } from './inputs.ts';

/** Denies every connection without an identity; attached by name to workloads whose mode is STRICT. */
export const STRICT_POLICY = 'istio_converted_static_strict';

export interface PeerAuthenticationPolicies {
  readonly policies: readonly Policy[];
  /** `namespace/name` of the policies that hold for a workload. */
  readonly policiesFor: (namespace: string, labels: Labels) => readonly string[];
}

type Mode = 'STRICT' | 'PERMISSIVE';

/**
 * PeerAuthentication as L4 policies. The mode of a workload comes from the mesh, its namespace and itself, the nearest
 * that says something, each the oldest of its level; ports then differ by a policy of their own.
 */
export function derivePeerAuthentication(inputs: Inputs): PeerAuthenticationPolicies {
  const root = inputs.mesh.rootNamespace;
  const all = inputs.peerAuthentications;
  const wide = (namespace: string): PeerAuthenticationForm | undefined =>
    all.find((one) => one.namespace === namespace && isNamespaceWide(one));
  const modeOf = (namespace: string): Mode => {
    const mesh = strictness(wide(root)?.mode, 'PERMISSIVE');
    return namespace === root ? mesh : strictness(wide(namespace)?.mode, mesh);
  };
  const workloadLevel = all.filter((one) => one.namespace !== root && !isNamespaceWide(one));
  const byForm = new Map(workloadLevel.map((form) => [form, convert(form, modeOf(form.namespace))]));
  return {
    policies: all.length === 0 ? [] : [strictPolicy(root), ...[...byForm.values()].flatMap((one) => one.policy ?? [])],
    policiesFor: (namespace, labels) => {
      const form = workloadLevel.find((one) => one.namespace === namespace && selects(one.selector, labels));
      const result = form === undefined ? undefined : byForm.get(form);
      const policy = result?.policy;
      if (policy !== undefined) return [`${policy.namespace}/${policy.name}`];
      return (result?.mode ?? modeOf(namespace)) === 'STRICT' ? [`${root}/${STRICT_POLICY}`] : [];
    },
  };
}

const isNamespaceWide = (form: PeerAuthenticationForm): boolean => Object.keys(form.selector).length === 0;

/** DISABLE never turns HBONE off: it only means that plain text is taken, as PERMISSIVE does. */
function strictness(mode: PeerAuthenticationForm['mode'] | undefined, inherited: Mode): Mode {
  if (mode === undefined || mode === 'UNSET') return inherited;
  return mode === 'STRICT' ? 'STRICT' : 'PERMISSIVE';
}

/** The workload's mode, and a policy of its own where ports differ from it. */
function convert(
  form: PeerAuthenticationForm,
  inherited: Mode,
): { readonly mode: Mode; readonly policy: Policy | undefined } {
  const mode = strictness(form.mode, inherited);
  // As in Istio, DISABLE on a port opens it only where the workload itself says STRICT; what it inherits needs PERMISSIVE.
  const inherits = form.mode === undefined || form.mode === 'UNSET';
  const opens = (port: PeerAuthenticationForm['mode']): boolean =>
    !(inherits && mode === 'STRICT' && port === 'DISABLE');
  const other = [...form.ports]
    .filter(([, port]) => strictness(port, mode) !== mode && opens(port))
    .map(([port]) => port);
  if (other.length === 0) return { mode, policy: undefined };
  const rules =
    mode === 'STRICT'
      ? [{ clauses: [noPrincipal(), ...other.map((port) => clause(portCondition(port, 'not')))] }]
      : other.map((port) => ({ clauses: [noPrincipal(), clause(portCondition(port, 'is'))] }));
  const name = `converted_peer_authentication_${form.name}`;
  return { mode, policy: { ...strictPolicy(form.namespace), name, rules } };
}

const strictPolicy = (namespace: string): Policy => ({
  name: STRICT_POLICY,
  namespace,
  scope: 'WORKLOAD_SELECTOR',
  action: 'DENY',
  dryRun: false,
  rules: [{ clauses: [noPrincipal()] }],
  listeners: [],
});

const clause = (condition: Condition): Clause => ({ origin: 'any', matches: [{ conditions: [condition] }] });

const noPrincipal = (): Clause =>
  clause({ attribute: 'source.principal', key: '', values: [], notValues: [{ kind: 'presence' }] });

function portCondition(port: number, how: 'is' | 'not'): Condition {
  const value = [{ kind: 'port' as const, port }];
  return {
    attribute: 'destination.port',
    key: '',
    values: how === 'is' ? value : [],
    notValues: how === 'is' ? [] : value,
  };
}
