import { type Context, SERVICE, SERVICE_ENTRY } from './context.ts';
import type { BoundCount } from './columns.ts';
import { ObjectView } from './object-view.ts';

/** Counts, per waypoint, the Services and ServiceEntries of all namespaces that the control plane has bound to it. */
export async function countBound(context: Context): Promise<BoundCount> {
  const [services, entries] = await Promise.all([
    context.api.list(SERVICE, undefined),
    context.api.list(SERVICE_ENTRY, undefined),
  ]);
  return boundCount([...services, ...entries].map((one) => new ObjectView(one)));
}

/** The same for objects that have been read already. */
export function boundCount(objects: readonly ObjectView[]): BoundCount {
  const counts = new Map<string, number>();
  for (const object of objects) {
    const waypoint = object.waypoint();
    if (waypoint?.bound?.status !== 'True' || !waypoint.bound.type.endsWith('Bound')) continue;
    counts.set(waypoint.name, (counts.get(waypoint.name) ?? 0) + 1);
  }
  return (waypoint) => counts.get(`${waypoint.namespace}/${waypoint.name}`) ?? 0;
}
