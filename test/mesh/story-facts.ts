import { isIPv4 } from 'node:net';
import { at, conditions, kind, type TestMesh, until } from '../harness/mesh.ts';

/** The files that the steps apply. */
export const STEPS: string = 'examples/egress/steps';
/** The waypoint that the outside is reached through. */
export const WAYPOINT: string = 'istio-egress/waypoint';

/** The entry when it has both addresses and a waypoint. */
export async function boundEntry(
  mesh: TestMesh,
  namespace: string,
  name: string,
): Promise<{ v4: string; v6: string; object: unknown }> {
  return until(`the addresses of ${namespace}/${name}`, async () => {
    const object = await mesh.api.get(kind('serviceentries'), namespace, name);
    const found: unknown = at(object, 'status.addresses');
    const values = Array.isArray(found) ? found.map((one: unknown) => String(at(one, 'value'))) : [];
    const v4 = values.find(isIPv4);
    const v6 = values.find((one) => one.includes(':'));
    const bound = conditions(object).some(({ type, status }) => type === 'istio.io/WaypointBound' && status === 'True');
    return v4 !== undefined && v6 !== undefined && bound && { v4, v6, object };
  });
}

/** The address of `address:port`. */
export const hostOf = (address: string | undefined): string =>
  (address ?? '').slice(0, (address ?? '').lastIndexOf(':'));
