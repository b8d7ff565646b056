import { countBound } from '../bound-services.ts';
import { type Command, EXIT } from '../command.ts';
import { parseFormat } from '../output.ts';
import { objectName } from '../results.ts';
import { listWaypoints } from '../waypoint-gateway.ts';

/** `ambit waypoint list`. */
export const waypointList: Command = {
  name: 'list',
  summary: 'List waypoints.',
  examples: [
    ['of all namespaces', 'ambit waypoint list -A'],
    ['with the number of services behind each', 'ambit waypoint list -A -o wide'],
  ],
  flags: [
    { name: 'all-namespaces', short: 'A', summary: 'waypoints of every namespace' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json, yaml, name or wide' },
  ],
  async run({ flags, out, context }) {
    const format = parseFormat(flags.text('output'));
    const waypoints = await listWaypoints(context, context.listNamespace);
    if (waypoints.length === 0 && format === 'table') {
      out.line('No waypoints found.');
      return EXIT.ok;
    }
    const bound = await countBound(context);
    const values = waypoints.map((one) => ({
      namespace: one.namespace,
      name: one.name,
      revision: one.label('istio.io/rev') ?? 'default',
      trafficType: one.label('istio.io/waypoint-for') ?? 'service',
      programmed: one.condition('Programmed')?.status ?? 'Unknown',
      services: bound(one),
    }));
    if (format === 'json') out.json(values);
    else if (format === 'yaml') out.yaml(values);
    else if (format === 'name') for (const one of values) out.line(objectName('Gateway', one.name));
    else {
      const everywhere = flags.has('all-namespaces');
      const wide = format === 'wide';
      out.table(
        [
          ...(everywhere ? ['NAMESPACE'] : []),
          'NAME',
          'REVISION',
          'TRAFFIC TYPE',
          'PROGRAMMED',
          ...(wide ? ['SERVICES'] : []),
        ],
        values.map((one) => [
          ...(everywhere ? [one.namespace] : []),
          one.name,
          one.revision,
          one.trafficType,
          one.programmed,
          ...(wide ? [String(one.services)] : []),
        ]),
      );
    }
    return EXIT.ok;
  },
};
