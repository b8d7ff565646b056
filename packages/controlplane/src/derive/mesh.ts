import type { Backend, Credential } from '@ambit/common/model/backend';
import type { Listener, ProxySettings } from '@ambit/common/model/listener';
import type { Policy } from '@ambit/common/model/policy';
import type { Service } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import type { AuthorizationPolicyForm } from '../ingest/authorization-policy.ts';
import type { PodForm } from '../ingest/pod.ts';
import type { Audience } from './audience.ts';
import { deriveBackends } from './backends.ts';
import type { Inputs } from './inputs.ts';
import { deriveListeners, deriveProxySettings } from './listeners.ts';
import { deriveL4Policies, deriveL7Policies, type L4Policies } from './policies.ts';
import { resolveTargets, type TargetResult } from './policy-targets.ts';
import { Remembered } from './remembered.ts';
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
export const deriveMesh = (inputs: Inputs): Mesh => meshDeriver()(inputs);

/** Derives mesh after mesh; what a change cannot have touched is taken over from the last one. */
export function meshDeriver(): (inputs: Inputs) => Mesh {
  const waypointMemory = new Remembered<Waypoints>();
  const serviceMemory = new Remembered<Services>();
  const l4Memory = new Remembered<L4Policies>();
  const podMemory = new Remembered<WeakMap<PodForm, Workload>>();
  return (inputs) => {
    const { clusterId, clusterDomain, network, mesh, namespaces } = inputs;
    const waypoints = waypointMemory.from([inputs.gateways, inputs.gatewayClasses, namespaces, network], () =>
      deriveWaypoints(inputs),
    );
    const services = serviceMemory.from(
      [waypoints, inputs.services, inputs.serviceEntries, namespaces, network, clusterDomain],
      () => deriveServices(inputs, waypoints),
    );
    const l4 = l4Memory.from([inputs.policies, inputs.peerAuthentications, mesh], () => deriveL4Policies(inputs));
    const pods = podMemory.from(
      [waypoints, services, l4, inputs.endpointSlices, inputs.localities, mesh, network, clusterId],
      () => new WeakMap(),
    );
    const { policiesFor } = l4;
    const workloads = deriveWorkloads({ inputs, waypoints, services, policiesFor, pods });
    return assemble(inputs, { waypoints, services, l4, workloads });
  };
}

function assemble(inputs: Inputs, parts: Omit<Mesh['bindings'], 'targets'>): Mesh {
  const { waypoints, services, l4, workloads } = parts;
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
    bindings: { ...parts, targets },
  };
}
