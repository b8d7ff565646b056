import { kindOf, type Kind } from '@ambit/common/model/kinds';
import { asMeshError } from '@ambit/common/errors';
import { parseAllDocuments } from 'yaml';
import { type Command, EXIT, type FlagValues, type Invocation, UsageError } from '../command.ts';
import type { Context } from '../context.ts';
import { expandFiles, FILENAME, fileTitle, readInput } from '../input-files.ts';
import { needKind, splitKinds } from '../kind-names.ts';
import { ObjectView } from '../object-view.ts';
import { RESULT_OUTPUT, Results } from '../results.ts';

/** `ambit delete KIND NAME` and `ambit delete -f FILE`. */
export const deleteCommand: Command = {
  name: 'delete',
  summary: 'Delete objects by name, by label, or those of a file.',
  usage: '(KIND NAME… | KIND/NAME… | KIND -l LABELS | KIND --all | -f FILE)',
  examples: [
    ['one object', 'ambit delete serviceentry httpbin -n istio-egress'],
    ['everything of a file', 'ambit delete -f policy.yaml'],
    ['all policies of a namespace', 'ambit delete authorizationpolicies --all -n apps'],
  ],
  flags: [
    FILENAME,
    { name: 'selector', short: 'l', value: 'LABELS', summary: 'objects with these labels (key=value,…)' },
    { name: 'all', summary: 'every object of the kind in the namespace' },
    { name: 'ignore-not-found', summary: 'what does not exist is no failure' },
    RESULT_OUTPUT,
  ],
  async run(invocation): Promise<number> {
    const { args, flags, out, context } = invocation;
    const results = new Results(out, flags.text('output'), (one) => `${one.kind.toLowerCase()} "${one.name}" deleted`);
    const targets = flags.has('filename') ? ofFiles(invocation) : await ofWords(args, flags, context);
    let failed = false;
    for (const { kind, namespace, name } of targets) {
      try {
        if (flags.has('ignore-not-found') && (await context.find(kind, namespace, name)) === undefined) continue;
        await context.need(kind, namespace, name);
        await context.api.delete(kind, namespace, name);
        results.add({ kind: kind.kind, namespace, name, action: 'deleted' });
      } catch (error) {
        // the others are deleted all the same, as kubectl does
        out.error(asMeshError(error).message);
        failed = true;
      }
    }
    results.end();
    return failed ? EXIT.failed : EXIT.ok;
  },
};

interface Target {
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string;
}

async function ofWords(args: readonly string[], flags: FlagValues, context: Context): Promise<Target[]> {
  const many = flags.has('all') || flags.has('selector');
  const groups = args.length === 0 ? [] : splitKinds(args);
  const named = groups.every((one) => one.names.length > 0);
  if (groups.length === 0 || (!named && !many))
    throw new UsageError('name a kind and an object, or a kind with -l or --all, or a file with -f');
  if (many && groups.some((one) => one.names.length > 0))
    throw new UsageError('names cannot be given together with -l or --all');
  const targets: Target[] = [];
  for (const { word, names } of groups) {
    const kind = needKind(word);
    const namespace = context.namespaceOf(kind);
    const meant = many ? await listed(context, kind, flags.text('selector')) : names;
    targets.push(...meant.map((name) => ({ kind, namespace, name })));
  }
  return targets;
}

async function listed(context: Context, kind: Kind, labelSelector: string | undefined): Promise<string[]> {
  const objects = await context.api.list(kind, context.namespaceOf(kind), { labelSelector });
  return objects.map((one) => one.metadata.name);
}

function ofFiles({ args, flags, context }: Invocation): Target[] {
  if (args.length > 0) throw new UsageError(`unexpected argument "${args[0]}" beside -f`);
  return expandFiles(flags.all('filename')).flatMap((file) =>
    parseAllDocuments(readInput(file)).flatMap((document) => {
      const object = new ObjectView(document.toJS());
      if (object.isEmpty) return [];
      const kind = kindOf(object.text('apiVersion'), object.text('kind'));
      if (kind === undefined || object.name === '') {
        throw new UsageError(
          `${fileTitle(file)}: ${object.text('apiVersion')} ${object.text('kind')} "${object.name}" is nothing the mesh knows; nothing was deleted`,
        );
      }
      const namespace = kind.namespaced ? object.namespace || context.namespace : undefined;
      return [{ kind, namespace, name: object.name }];
    }),
  );
}
