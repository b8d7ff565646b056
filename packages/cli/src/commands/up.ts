import type { MeshStatus } from '@ambit/standalone/api/client';
import { type Command, EXIT, type Invocation, UsageError } from '../command.ts';
import { readVersion } from './version.ts';
import { printTrouble } from './status.ts';

/** `ambit up FOLDER`. */
export const up: Command = {
  name: 'up',
  summary: 'Run a mesh, and the pods of a folder of YAML, on this machine.',
  usage: 'FOLDER|FILE…',
  examples: [
    ['run an example until Ctrl-C', 'ambit up examples/egress'],
    ['leave it running', 'ambit up examples/bookshop --detach'],
    ['let pods reach the internet (root)', 'sudo ambit up examples/egress --internet'],
  ],
  flags: [
    { name: 'detach', short: 'd', summary: 'return when it runs; `ambit down` ends it' },
    { name: 'internet', summary: 'lend pods this machine’s way to the internet (root)' },
    { name: 'dns', value: 'ADDRESS', multiple: true, summary: 'name server for names outside the cluster' },
  ],
  async run(invocation) {
    const { args, flags, out, context } = invocation;
    if (args.length === 0) throw new UsageError('name a folder or a file of YAML');
    const { startMesh } = await import('@ambit/standalone/up');
    const abort = new AbortController();
    const interrupt = (): void => abort.abort(new Error('interrupted'));
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    const mesh = await startMesh({
      folders: args,
      stateDir: context.stateDir,
      internet: flags.has('internet'),
      ...(flags.has('dns') ? { dns: flags.all('dns') } : {}),
      detach: flags.has('detach'),
      version: readVersion(),
      signal: abort.signal,
      onProgress: ({ message, elapsedMs }) =>
        out.note(out.paint('dim', `${(elapsedMs / 1000).toFixed(1).padStart(5)} s  ${message}`)),
    });
    for (const sentence of mesh.removed) out.note(`removed: ${sentence}`);
    report(invocation, mesh.status);
    if (flags.has('detach')) return EXIT.ok;
    out.note('Ctrl-C ends the mesh.');
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void mesh.stop());
    const { clean, message } = await mesh.ended;
    if (clean) out.note(message);
    else out.error(message);
    return clean ? EXIT.ok : EXIT.failed;
  },
};

function report({ out }: Invocation, status: MeshStatus): void {
  out.line(
    `${out.paint('green', '✔')} the mesh runs: ${status.pods.ready} of ${status.pods.total} pods ready, state in ${status.stateDir}`,
  );
  for (const note of status.notes) out.note(`note: ${note}`);
  for (const source of status.sources) {
    for (const error of source.errors)
      out.error(
        `${error.file}:${error.line}:${error.column}: ${error.field === '' ? '' : `${error.field}: `}${error.message}`,
      );
  }
  for (const pod of status.trouble) printTrouble(out, pod);
}
