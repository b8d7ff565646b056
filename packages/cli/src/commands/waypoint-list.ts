import { type Command, EXIT } from '../command.ts';
import { parseFormat } from '../output.ts';
import { listWaypoints } from '../waypoint-gateway.ts';

/** `ambit waypoint list`. */
export const waypointList: Command = {
  name: 'list',
  summary: 'List waypoints.',
  examples: [['of all namespaces', 'ambit waypoint list -A']],
  flags: [
    { name: 'all-namespaces', short: 'A', summary: 'waypoints of every namespace' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json, yaml or name' },
  ],
  async run({ flags, out, context }) {
    const format = parseFormat(flags.text('output'));
    const waypoints = await listWaypoints(context, context.listNamespace);
    if (waypoints.length === 0 && format === 'table') {
      out.line('No waypoints found.');
      return EXIT.ok;
    }
    const values = waypoints.map((one) => ({
      namespace: one.namespace,
      name: one.name,
      revision: one.label('istio.io/rev') ?? 'default',
      trafficType: one.label('istio.io/waypoint-for') ?? 'service',
      programmed: one.condition('Programmed')?.status ?? 'Unknown',
    }));
    if (format === 'json') out.json(values);
    else if (format === 'yaml') out.yaml(values);
    else if (format === 'name') for (const one of values) out.line(`gateway/${one.name}`);
    else {
      const wide = flags.has('all-namespaces');
      out.table(
        [...(wide ? ['NAMESPACE'] : []), 'NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'],
        values.map((one) => [
          ...(wide ? [one.namespace] : []),
          one.name,
          one.revision,
          one.trafficType,
          one.programmed,
        ]),
      );
    }
    return EXIT.ok;
  },
};
