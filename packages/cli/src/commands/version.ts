import { existsSync, readFileSync } from 'node:fs';
import { type Command, EXIT } from '../command.ts';
import { parseFormat } from '../output.ts';

/** `ambit version`. */
export const version: Command = {
  name: 'version',
  summary: 'Print the version of this program and of the mesh that runs.',
  examples: [['this program only', 'ambit version --client']],
  flags: [
    { name: 'client', summary: 'do not ask the mesh' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json or yaml' },
  ],
  async run({ flags, out, context }) {
    const format = parseFormat(flags.text('output'), ['table', 'wide', 'json', 'yaml']);
    const asked = !flags.has('client') && existsSync(`${context.stateDir}/api.sock`);
    // a socket that nobody listens on is left of a mesh that has ended
    const mesh = asked ? await context.api.status().catch(() => undefined) : undefined;
    const value = { clientVersion: readVersion(), node: process.version, meshVersion: mesh?.version };
    if (format === 'json') out.json(value);
    else if (format === 'yaml') out.yaml(value);
    else {
      out.line(`client version: ${value.clientVersion} (Node ${value.node})`);
      if (mesh !== undefined) out.line(`mesh version: ${mesh.version}`);
      else if (!flags.has('client')) out.note(`no mesh is running here (${context.stateDir})`);
    }
    return EXIT.ok;
  },
};

/** The version of all packages: they are released together. */
export function readVersion(): string {
  const own: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return own.version;
}
