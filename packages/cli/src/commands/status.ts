import type { MeshStatus, PodTrouble, SourceStatus } from '@ambit/standalone/api/client';
import type { Command } from '../command.ts';
import { type Output, parseFormat, problemText } from '../output.ts';

/** `ambit status`. */
export const status: Command = {
  name: 'status',
  summary: 'Say how the mesh is: its programs, its folders, pods in trouble.',
  examples: [['for scripts', 'ambit status -o json']],
  flags: [{ name: 'output', short: 'o', value: 'FORMAT', summary: 'json, yaml or wide' }],
  async run({ flags, out, context }) {
    const format = parseFormat(flags.text('output'), ['table', 'wide', 'json', 'yaml']);
    const mesh = await context.api.status();
    if (format === 'json') out.json(mesh);
    else if (format === 'yaml') out.yaml(mesh);
    else printStatus(out, mesh, format === 'wide');
    return healthy(mesh) ? 0 : 1;
  },
};

const healthy = (mesh: MeshStatus): boolean =>
  mesh.trouble.length === 0 &&
  mesh.programs.every((one) => one.ready) &&
  mesh.sources.every((one) => one.errors.length === 0);

const marked = (out: Output, good: boolean, text: string): void =>
  out.line(`${good ? out.paint('green', '✔') : out.paint('red', '✘')} ${text}`);

function printStatus(out: Output, mesh: MeshStatus, wide: boolean): void {
  if (wide) out.line(`started ${mesh.startedAt}`);
  out.line(`mesh ${mesh.version}, pid ${mesh.pid}${mesh.rootless ? ', without root' : ''}, state in ${mesh.stateDir}`);
  for (const one of mesh.programs) {
    const restarts = one.restarts > 0 || wide ? `, ${one.restarts} restarts` : '';
    marked(out, one.ready, `${one.name}${one.detail === '' ? '' : `: ${one.detail}`}${restarts}`);
  }
  marked(out, mesh.pods.ready === mesh.pods.total, `pods: ${mesh.pods.ready} of ${mesh.pods.total} ready`);
  for (const one of mesh.sources) printSource(out, one);
  for (const one of mesh.trouble) printTrouble(out, one);
  for (const wait of mesh.waitingFor) out.line(`  waiting for ${wait}`);
  for (const note of mesh.notes) out.line(`  note: ${note}`);
}

function printSource(out: Output, source: SourceStatus): void {
  const good = source.errors.length === 0;
  marked(out, good, `files: ${source.folder}${good ? '' : ': the last good version is in force'}`);
  for (const error of source.errors) {
    out.line(`    ${problemText(error)}`);
  }
}

/** A pod in trouble with the last lines it printed. */
export function printTrouble(out: Output, pod: PodTrouble): void {
  marked(out, false, `pod ${pod.namespace}/${pod.name}: ${pod.reason}${pod.message === '' ? '' : `, ${pod.message}`}`);
  for (const line of pod.lastLines) out.line(out.paint('dim', `    | ${line}`));
}
