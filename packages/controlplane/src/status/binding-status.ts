import type { KubeObject } from '../collections/object.ts';
import type { Binding } from '../derive/waypoints.ts';
import type { ServiceEntryForm } from '../ingest/service-entry.ts';
import type { Condition } from './conditions.ts';

export const WAYPOINT_BOUND = 'istio.io/WaypointBound';
export const WAYPOINT_MISSING = 'istio.io/WaypointMissing';

const INGRESS_LABEL = 'istio.io/ingress-use-waypoint';

/** How a Service, ServiceEntry or WorkloadEntry is bound; nothing when it asks for no waypoint. */
export function bindingConditions(object: KubeObject, binding: Binding): Condition[] {
  if (binding.kind === 'none') return [];
  if (binding.kind === 'failed')
    return [{ type: WAYPOINT_BOUND, status: 'False', reason: binding.reason, message: binding.message }];
  const ingress = object.metadata.labels?.[INGRESS_LABEL];
  const note =
    ingress === undefined
      ? ''
      : ingress === 'true'
        ? '. Traffic of ingress gateways goes through it, too.'
        : `. Traffic of ingress gateways passes it by: the label ${INGRESS_LABEL} says ${ingress}.`;
  return [
    {
      type: WAYPOINT_BOUND,
      status: 'True',
      reason: 'WaypointAccepted',
      message: `Successfully attached to waypoint ${binding.waypoint.key}${note}`,
    },
  ];
}

/** A wildcard that is resolved on request works only behind a waypoint. */
export function missingWaypoint(entry: ServiceEntryForm, binding: Binding): Condition[] {
  const wildcard = entry.resolution === 'DYNAMIC_DNS' && entry.hosts.some((host) => host.startsWith('*'));
  if (!wildcard || binding.kind === 'bound') return [];
  return [
    {
      type: WAYPOINT_MISSING,
      status: 'True',
      reason: 'NoWaypointForWildcardService',
      message: 'ServiceEntry will not apply until it is bound to a valid waypoint.',
    },
  ];
}
