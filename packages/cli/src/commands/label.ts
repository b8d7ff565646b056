import { type Command, EXIT, UsageError } from '../command.ts';
import { needKind } from '../context.ts';
import { ObjectView } from '../object-view.ts';

/** `ambit label KIND NAME key=value key-`. */
export const label: Command = {
  name: 'label',
  summary: 'Set or remove labels of an object.',
  usage: 'KIND NAME KEY=VALUE… KEY-…',
  examples: [
    ['put a namespace into the mesh', 'ambit label namespace default istio.io/dataplane-mode=ambient'],
    ['take a service off its waypoint', 'ambit label service echo -n apps istio.io/use-waypoint=none'],
    ['remove a label', 'ambit label namespace default istio.io/dataplane-mode-'],
  ],
  flags: [{ name: 'overwrite', summary: 'replace a label that has another value' }],
  async run({ args, flags, out, context }) {
    const [word, name, ...changes] = args;
    if (word === undefined || name === undefined || changes.length === 0)
      throw new UsageError('name a kind, an object and labels such as key=value or key-');
    const kind = needKind(word);
    const namespace = kind.namespaced ? context.namespace : undefined;
    const labels = Object.fromEntries(changes.map(parseChange));
    const current = new ObjectView(await context.api.get(kind, namespace, name));
    for (const [key, value] of Object.entries(labels)) {
      const old = current.label(key);
      if (value !== null && old !== undefined && old !== value && !flags.has('overwrite')) {
        throw new UsageError(`label "${key}" is "${old}" already; --overwrite replaces it`);
      }
    }
    await context.api.merge(kind, namespace, name, { metadata: { labels } });
    const verb = Object.values(labels).every((value) => value === null) ? 'unlabeled' : 'labeled';
    out.line(`${kind.kind.toLowerCase()}/${name} ${verb}`);
    return EXIT.ok;
  },
};

function parseChange(change: string): [key: string, value: string | null] {
  const equals = change.indexOf('=');
  if (equals > 0) return [change.slice(0, equals), change.slice(equals + 1)];
  if (change.endsWith('-') && change.length > 1) return [change.slice(0, -1), null];
  throw new UsageError(`"${change}" is no label change; expected KEY=VALUE or KEY-`);
}
