import { type Command, EXIT, type FlagValues, UsageError } from '../command.ts';
import { GATEWAY } from '../context.ts';
import type { ObjectView } from '../object-view.ts';
import { RESULT_OUTPUT, Results } from '../results.ts';
import { listWaypoints, waypointName } from '../waypoint-gateway.ts';

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
    RESULT_OUTPUT,
  ],
  async run(invocation) {
    const { args, flags, out, context } = invocation;
    checkArguments(args, flags);
    const waypoints = await listWaypoints(context, context.namespace);
    const named = args.length > 0 ? args : [waypointName(flags)];
    const names = everything(flags) ? ofRevision(waypoints, flags.text('revision')) : named;
    if (names.length === 0) out.note('No waypoints found.');
    const results = new Results(out, flags.text('output'), (one) => `waypoint ${one.namespace}/${one.name} deleted`);
    const missing = names.filter((name) => !waypoints.some((one) => one.name === name));
    await Promise.all(
      names
        .filter((name) => !missing.includes(name))
        .map(async (name) => {
          await context.api.delete(GATEWAY, context.namespace, name);
          results.add({ kind: 'Gateway', namespace: context.namespace, name, action: 'deleted' });
        }),
    );
    results.end();
    for (const name of missing) out.error(`waypoint ${context.namespace}/${name} not found`);
    return missing.length > 0 ? EXIT.failed : EXIT.ok;
  },
};

const everything = (flags: FlagValues): boolean => flags.has('all') || flags.has('revision');

function checkArguments(args: readonly string[], flags: FlagValues): void {
  if (everything(flags) && args.length > 0)
    throw new UsageError('cannot specify waypoint names when deleting all waypoints');
  if (!everything(flags) && args.length === 0 && !flags.has('name')) {
    throw new UsageError(
      'must specify a waypoint name or delete all using --all or delete specific revision using --revision',
    );
  }
}

const ofRevision = (waypoints: readonly ObjectView[], revision: string | undefined): string[] =>
  waypoints
    .filter((one) => revision === undefined || (one.label('istio.io/rev') ?? 'default') === revision)
    .map((one) => one.name);
