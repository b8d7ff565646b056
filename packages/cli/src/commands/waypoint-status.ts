import { type Command, EXIT, type Invocation, UsageError } from '../command.ts';
import type { ObjectView } from '../object-view.ts';
import { parseFormat } from '../output.ts';
import { objectName } from '../results.ts';
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
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json, yaml, name or wide' },
  ],
  async run(invocation) {
    const { args, flags, out, context } = invocation;
    const format = parseFormat(flags.text('output'), ['table', 'wide', 'json', 'yaml', 'name']);
    const [name, ...more] = args;
    if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}": name one waypoint, or none for all`);
    const waypoints = (await listWaypoints(context, context.listNamespace)).filter(
      (one) => name === undefined || one.name === name,
    );
    if (waypoints.length === 0 && name !== undefined) {
      out.error(`waypoint ${context.listNamespace ?? '*'}/${name} not found`);
      return EXIT.failed;
    }
    const rows = (await settled(invocation, waypoints)).map(programmedRow);
    if (format === 'json') out.json(rows);
    else if (format === 'yaml') out.yaml(rows);
    else if (format === 'name') for (const one of rows) out.line(objectName('Gateway', one.name));
    else printRows(invocation, rows);
    return rows.every((one) => one.status === 'True') ? EXIT.ok : EXIT.failed;
  },
};

/** The waypoints as they are when all are ready, or as they are now with --wait=false. */
async function settled({ flags, out, context }: Invocation, waypoints: readonly ObjectView[]): Promise<ObjectView[]> {
  const wait = flags.text('wait') ?? 'true';
  if (wait !== 'true' && wait !== 'false') throw new UsageError(`--wait is true or false, not "${wait}"`);
  if (wait === 'false') return [...waypoints];
  const timeoutMs = timeoutOf(flags);
  const progress = (text: string): void => out.progress(text);
  return Promise.all(waypoints.map((one) => waitProgrammed(context, one, { timeoutMs, progress })));
}

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly status: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

function printRows({ flags, out }: Invocation, rows: readonly Row[]): void {
  if (rows.length === 0) return out.line('No waypoints found.');
  const everywhere = flags.has('all-namespaces');
  out.table(
    [...(everywhere ? ['NAMESPACE'] : []), 'NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'],
    rows.map((one) => [
      ...(everywhere ? [one.namespace] : []),
      one.name,
      one.status,
      one.type,
      one.reason,
      one.message,
    ]),
  );
}

function programmedRow(gateway: ObjectView): Row {
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
