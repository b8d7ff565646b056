import { stringify } from 'yaml';
import { type Command, EXIT, type Invocation } from '../command.ts';
import { NAMESPACE } from '../context.ts';
import { ObjectView } from '../object-view.ts';
import { timeoutOf, waitProgrammed, waypointGateway, waypointName } from '../waypoint-gateway.ts';

const USE_WAYPOINT = 'istio.io/use-waypoint';

/** `ambit waypoint apply`. */
export const waypointApply: Command = {
  name: 'apply',
  summary: 'Create or change a waypoint; with --wait, wait until it is ready.',
  examples: [
    ['a waypoint for every service of a namespace', 'ambit waypoint apply --enroll-namespace -n istio-egress'],
    ['a named waypoint for pod addresses', 'ambit waypoint apply --name pods --for workload -n apps --wait'],
  ],
  flags: [
    { name: 'for', value: 'TYPE', summary: 'traffic type: service, workload, all or none' },
    { name: 'enroll-namespace', summary: `label the namespace with ${USE_WAYPOINT}` },
    { name: 'overwrite', summary: 'enrol a namespace that has another waypoint already' },
    { name: 'revision', short: 'r', value: 'NAME', summary: 'control plane revision' },
    { name: 'wait', short: 'w', summary: 'wait until the waypoint is ready' },
    { name: 'waypoint-timeout', value: 'DURATION', summary: 'how long to wait (default 90s)' },
  ],
  async run(invocation): Promise<number> {
    const { flags, out, context } = invocation;
    const name = waypointName(flags);
    const namespace = context.namespace;
    const gateway = waypointGateway(flags, namespace);
    if (flags.has('enroll-namespace') && !(await mayEnroll(invocation, name))) return EXIT.ok;
    await context.api.apply(stringify(gateway), { file: `waypoint ${namespace}/${name}`, dryRun: false });
    out.line(`✅ waypoint ${namespace}/${name} applied`);
    if (flags.has('wait')) {
      await waitProgrammed(
        context,
        { namespace, name },
        { timeoutMs: timeoutOf(flags), progress: (text) => out.progress(text) },
      );
      out.line(`✅ waypoint ${namespace}/${name} is ready!`);
    }
    if (flags.has('enroll-namespace')) {
      await context.api.merge(NAMESPACE, undefined, namespace, { metadata: { labels: { [USE_WAYPOINT]: name } } });
      out.line(`✅ namespace ${namespace} labeled with "${USE_WAYPOINT}: ${name}"`);
    }
    return EXIT.ok;
  },
};

/** False when another waypoint is enrolled and --overwrite was not given. A namespace outside the mesh is only warned about. */
async function mayEnroll({ flags, out, context }: Invocation, name: string): Promise<boolean> {
  // one that does not exist yet is made by the apply
  const namespace = new ObjectView(await context.find(NAMESPACE, undefined, context.namespace));
  const enrolled = namespace.label(USE_WAYPOINT);
  if (enrolled !== undefined && enrolled !== name && !flags.has('overwrite')) {
    out.line(
      `⚠️ Warning: namespace (${context.namespace}) already has an enrolled Waypoint. Consider adding the \`--overwrite\` flag to your apply command.`,
    );
    return false;
  }
  if (namespace.label('istio.io/dataplane-mode') !== 'ambient') {
    out.line(
      `⚠️ Warning: namespace is not enrolled in ambient. Consider running\t\`ambit label namespace ${context.namespace} istio.io/dataplane-mode=ambient\``,
    );
  }
  return true;
}
