import { type Command, UsageError } from '../command.ts';
import { findPod } from '../targets.ts';

/** `ambit exec TARGET -- COMMAND`. */
export const exec: Command = {
  name: 'exec',
  summary: 'Run a command in a pod: its network, its files, its environment.',
  usage: 'TARGET -- COMMAND [ARG…]',
  examples: [
    ['call a host from a pod', 'ambit exec deploy/curl -- curl -si http://httpbin.org/get'],
    ['look at a pod’s sockets', 'ambit exec deploy/curl -- ss -tn'],
    ['pass a file in', 'ambit exec -i deploy/curl -- sha256sum < file'],
  ],
  flags: [
    { name: 'container', short: 'c', value: 'NAME', summary: 'container (default: the first)' },
    { name: 'stdin', short: 'i', summary: 'pass standard input on' },
  ],
  passesRest: true,
  async run({ args, rest, flags, out, context }) {
    const [target, ...words] = args;
    const command = [...words, ...rest];
    if (target === undefined || command.length === 0) throw new UsageError('name a pod and, behind --, a command');
    const pod = await findPod(context, target);
    const container = flags.text('container');
    try {
      return await context.api.exec({
        namespace: pod.namespace,
        pod: pod.name,
        ...(container === undefined ? {} : { container }),
        command,
        ...(flags.has('stdin') ? { stdin: process.stdin } : {}),
        onStdout: (chunk) => out.raw(chunk),
        onStderr: (chunk) => out.noteRaw(chunk),
      });
    } finally {
      // an input that nobody reads any more would keep this process alive
      if (flags.has('stdin')) process.stdin.destroy();
    }
  },
};
