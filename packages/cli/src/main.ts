import { asMeshError } from '@ambit/common/errors';
import { ValidationFailure } from '@ambit/standalone/api/client';
import { type Command, EXIT, UsageError } from './command.ts';
import { readConfig } from './config.ts';
import { Context } from './context.ts';
import { helpText } from './help.ts';
import { Output } from './output.ts';
import { parseLine } from './parse.ts';
import { ROOT } from './root.ts';

const config = readConfig();
const out = new Output({ stdout: process.stdout, stderr: process.stderr, colour: config.colour });
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // the reader of a pipe (`head`) went away
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
});
process.exitCode = await run(process.argv.slice(2));

/** Runs one command line and gives its exit code; everything it has to say is printed. */
async function run(words: readonly string[]): Promise<number> {
  let path: readonly Command[] = [ROOT];
  try {
    const line = parseLine(ROOT, words);
    path = line.path;
    const command = path.at(-1) ?? ROOT;
    if (line.flags.has('help') || command.run === undefined) {
      out.line(helpText(path));
      return line.flags.has('help') || words.length === 0 ? EXIT.ok : EXIT.usage;
    }
    const context = new Context(config, line.flags);
    return await command.run({ args: line.args, rest: line.rest, flags: line.flags, out, context });
  } catch (error) {
    return explain(error, path);
  }
}

function explain(error: unknown, path: readonly Command[]): number {
  if (error instanceof UsageError) {
    out.error(error.message);
    out.note(`\nSee '${path.map((one) => one.name).join(' ')} --help'.`);
    return EXIT.usage;
  }
  if (error instanceof ValidationFailure) {
    for (const one of error.errors) {
      out.error(`${one.file}:${one.line}:${one.column}: ${one.field === '' ? '' : `${one.field}: `}${one.message}`);
    }
    return EXIT.invalid;
  }
  out.error(asMeshError(error).message);
  return EXIT.failed;
}
