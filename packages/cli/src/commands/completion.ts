import { KINDS } from '@ambit/common/model/kinds';
import { type Command, UsageError } from '../command.ts';

/** `ambit completion SHELL`: a script for the shell, made from the verbs and kinds there are. */
export function completion(verbs: readonly Command[]): Command {
  return {
    name: 'completion',
    summary: 'Print a completion script for bash, zsh or fish.',
    usage: 'bash|zsh|fish',
    examples: [['for this bash', 'source <(ambit completion bash)']],
    async run({ args, out }) {
      const words = wordTable(verbs);
      switch (args[0] ?? '') {
        case 'bash':
          out.line(bash(words));
          return 0;
        case 'zsh':
          out.line(`#compdef ambit\nautoload -U +X bashcompinit && bashcompinit\n${bash(words)}`);
          return 0;
        case 'fish':
          out.line(fish(words));
          return 0;
        default:
          throw new UsageError(`name a shell: bash, zsh or fish${args[0] === undefined ? '' : `, not "${args[0]}"`}`);
      }
    },
  };
}

/** What may follow: '' for the first word, a verb for its second. */
function wordTable(verbs: readonly Command[]): Map<string, string[]> {
  const kinds = ['waypoints', ...KINDS.map((kind) => kind.plural)];
  const table = new Map([['', [...verbs.map((verb) => verb.name), 'completion']]]);
  for (const verb of verbs)
    if (verb.commands)
      table.set(
        verb.name,
        verb.commands.map((one) => one.name),
      );
  for (const verb of ['get', 'delete', 'label']) table.set(verb, kinds);
  table.set('completion', ['bash', 'zsh', 'fish']);
  return table;
}

function bash(words: ReadonlyMap<string, readonly string[]>): string {
  const cases = [...words]
    .filter(([verb]) => verb !== '')
    .map(([verb, next]) => `    ${verb}) words="${next.join(' ')}" ;;`);
  return `_ambit() {
  local words=""
  if [ "$COMP_CWORD" -eq 1 ]; then words="${words.get('')?.join(' ')}"
  else case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _ambit ambit`;
}

function fish(words: ReadonlyMap<string, readonly string[]>): string {
  const first = `complete -c ambit -f -n __fish_use_subcommand -a "${words.get('')?.join(' ')}"`;
  const rest = [...words]
    .filter(([verb]) => verb !== '')
    .map(([verb, next]) => `complete -c ambit -f -n "__fish_seen_subcommand_from ${verb}" -a "${next.join(' ')}"`);
  return [first, ...rest].join('\n');
}
