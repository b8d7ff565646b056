import type { KubeObject } from '@ambit/standalone/api/client';
import { countBound } from '../bound-services.ts';
import { type Command, EXIT, type FlagValues, type Invocation, UsageError } from '../command.ts';
import { splitKinds } from '../kind-names.ts';
import { ordered } from '../object-order.ts';
import { ObjectView } from '../object-view.ts';
import { type Format, parseFormat } from '../output.ts';
import { objectName } from '../results.ts';
import { tableOf, type View, viewOf } from '../view.ts';
import { watch } from '../watch.ts';

/** `ambit get KIND [NAME]`. */
export const get: Command = {
  name: 'get',
  summary: 'Show objects as the mesh has them, status included.',
  usage: '(KIND[,KIND] [NAME…] | KIND/NAME…)',
  examples: [
    ['waypoints of all namespaces', 'ambit get waypoints -A'],
    ['addresses and conditions of an external host', 'ambit get serviceentry httpbin -n istio-egress -o yaml'],
    ['pods, with more columns', 'ambit get pods -o wide'],
    ['everything that runs or steers traffic', 'ambit get all -A'],
    ['what changes, as it changes', 'ambit get serviceentries -A -w'],
  ],
  flags: [
    { name: 'all-namespaces', short: 'A', summary: 'objects of every namespace' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json, yaml, name or wide' },
    { name: 'selector', short: 'l', value: 'LABELS', summary: 'only objects with these labels (key=value,…)' },
    { name: 'watch', short: 'w', summary: 'go on printing changes' },
    { name: 'output-watch-events', summary: 'with --watch: say ADDED, MODIFIED or DELETED' },
    { name: 'no-headers', summary: 'tables without their first line' },
  ],
  async run(invocation): Promise<number> {
    const { args, flags, out } = invocation;
    if (args.length === 0) throw new UsageError('name a kind, such as pods, serviceentries or waypoints');
    const format = parseFormat(flags.text('output'));
    const views = splitKinds(args).map(({ word, names }) => viewOf(word, names));
    const [first] = views;
    checkFlags(flags, views);
    if (flags.has('watch') && first !== undefined) return watch(invocation, first, format);
    const found = await Promise.all(views.map(async (view) => ({ view, objects: await read(invocation, view) })));
    if (format === 'json') out.json(wholeOf(found));
    else if (format === 'yaml') out.yaml(wholeOf(found));
    else if (format === 'name') {
      for (const { view, objects } of found)
        for (const object of objects) out.line(objectName(view.kind.kind, object.metadata.name));
    } else await printTables(invocation, found, format);
    return EXIT.ok;
  },
};

interface Found {
  readonly view: View;
  readonly objects: readonly KubeObject[];
}

function checkFlags(flags: FlagValues, views: readonly View[]): void {
  const named = views.some((view) => view.names.length > 0);
  if (named && flags.has('all-namespaces') && views.some((view) => view.kind.namespaced))
    throw new UsageError('an object cannot be named across all namespaces: choose one with -n');
  if (named && flags.has('selector')) throw new UsageError('names cannot be given together with -l');
  if (flags.has('watch') && views.length > 1) throw new UsageError('--watch takes one kind');
}

async function read({ flags, context }: Invocation, view: View): Promise<KubeObject[]> {
  if (view.names.length > 0) {
    const namespace = context.namespaceOf(view.kind);
    return Promise.all(view.names.map((name) => context.need(view.kind, namespace, name)));
  }
  const namespace = view.kind.namespaced ? context.listNamespace : undefined;
  const all = await context.api.list(view.kind, namespace, { labelSelector: flags.text('selector') });
  return all.filter((one) => view.accepts(new ObjectView(one)));
}

/** The one object that was named, else a List of all. */
function wholeOf(found: readonly Found[]): unknown {
  const objects = found.flatMap((one) => one.objects).map(ordered);
  const named = found.length === 1 && found[0]?.view.names.length === 1;
  return named ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
}

async function printTables(invocation: Invocation, found: readonly Found[], format: Format): Promise<void> {
  const { out, context, flags } = invocation;
  const filled = found.filter(({ objects }) => objects.length > 0);
  if (filled.length === 0) {
    const [only, ...more] = found;
    const what = only === undefined || more.length > 0 ? 'objects' : only.view.plural;
    const where = only?.view.kind.namespaced === true ? context.listNamespace : undefined;
    out.note(`No ${what} found${where === undefined ? '' : ` in ${where} namespace`}.`);
  }
  const bound = filled.some(({ view }) => view.title === 'waypoint') ? await countBound(context) : undefined;
  filled.forEach(({ view, objects }, i) => {
    if (i > 0) out.line('');
    const { header, rows } = tableOf(view, objects, { format, flags, bound });
    const shown = found.length > 1 ? withKind(view, header, rows) : rows;
    if (flags.has('no-headers')) out.table(shown[0] ?? [], shown.slice(1), 3);
    else out.table(header, shown, 3);
  });
}

/** `service/echo` where several kinds are shown. */
function withKind(view: View, header: readonly string[], rows: readonly string[][]): string[][] {
  const name = header.indexOf('NAME');
  return rows.map((row) => row.map((cell, i) => (i === name ? objectName(view.kind.kind, cell) : cell)));
}
