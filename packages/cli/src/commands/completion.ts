import { KINDS } from '@ambit/common/model/kinds';
import { type Command, UsageError } from '../command.ts';
import { bashScript, fishScript, type Words } from '../completion-scripts.ts';
import { GLOBAL_FLAGS } from '../parse.ts';

/** `ambit completion SHELL`: a script for the shell, made from the verbs, kinds and flags there are. */
export function completion(verbs: readonly Command[]): Command {
  const own: Command = {
    name: 'completion',
    summary: 'Print a completion script for bash, zsh or fish.',
    usage: 'bash|zsh|fish',
    examples: [
      ['for this bash', 'source <(ambit completion bash)'],
      ['for every zsh', 'ambit completion zsh > "${fpath[1]}/_ambit"'],
      ['for every fish', 'ambit completion fish > ~/.config/fish/completions/ambit.fish'],
    ],
    async run({ args, out }) {
      const words = completionWords([...verbs, own]);
      switch (args.length > 1 ? args.join(' ') : (args[0] ?? '')) {
        case 'bash':
          out.line(bashScript(words));
          return 0;
        case 'zsh':
          out.line(`#compdef ambit\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(words)}`);
          return 0;
        case 'fish':
          out.line(fishScript(words));
          return 0;
        default:
          throw new UsageError(
            `name a shell: bash, zsh or fish${args[0] === undefined ? '' : `, not "${args.join(' ')}"`}`,
          );
      }
    },
  };
  return own;
}

/** What may follow each verb. */
function completionWords(verbs: readonly Command[]): Words {
  const kinds = ['waypoints', ...KINDS.map((kind) => kind.plural)];
  const next = new Map<string, string[]>();
  const flags = new Map<string, string[]>();
  for (const verb of verbs) {
    if (verb.commands !== undefined)
      next.set(
        verb.name,
        verb.commands.map((one) => one.name),
      );
    const all = [...GLOBAL_FLAGS, ...(verb.flags ?? []), ...(verb.commands ?? []).flatMap((one) => one.flags ?? [])];
    flags.set(verb.name, [...new Set(all.map((one) => `--${one.name}`))].sort());
  }
  for (const verb of ['get', 'delete', 'label']) next.set(verb, kinds);
  next.set('get', ['all', ...kinds]);
  next.set('completion', ['bash', 'zsh', 'fish']);
  next.set('metrics', ['ztunnel']);
  return { verbs: [...verbs.map((verb) => verb.name), 'help'], next, flags };
}
