import { asMeshError } from '@ambit/common/errors';
import { ValidationFailure } from '@ambit/standalone/api/client';
import { type Command, EXIT, UsageError } from './command.ts';
import { readConfig } from './config.ts';
import { Context } from './context.ts';
import { helpText } from './help.ts';
import { Output, problemText } from './output.ts';
import { type ParsedLine, parseLine } from './parse.ts';
import { ROOT } from './root.ts';

const config = readConfig();
const out = new Output({ stdout: process.stdout, stderr: process.stderr, colour: config.colour });
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // the reader of a pipe (`head`) went away: nothing that is still to be printed has a reader
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
}
process.exitCode = await run(process.argv.slice(2));

/** Runs one command line and gives its exit code; everything it has to say is printed. */
async function run(words: readonly string[]): Promise<number> {
  let path: readonly Command[] = [ROOT];
  try {
    const line = parseLine(ROOT, words[0] === 'help' ? [...words.slice(1), '--help'] : words);
    path = line.path;
    const command = path.at(-1) ?? ROOT;
    if (line.flags.has('help') || command.run === undefined) {
      out.line(helpText(path));
      return EXIT.ok;
    }
    checkWords(line, command);
    const context = new Context(config, line.flags);
    return await command.run({ args: line.args, rest: line.rest, flags: line.flags, out, context });
  } catch (error) {
    return explain(error, path);
  } finally {
    out.endProgress();
  }
}

/** A command whose usage names no words takes none. */
function checkWords({ args }: ParsedLine, command: Command): void {
  if (command.usage === undefined && args.length > 0)
    throw new UsageError(`unexpected argument "${args[0]}": "${command.name}" takes flags only`);
}

function explain(error: unknown, path: readonly Command[]): number {
  out.endProgress();
  if (error instanceof UsageError) {
    out.error(error.message);
    out.note(`See '${(error.path ?? path).map((one) => one.name).join(' ')} --help'.`);
    return EXIT.usage;
  }
  if (error instanceof ValidationFailure) {
    for (const one of error.errors) out.error(problemText(one));
    return EXIT.invalid;
  }
  for (const sentence of asMeshError(error).message.split('\n')) out.error(sentence);
  return EXIT.failed;
}
