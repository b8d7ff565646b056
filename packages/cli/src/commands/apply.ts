import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MeshError } from '@ambit/common/errors';
import { type Command, EXIT, UsageError } from '../command.ts';

/** `ambit apply -f FILE`. */
export const apply: Command = {
  name: 'apply',
  summary: 'Create or change objects from YAML; a file with one mistake changes nothing.',
  usage: '-f FILE|FOLDER|-',
  examples: [
    ['apply a file', 'ambit apply -f policy.yaml'],
    ['check it only', 'ambit apply -f policy.yaml --dry-run'],
    ['from standard input', 'ambit apply -f - < policy.yaml'],
  ],
  flags: [
    {
      name: 'filename',
      short: 'f',
      value: 'FILE',
      multiple: true,
      summary: 'file, folder of *.yaml, or - for standard input',
    },
    { name: 'dry-run', summary: 'validate and say what would happen' },
  ],
  async run({ flags, args, out, context }) {
    if (args.length > 0) throw new UsageError(`unexpected argument "${args[0]}"; files are named with -f`);
    const files = expandFiles(flags.all('filename'));
    for (const file of files) {
      const results = await context.api.apply(readInput(file), { file, dryRun: flags.has('dry-run') });
      for (const one of results) {
        out.line(`${one.kind.toLowerCase()}/${one.name} ${one.action}${flags.has('dry-run') ? ' (dry run)' : ''}`);
      }
    }
    return EXIT.ok;
  },
};

/** Folders become their *.yaml, *.yml and *.json files, in order of name, as kubectl takes them. */
export function expandFiles(names: readonly string[]): string[] {
  if (names.length === 0) throw new UsageError('must specify -f FILE');
  return names.flatMap((name) => {
    if (name === '-' || !isFolder(name)) return [name];
    const files = readdirSync(name)
      .filter((file) => /\.(ya?ml|json)$/.test(file))
      .sort();
    return files.map((file) => join(name, file));
  });
}

/** The text of a file, or all of standard input for `-`. */
export function readInput(name: string): string {
  return readFileSync(name === '-' ? 0 : name, 'utf8');
}

function isFolder(name: string): boolean {
  try {
    return statSync(name).isDirectory();
  } catch (error) {
    throw new MeshError('CONFIG', `cannot read "${name}": no such file or folder`, { cause: error });
  }
}
