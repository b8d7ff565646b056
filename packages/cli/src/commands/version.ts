import { readFileSync } from 'node:fs';
import { type Command, EXIT } from '../command.ts';
import { parseFormat } from '../output.ts';

/** `ambit version`. */
export const version: Command = {
  name: 'version',
  summary: 'Print the version of this program and of Node.',
  flags: [{ name: 'output', short: 'o', value: 'FORMAT', summary: 'json or yaml' }],
  async run({ flags, out }) {
    const format = parseFormat(flags.text('output'), ['table', 'json', 'yaml']);
    const value = { clientVersion: readVersion(), node: process.version };
    if (format === 'json') out.json(value);
    else if (format === 'yaml') out.yaml(value);
    else out.line(`client version: ${value.clientVersion} (Node ${value.node})`);
    return EXIT.ok;
  },
};

/** The version of all packages: they are released together. */
export function readVersion(): string {
  const own: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return own.version;
}
