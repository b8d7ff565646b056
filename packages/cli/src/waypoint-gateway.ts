import { durationMs } from '@ambit/common/config/duration';
import { MeshError } from '@ambit/common/errors';
import { type FlagValues, UsageError } from './command.ts';
import { type Context, GATEWAY } from './context.ts';
import { ObjectView } from './object-view.ts';

/** GatewayClass of waypoints, as Istio names it. */
export const WAYPOINT_CLASS = 'istio-waypoint';

const TRAFFIC_TYPES = ['all', 'none', 'service', 'workload'];

/** The name of --name; empty means `waypoint`, and `none` is reserved for opting out. */
export function waypointName(flags: FlagValues): string {
  const name = flags.text('name') || 'waypoint';
  if (name === 'none') throw new UsageError("invalid name provided for waypoint, 'none' is a reserved value");
  return name;
}

/** The Gateway that `waypoint apply` creates and `waypoint generate` prints; the namespace is left out when there is none. */
export function waypointGateway(flags: FlagValues, namespace: string | undefined): object {
  const type = flags.text('for');
  if (type !== undefined && !TRAFFIC_TYPES.includes(type)) {
    throw new UsageError(`invalid traffic type: ${type}. Valid options are: [${TRAFFIC_TYPES.join(' ')}]`);
  }
  const revision = flags.text('revision');
  const labels = {
    ...(revision === undefined ? {} : { 'istio.io/rev': revision }),
    ...(type === undefined ? {} : { 'istio.io/waypoint-for': type }),
  };
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: {
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
      name: waypointName(flags),
      ...(namespace === undefined ? {} : { namespace }),
    },
    spec: { gatewayClassName: WAYPOINT_CLASS, listeners: [{ name: 'mesh', port: 15_008, protocol: 'HBONE' }] },
  };
}

/** All Gateways of a waypoint class in a namespace, or everywhere. */
export async function listWaypoints(context: Context, namespace: string | undefined): Promise<ObjectView[]> {
  const gateways = (await context.api.list(GATEWAY, namespace)).map((one) => new ObjectView(one));
  return gateways
    .filter((one) => one.text('spec.gatewayClassName') === WAYPOINT_CLASS)
    .sort((a, b) => a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name));
}

/** Polls until the waypoint is Programmed; rejects after the time with istioctl's message. */
export async function waitProgrammed(
  context: Context,
  gateway: { namespace: string; name: string },
  wait: { timeoutMs: number; progress: (text: string) => void },
): Promise<ObjectView> {
  const deadline = Date.now() + wait.timeoutMs;
  for (;;) {
    const view = new ObjectView(await context.api.get(GATEWAY, gateway.namespace, gateway.name));
    if (view.condition('Programmed')?.status === 'True') return view;
    const reason = view.condition('Programmed')?.message ?? 'it has no status yet';
    wait.progress(`waiting for waypoint ${gateway.namespace}/${gateway.name}: ${reason}`);
    if (Date.now() > deadline) {
      throw new MeshError(
        'TIMEOUT',
        `timed out while waiting for waypoint\t${gateway.namespace}/${gateway.name}: ${reason}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Milliseconds of --waypoint-timeout such as `90s` or `2m`. */
export function timeoutOf(flags: FlagValues): number {
  const text = flags.text('waypoint-timeout') ?? '90s';
  const timeoutMs = /^\d+(ms|s|m)$/.test(text) ? durationMs(text) : undefined;
  if (timeoutMs === undefined) throw new UsageError(`--waypoint-timeout is a duration such as 90s, not "${text}"`);
  return timeoutMs;
}
