import { kindOf } from '@ambit/common/model/kinds';
import { parseAllDocuments } from 'yaml';
import { type Command, EXIT, type Invocation, UsageError } from '../command.ts';
import { needKind } from '../context.ts';
import { ObjectView } from '../object-view.ts';
import { expandFiles, readInput } from './apply.ts';

/** `ambit delete KIND NAME` and `ambit delete -f FILE`. */
export const deleteCommand: Command = {
  name: 'delete',
  summary: 'Delete objects by name or those of a file.',
  usage: '(KIND NAME… | -f FILE)',
  examples: [
    ['one object', 'ambit delete serviceentry httpbin -n istio-egress'],
    ['everything of a file', 'ambit delete -f policy.yaml'],
  ],
  flags: [
    {
      name: 'filename',
      short: 'f',
      value: 'FILE',
      multiple: true,
      summary: 'file, folder of *.yaml, or - for standard input',
    },
  ],
  async run(invocation): Promise<number> {
    if (invocation.flags.has('filename')) return deleteFiles(invocation);
    const [word, ...names] = invocation.args;
    if (word === undefined || names.length === 0) throw new UsageError('name a kind and an object, or a file with -f');
    const kind = needKind(word);
    for (const name of names) {
      await invocation.context.api.delete(kind, kind.namespaced ? invocation.context.namespace : undefined, name);
      invocation.out.line(`${kind.kind.toLowerCase()} "${name}" deleted`);
    }
    return EXIT.ok;
  },
};

async function deleteFiles({ flags, out, context }: Invocation): Promise<number> {
  for (const file of expandFiles(flags.all('filename'))) {
    for (const document of parseAllDocuments(readInput(file))) {
      const object = new ObjectView(document.toJS());
      const kind = kindOf(object.text('apiVersion'), object.text('kind'));
      if (kind === undefined) continue;
      await context.api.delete(kind, kind.namespaced ? object.namespace || context.namespace : undefined, object.name);
      out.line(`${kind.kind.toLowerCase()} "${object.name}" deleted`);
    }
  }
  return EXIT.ok;
}
