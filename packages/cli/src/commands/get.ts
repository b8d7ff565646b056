import type { Kind } from '@ambit/common/model/kinds';
import { type Command, type Invocation, UsageError } from '../command.ts';
import { objectTable } from '../columns.ts';
import { GATEWAY, needKind } from '../context.ts';
import { ObjectView } from '../object-view.ts';
import { type Format, parseFormat } from '../output.ts';

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
  async run(invocation) {
    const [words, ...names] = invocation.args;
    if (words === undefined) throw new UsageError('name a kind, such as pods, serviceentries or waypoints');
    const format = parseFormat(invocation.flags.text('output'));
    const views = words.split(',').map(viewOf);
    for (const view of views) await show(invocation, view, { names, format, prefix: views.length > 1 });
    const [first] = views;
    if (invocation.flags.has('watch') && first !== undefined) await follow(invocation, first, format);
    return undefined;
  },
};

/** A kind, or the part of it that belongs to a word of its own: waypoints are Gateways of a waypoint class. */
interface View {
  readonly kind: Kind;
  readonly title: string;
  accepts(object: ObjectView): boolean;
}

function viewOf(word: string): View {
  if (/^waypoints?$/i.test(word)) {
    return {
      kind: GATEWAY,
      title: 'waypoint',
      accepts: (object) => object.text('spec.gatewayClassName').endsWith('-waypoint'),
    };
  }
  const kind = needKind(word);
  return { kind, title: kind.kind, accepts: () => true };
}

interface Shown {
  readonly names: readonly string[];
  readonly format: Format;
  readonly prefix: boolean;
}

async function show({ flags, out, context }: Invocation, view: View, { names, format, prefix }: Shown): Promise<void> {
  const namespace = view.kind.namespaced ? context.listNamespace : undefined;
  const objects =
    names.length > 0
      ? await Promise.all(names.map((name) => context.api.get(view.kind, namespace ?? context.namespace, name)))
      : (await context.api.list(view.kind, namespace, { labelSelector: flags.text('selector') })).filter((one) =>
          view.accepts(new ObjectView(one)),
        );
  if (format === 'json' || format === 'yaml') {
    const value =
      names.length === 1 && objects.length === 1 ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
    return format === 'json' ? out.json(value) : out.yaml(value);
  }
  if (format === 'name') {
    for (const object of objects) out.line(`${view.kind.kind.toLowerCase()}/${object.metadata.name}`);
    return;
  }
  if (objects.length === 0) {
    out.note(
      `No ${view.title === 'waypoint' ? 'waypoints' : view.kind.plural} found${namespace === undefined ? '' : ` in ${namespace} namespace`}.`,
    );
    return;
  }
  const views = objects.map((object) => new ObjectView(object)).sort(byName);
  const { header, rows } = objectTable(view.title, views, {
    wide: format === 'wide',
    namespaces: flags.has('all-namespaces') && view.kind.namespaced,
  });
  out.table(header, prefix ? rows.map((row, i) => prefixed(view, header, row, views[i])) : rows, 3);
}

const byName = (a: ObjectView, b: ObjectView): number =>
  a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name);

function prefixed(
  view: View,
  header: readonly string[],
  row: readonly string[],
  object: ObjectView | undefined,
): string[] {
  const place = header.indexOf('NAME');
  return row.map((cell, i) => (i === place && object !== undefined ? `${view.kind.kind.toLowerCase()}/${cell}` : cell));
}

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
