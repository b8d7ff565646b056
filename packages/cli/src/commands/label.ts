import { MeshError } from '@ambit/common/errors';
import { type Command, EXIT, type FlagValues, UsageError } from '../command.ts';
import type { Context } from '../context.ts';
import { needKind, splitKinds } from '../kind-names.ts';
import { ObjectView } from '../object-view.ts';
import { objectName, RESULT_OUTPUT, Results } from '../results.ts';

/** `ambit label KIND NAME key=value key-`. */
export const label: Command = {
  name: 'label',
  summary: 'Set or remove labels of objects.',
  usage: '(KIND NAME… | KIND/NAME… | KIND --all) KEY=VALUE… KEY-…',
  examples: [
    ['put a namespace into the mesh', 'ambit label namespace default istio.io/dataplane-mode=ambient'],
    ['take a service off its waypoint', 'ambit label service echo -n apps istio.io/use-waypoint=none'],
    ['remove a label', 'ambit label namespace default istio.io/dataplane-mode-'],
  ],
  flags: [
    { name: 'overwrite', summary: 'replace a label that has another value' },
    { name: 'all', summary: 'every object of the kind in the namespace' },
    RESULT_OUTPUT,
  ],
  async run({ args, flags, out, context }) {
    const first = args.findIndex(isChange);
    const words = first < 0 ? args : args.slice(0, first);
    if (words.length === 0 || (first < 0 && words.length < 3))
      throw new UsageError('name a kind, an object and labels such as key=value or key-');
    const changes = Object.fromEntries(args.slice(first < 0 ? words.length - 1 : first).map(parseChange));
    const results = new Results(out, flags.text('output'), (one) => `${objectName(one.kind, one.name)} ${one.action}`);
    for (const { word, names } of splitKinds(words)) {
      const kind = needKind(word);
      const namespace = context.namespaceOf(kind);
      for (const name of await namesOf(context, flags, { word, names })) {
        const current = new ObjectView(await context.need(kind, namespace, name));
        const action = actionOf(current, changes, flags.has('overwrite'));
        await context.api.merge(kind, namespace, name, { metadata: { labels: changes } });
        results.add({ kind: kind.kind, namespace, name, action });
      }
    }
    results.end();
    return EXIT.ok;
  },
};

const isChange = (word: string): boolean => word.includes('=') || word.endsWith('-');

type Changes = Readonly<Record<string, string | null>>;

async function namesOf(
  context: Context,
  flags: FlagValues,
  meant: { word: string; names: readonly string[] },
): Promise<readonly string[]> {
  if (meant.names.length > 0) return meant.names;
  if (!flags.has('all')) throw new UsageError('name an object, or all of the namespace with --all');
  const kind = needKind(meant.word);
  return (await context.api.list(kind, context.namespaceOf(kind))).map((one) => one.metadata.name);
}

/** kubectl's words for what the changes amount to. Throws when a label has another value and may not be replaced. */
function actionOf(current: ObjectView, changes: Changes, overwrite: boolean): string {
  let changed = false;
  let set = false;
  for (const [key, value] of Object.entries(changes)) {
    const old = current.label(key);
    if (value !== null && old !== undefined && old !== value && !overwrite)
      throw new MeshError('CONFIG', `"${current.name}": label ${key} is "${old}" already; --overwrite replaces it`);
    changed ||= (value ?? undefined) !== old;
    set ||= value !== null;
  }
  if (!changed) return 'not labeled';
  return set ? 'labeled' : 'unlabeled';
}

function parseChange(change: string): [key: string, value: string | null] {
  const equals = change.indexOf('=');
  if (equals > 0) return [change.slice(0, equals), change.slice(equals + 1)];
  if (change.endsWith('-') && change.length > 1) return [change.slice(0, -1), null];
  throw new UsageError(`"${change}" is no label change; expected KEY=VALUE or KEY-`);
}
