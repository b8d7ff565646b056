import { type Command, EXIT, UsageError } from '../command.ts';
import { expandFiles, FILENAME, fileTitle, readInput } from '../input-files.ts';
import { objectName, RESULT_OUTPUT, Results } from '../results.ts';

/** `ambit apply -f FILE`. */
export const apply: Command = {
  name: 'apply',
  summary: 'Create or change objects from YAML; a file with one mistake changes nothing.',
  usage: '-f FILE|FOLDER|-',
  examples: [
    ['apply a file', 'ambit apply -f policy.yaml'],
    ['check it only', 'ambit apply -f policy.yaml --dry-run'],
    ['from standard input', 'ambit waypoint generate -n apps | ambit apply -f -'],
  ],
  flags: [
    FILENAME,
    {
      name: 'dry-run',
      words: ['server', 'client', 'none'],
      summary: 'validate and say what would happen; =server and =client mean the same here',
    },
    RESULT_OUTPUT,
  ],
  async run({ flags, args, out, context }) {
    if (args.length > 0) throw new UsageError(`unexpected argument "${args[0]}"; files are named with -f`);
    const dryRun = flags.has('dry-run') && flags.text('dry-run') !== 'none';
    const results = new Results(
      out,
      flags.text('output'),
      (one) => `${objectName(one.kind, one.name)} ${one.action}${dryRun ? ' (dry run)' : ''}`,
    );
    for (const file of expandFiles(flags.all('filename'))) {
      for (const one of await context.api.apply(readInput(file), { file: fileTitle(file), dryRun })) {
        results.add(one);
        for (const warning of one.warnings ?? []) out.note(`Warning: ${warning}`);
      }
    }
    results.end();
    return EXIT.ok;
  },
};
