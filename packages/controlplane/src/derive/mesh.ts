import type { Backend, Credential } from '@ambit/common/model/backend';
import type { Listener, ProxySettings } from '@ambit/common/model/listener';
import type { Policy } from '@ambit/common/model/policy';
import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import type { AuthorizationPolicyForm } from '../ingest/authorization-policy.ts';
import type { Audience } from './audience.ts';
import { deriveBackends } from './backends.ts';
import type { Inputs } from './inputs.ts';
import { deriveListeners, deriveProxySettings } from './listeners.ts';
import { deriveL4Policies, deriveL7Policies, type L4Policies } from './policies.ts';
import { resolveTargets, type TargetResult } from './policy-targets.ts';
import { deriveServices, type Services } from './services.ts';
import { deriveWaypoints, type Waypoints } from './waypoints.ts';
import { deriveWorkloads, type Workloads } from './workloads.ts';

/** Everything that is served, and what statuses are made from. */
export interface Mesh {
  readonly inputs: Inputs;
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly services: ReadonlyMap<string, Service>;
  readonly authorizations: readonly Policy[];
  readonly listeners: readonly Audience<Listener>[];
  readonly backends: readonly Audience<Backend>[];
  readonly policies: readonly Audience<Policy>[];
  readonly credentials: readonly Audience<Credential>[];
  readonly proxies: readonly Audience<ProxySettings>[];
  readonly bindings: {
    readonly waypoints: Waypoints;
    readonly services: Services;
    readonly workloads: Workloads;
    readonly l4: L4Policies;
    readonly targets: ReadonlyMap<AuthorizationPolicyForm, readonly TargetResult[]>;
  };
}

/** The mesh that these objects describe. Pure: the same inputs give the same mesh. */
export function deriveMesh(inputs: Inputs): Mesh {
  const waypoints = deriveWaypoints(inputs);
  const services = deriveServices(inputs, waypoints);
  const l4 = deriveL4Policies(inputs);
  const workloads = deriveWorkloads({ inputs, waypoints, services, policiesFor: l4.policiesFor });
  const targets = resolveTargets({ inputs, waypoints, services });
  return {
    inputs,
    workloads: workloads.byUid,
    services: new Map([...services.byKey].map(([key, { service }]) => [key, service])),
    authorizations: l4.policies,
    listeners: deriveListeners(services),
    ...deriveBackends(inputs, services),
    policies: deriveL7Policies(targets),
    proxies: deriveProxySettings(inputs, waypoints),
    bindings: { waypoints, services, workloads, l4, targets },
  };
}
