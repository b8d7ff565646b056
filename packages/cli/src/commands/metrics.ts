import { type Command, EXIT, UsageError } from '../command.ts';
import { findPod } from '../targets.ts';

const METRICS_PORT = 15_020;

/** `ambit metrics TARGET`. */
export const metrics: Command = {
  name: 'metrics',
  summary: 'Print the Prometheus metrics of a waypoint or of the node agent.',
  usage: '(WAYPOINT | ztunnel) [PREFIX]',
  examples: [
    ['requests a waypoint has seen', 'ambit metrics waypoint istio_requests_total -n istio-egress'],
    ['connections of the node agent', 'ambit metrics ztunnel istio_tcp'],
  ],
  async run({ args, out, context }) {
    const [target, prefix = ''] = args;
    if (args.length > 2) throw new UsageError(`unexpected argument "${args[2]}"`);
    if (target === undefined) throw new UsageError('name a waypoint, or ztunnel');
    const pod = await findPod(context, target);
    const text = await context.api.proxy({
      namespace: pod.namespace,
      pod: pod.name,
      port: METRICS_PORT,
      path: '/stats/prometheus',
    });
    if (prefix === '') out.raw(text);
    else {
      const lines = text.split('\n').filter((line) => line.startsWith(prefix));
      for (const line of lines) out.line(line);
      if (lines.length === 0) out.note(`no series of ${pod.namespace}/${pod.name} begins with "${prefix}"`);
    }
    return EXIT.ok;
  },
};
