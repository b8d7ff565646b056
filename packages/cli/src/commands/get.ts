import type { Kind } from '@ambit/common/model/kinds';
import type { ApiClient } from '@ambit/standalone/api/client';
import { type Command, EXIT, type Invocation, UsageError } from '../command.ts';
import { objectTable } from '../columns.ts';
import { GATEWAY, needKind } from '../context.ts';
import { ObjectView } from '../object-view.ts';
import { type Format, parseFormat } from '../output.ts';

type KubeObject = Awaited<ReturnType<ApiClient['get']>>;

/** `ambit get KIND [NAME]`. */
export const get: Command = {
  name: 'get',
  summary: 'Show objects as the mesh has them, status included.',
  usage: 'KIND[,KIND] [NAME…]',
  examples: [
    ['waypoints of all namespaces', 'ambit get waypoints -A'],
    ['addresses and conditions of an external host', 'ambit get serviceentry httpbin -n istio-egress -o yaml'],
    ['pods, with more columns', 'ambit get pods -o wide'],
  ],
  flags: [
    { name: 'all-namespaces', short: 'A', summary: 'objects of every namespace' },
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json, yaml, name or wide' },
    { name: 'selector', short: 'l', value: 'LABELS', summary: 'only objects with these labels (key=value,…)' },
    { name: 'watch', short: 'w', summary: 'go on printing changes' },
  ],
  async run(invocation): Promise<number> {
    const [words, ...names] = invocation.args;
    if (words === undefined) throw new UsageError('name a kind, such as pods, serviceentries or waypoints');
    const format = parseFormat(invocation.flags.text('output'));
    const views = words.split(',').map(viewOf);
    for (const view of views) await show(invocation, view, { names, format, prefix: views.length > 1 });
    const [first] = views;
    if (invocation.flags.has('watch') && first !== undefined) await follow(invocation, first, format);
    return EXIT.ok;
  },
};

/** A kind, or the part of it that belongs to a word of its own: waypoints are Gateways of a waypoint class. */
interface View {
  readonly kind: Kind;
  readonly title: string;
  readonly plural: string;
  accepts(object: ObjectView): boolean;
}

function viewOf(word: string): View {
  if (/^waypoints?$/i.test(word)) {
    return {
      kind: GATEWAY,
      title: 'waypoint',
      plural: 'waypoints',
      accepts: (object) => object.text('spec.gatewayClassName').endsWith('-waypoint'),
    };
  }
  const kind = needKind(word);
  return { kind, title: kind.kind, plural: kind.plural, accepts: () => true };
}

interface Shown {
  readonly names: readonly string[];
  readonly format: Format;
  readonly prefix: boolean;
}

async function show(invocation: Invocation, view: View, shown: Shown): Promise<void> {
  const { out, context } = invocation;
  const namespace = view.kind.namespaced ? context.listNamespace : undefined;
  const objects = await read(invocation, view, { namespace, names: shown.names });
  if (shown.format === 'json' || shown.format === 'yaml') {
    const value = shown.names.length === 1 ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
    if (shown.format === 'json') out.json(value);
    else out.yaml(value);
  } else if (shown.format === 'name') {
    for (const object of objects) out.line(`${view.kind.kind.toLowerCase()}/${object.metadata.name}`);
  } else if (objects.length === 0) {
    out.note(`No ${view.plural} found${namespace === undefined ? '' : ` in ${namespace} namespace`}.`);
  } else {
    printTable(invocation, view, { ...shown, objects: objects.map((object) => new ObjectView(object)).sort(byName) });
  }
}

async function read(
  { flags, context }: Invocation,
  view: View,
  wanted: { namespace: string | undefined; names: readonly string[] },
): Promise<KubeObject[]> {
  const { namespace, names } = wanted;
  if (names.length > 0) {
    const own = view.kind.namespaced ? (namespace ?? context.namespace) : undefined;
    return Promise.all(names.map((name) => context.api.get(view.kind, own, name)));
  }
  const all = await context.api.list(view.kind, namespace, { labelSelector: flags.text('selector') });
  return all.filter((one) => view.accepts(new ObjectView(one)));
}

function printTable({ flags, out }: Invocation, view: View, shown: Shown & { objects: readonly ObjectView[] }): void {
  const { header, rows } = objectTable(view.title, shown.objects, {
    wide: shown.format === 'wide',
    namespaces: flags.has('all-namespaces') && view.kind.namespaced,
  });
  const name = header.indexOf('NAME');
  const prefix = `${view.kind.kind.toLowerCase()}/`;
  out.table(
    header,
    shown.prefix ? rows.map((row) => row.map((cell, i) => (i === name ? prefix + cell : cell))) : rows,
    3,
  );
}

const byName = (a: ObjectView, b: ObjectView): number =>
  a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name);

/** Prints a row for each later change until interrupted. */
async function follow({ out, context, flags }: Invocation, view: View, format: Format): Promise<void> {
  const namespace = view.kind.namespaced ? context.listNamespace : undefined;
  for await (const event of context.api.watch(view.kind, namespace)) {
    const object = new ObjectView(event.object);
    if (!view.accepts(object)) continue;
    if (format === 'json') out.line(JSON.stringify(event));
    else if (format === 'yaml') out.yaml(event);
    else {
      const table = objectTable(view.title, [object], {
        wide: format === 'wide',
        namespaces: flags.has('all-namespaces'),
      });
      out.line([event.type, ...(table.rows[0] ?? [])].join('   '));
    }
  }
}
