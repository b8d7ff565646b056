import { type Command, UsageError } from '../command.ts';
import type { ObjectView } from '../object-view.ts';
import { parseFormat } from '../output.ts';
import { listWaypoints, timeoutOf, waitProgrammed } from '../waypoint-gateway.ts';

/** `ambit waypoint status`. */
export const waypointStatus: Command = {
  name: 'status',
  summary: 'Say whether waypoints are ready, waiting for them first.',
  usage: '[NAME]',
  examples: [['look without waiting', 'ambit waypoint status --wait=false -n istio-egress']],
  flags: [
    { name: 'all-namespaces', short: 'A', summary: 'waypoints of every namespace' },
    { name: 'wait', short: 'w', value: 'BOOL', summary: 'wait until they are ready (default true)' },
    { name: 'waypoint-timeout', value: 'DURATION', summary: 'how long to wait (default 90s)' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json or yaml' },
  ],
  async run({ args, flags, out, context }) {
    const format = parseFormat(flags.text('output'), ['table', 'json', 'yaml']);
    const wait = flags.text('wait') ?? 'true';
    if (wait !== 'true' && wait !== 'false') throw new UsageError(`--wait is true or false, not "${wait}"`);
    const [name] = args;
    let waypoints = (await listWaypoints(context, context.listNamespace)).filter(
      (one) => name === undefined || one.name === name,
    );
    if (waypoints.length === 0) {
      out.line('No waypoints found.');
      return name === undefined ? 0 : 1;
    }
    if (wait === 'true')
      waypoints = await Promise.all(waypoints.map((one) => waitProgrammed(context, one, timeoutOf(flags))));
    const rows = waypoints.map(programmedRow);
    if (format === 'json') out.json(rows);
    else if (format === 'yaml') out.yaml(rows);
    else {
      const wide = flags.has('all-namespaces');
      out.table(
        [...(wide ? ['NAMESPACE'] : []), 'NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'],
        rows.map((one) => [...(wide ? [one.namespace] : []), one.name, one.status, one.type, one.reason, one.message]),
      );
    }
    return rows.every((one) => one.status === 'True') ? 0 : 1;
  },
};

function programmedRow(gateway: ObjectView): {
  namespace: string;
  name: string;
  status: string;
  type: string;
  reason: string;
  message: string;
} {
  const condition = gateway.condition('Programmed');
  return {
    namespace: gateway.namespace,
    name: gateway.name,
    status: condition?.status ?? 'Unknown',
    type: 'Programmed',
    reason: condition?.reason ?? 'Pending',
    message: condition?.message ?? 'Waiting for the control plane',
  };
}
