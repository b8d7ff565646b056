import { type Command, EXIT, UsageError } from '../command.ts';
import { findPod } from '../targets.ts';

/** `ambit logs TARGET`. */
export const logs: Command = {
  name: 'logs',
  summary: 'Print what a pod, a waypoint or the node agent has logged.',
  usage: 'TARGET',
  examples: [
    ['the last requests of a waypoint', 'ambit logs waypoint -n istio-egress --tail 5'],
    ['follow the node agent', 'ambit logs ztunnel -f'],
  ],
  flags: [
    { name: 'container', short: 'c', value: 'NAME', summary: 'container (default: the first)' },
    { name: 'follow', short: 'f', summary: 'go on printing' },
    { name: 'tail', value: 'N', summary: 'only the last N lines' },
  ],
  async run({ args, flags, out, context }) {
    const [target] = args;
    if (args.length > 1) throw new UsageError(`unexpected argument "${args[1]}": one pod at a time`);
    if (target === undefined) throw new UsageError('name a pod, deployment or waypoint, or ztunnel');
    const tail = flags.text('tail');
    if (tail !== undefined && !/^\d+$/.test(tail)) throw new UsageError(`--tail is a number, not "${tail}"`);
    const pod = await findPod(context, target);
    const container = flags.text('container');
    await context.api.logs({
      namespace: pod.namespace,
      pod: pod.name,
      follow: flags.has('follow'),
      ...(container === undefined ? {} : { container }),
      ...(tail === undefined ? {} : { tailLines: Number(tail) }),
      onText: (text) => out.raw(text),
    });
    return EXIT.ok;
  },
};
