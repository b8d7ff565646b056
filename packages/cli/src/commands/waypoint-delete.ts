import { type Command, UsageError } from '../command.ts';
import { GATEWAY } from '../context.ts';
import { listWaypoints } from '../waypoint-gateway.ts';

/** `ambit waypoint delete`. */
export const waypointDelete: Command = {
  name: 'delete',
  summary: 'Delete waypoints; what was bound to them goes on without.',
  usage: '[NAME…]',
  examples: [
    ['one waypoint', 'ambit waypoint delete waypoint -n istio-egress'],
    ['all of a namespace', 'ambit waypoint delete --all -n istio-egress'],
  ],
  flags: [
    { name: 'all', summary: 'every waypoint of the namespace' },
    { name: 'revision', short: 'r', value: 'NAME', summary: 'only those of this revision' },
  ],
  async run({ args, flags, out, context }) {
    const all = flags.has('all') || flags.has('revision');
    if (all && args.length > 0) throw new UsageError('cannot specify waypoint names when deleting all waypoints');
    if (!all && args.length === 0 && !flags.has('name')) {
      throw new UsageError(
        'must specify a waypoint name or delete all using --all or delete specific revision using --revision',
      );
    }
    const waypoints = await listWaypoints(context, context.namespace);
    const revision = flags.text('revision');
    const found = waypoints.filter(
      (one) => revision === undefined || (one.label('istio.io/rev') ?? 'default') === revision,
    );
    const names = all ? found.map((one) => one.name) : args.length > 0 ? args : [flags.text('name') ?? 'waypoint'];
    let missing = 0;
    for (const name of names) {
      if (!waypoints.some((one) => one.name === name)) {
        out.error(`waypoint ${context.namespace}/${name} not found`);
        missing++;
        continue;
      }
      await context.api.delete(GATEWAY, context.namespace, name);
      out.line(`waypoint ${context.namespace}/${name} deleted`);
    }
    return missing > 0 ? 1 : 0;
  },
};
