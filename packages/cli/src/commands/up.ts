import type { MeshStatus } from '@ambit/standalone/api/client';
import type { StartedMesh } from '@ambit/standalone/up';
import { type Command, EXIT, type Invocation, UsageError } from '../command.ts';
import { problemText } from '../output.ts';
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
    let waitingFor = 'starting the mesh';
    const clock = setInterval(() => out.progress(waitingFor), 200);
    const mesh = await startMesh({
      folders: args,
      stateDir: context.stateDir,
      internet: flags.has('internet'),
      ...(flags.has('dns') ? { dns: flags.all('dns') } : {}),
      detach: flags.has('detach'),
      version: readVersion(),
      signal: abort.signal,
      onProgress: ({ message }) => {
        waitingFor = message;
        out.progress(message);
      },
    }).finally(() => {
      clearInterval(clock);
      out.endProgress();
    });
    for (const sentence of mesh.removed) out.note(sentence);
    report(invocation, mesh);
    if (flags.has('detach')) {
      out.note('"ambit status" shows how it is, "ambit down" ends it');
      return verdict(mesh.status);
    }
    out.note('Ctrl-C ends the mesh.');
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void mesh.stop());
    const { clean, message } = await mesh.ended;
    if (clean) out.note(message);
    else out.error(message);
    return clean ? EXIT.ok : EXIT.failed;
  },
};

/** What a script wants to know of a mesh it leaves running: YAML in force, pods ready. */
function verdict(status: MeshStatus): number {
  if (status.sources.some((source) => source.errors.length > 0)) return EXIT.invalid;
  return status.trouble.length > 0 ? EXIT.failed : EXIT.ok;
}

function report({ out }: Invocation, { status, removed }: StartedMesh): void {
  out.line(
    `${out.paint('green', '✔')} the mesh runs: ${status.pods.ready} of ${status.pods.total} pods ready, state in ${status.stateDir}`,
  );
  for (const note of status.notes.filter((one) => !removed.includes(one))) out.note(`note: ${note}`);
  for (const source of status.sources) {
    for (const error of source.errors) out.error(problemText(error));
    if (source.errors.length > 0)
      out.note(`nothing of ${source.folder} is in force yet; it is read again as soon as it changes`);
  }
  for (const pod of status.trouble) printTrouble(out, pod);
}
