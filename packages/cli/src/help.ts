import type { Command, Flag } from './command.ts';
import { GLOBAL_FLAGS } from './parse.ts';
import { alignColumns } from './table.ts';

/** The help text of a command: what it does, how it is called, examples, subcommands, flags. */
export function helpText(path: readonly Command[]): string {
  const command = path.at(-1);
  if (command === undefined) return '';
  const name = path.map((one) => one.name).join(' ');
  const parts = [command.summary, `Usage:\n  ${name}${usageOf(command)}`];
  if (command.examples?.length)
    parts.push(`Examples:\n${command.examples.map(([what, line]) => `  # ${what}\n  ${line}`).join('\n')}`);
  if (command.commands) parts.push(`Commands:\n${rows(command.commands.map((one) => [one.name, one.summary]))}`);
  const flags = path.slice(1).flatMap((one) => one.flags ?? []);
  if (flags.length > 0) parts.push(`Flags:\n${rows(flags.map(flagRow))}`);
  parts.push(`Global flags:\n${rows(GLOBAL_FLAGS.map(flagRow))}`);
  if (command.commands) parts.push(`Use "${name} COMMAND --help" for more about a command.`);
  return parts.join('\n\n');
}

/** Flags stand before the words of another program, behind our own. */
function usageOf(command: Command): string {
  const words = command.usage ?? (command.commands ? 'COMMAND' : '');
  if (command.passesRest === true) return ` [flags] ${words}`;
  return words === '' ? ' [flags]' : ` ${words} [flags]`;
}

const rows = (cells: readonly (readonly string[])[]): string =>
  alignColumns(cells, 3)
    .map((line) => `  ${line}`)
    .join('\n');

const flagRow = (flag: Flag): string[] => [
  `${flag.short ? `-${flag.short}, ` : '    '}--${flag.name}${flag.value ? ` ${flag.value}` : ''}`,
  flag.summary,
];
