import type { KubeObject } from '@ambit/standalone/api/client';
import { countBound } from './bound-services.ts';
import { EXIT, type Invocation } from './command.ts';
import { ordered } from './object-order.ts';
import { ObjectView } from './object-view.ts';
import type { Format } from './output.ts';
import { objectName } from './results.ts';
import { alignColumns } from './table.ts';
import { tableOf, type View } from './view.ts';

/** How long rows are gathered to be aligned with each other. */
const GATHER_MS = 50;

interface Event {
  readonly type: string;
  readonly object: KubeObject;
}

/** Prints a view's objects, then each one again whenever it changes, until interrupted or the mesh ends. */
export async function watch(invocation: Invocation, view: View, format: Format): Promise<number> {
  const { out, context, flags } = invocation;
  const namespace = view.kind.namespaced ? context.listNamespace : undefined;
  const printer = new WatchPrinter(invocation, view, format);
  let gathered: Event[] = [];
  let printing: Promise<void> = Promise.resolve();
  const flush = (): void => {
    const events = gathered;
    gathered = [];
    printing = printing.then(() => printer.print(events));
  };
  for await (const event of context.api.watch(view.kind, namespace, { labelSelector: flags.text('selector') })) {
    const named = view.names.length === 0 || view.names.includes(event.object.metadata.name);
    if (!named || !view.accepts(new ObjectView(event.object))) continue;
    if (gathered.length === 0) setTimeout(flush, GATHER_MS);
    gathered.push(event);
  }
  flush();
  await printing;
  out.note('the mesh has ended');
  return EXIT.ok;
}

class WatchPrinter {
  readonly #invocation: Invocation;
  readonly #view: View;
  readonly #format: Format;
  #widths: string[] = [];

  constructor(invocation: Invocation, view: View, format: Format) {
    this.#invocation = invocation;
    this.#view = view;
    this.#format = format;
  }

  async print(events: readonly Event[]): Promise<void> {
    const { out, flags } = this.#invocation;
    const withType = flags.has('output-watch-events');
    if (this.#format === 'table' || this.#format === 'wide') return this.#rows(events, withType);
    for (const { type, object } of events) {
      const value = withType ? { type, object: ordered(object) } : ordered(object);
      if (this.#format === 'json') out.json(value);
      else if (this.#format === 'name') out.line(objectName(this.#view.kind.kind, object.metadata.name));
      else {
        out.line('---');
        out.yaml(value);
      }
    }
  }

  /** Later rows keep the columns of the first ones, wider where they have to be. */
  async #rows(events: readonly Event[], withType: boolean): Promise<void> {
    if (events.length === 0) return;
    const { out, flags, context } = this.#invocation;
    const bound = this.#view.title === 'waypoint' ? await countBound(context) : undefined;
    const objects = events.map((one) => one.object);
    const { header, rows } = tableOf(this.#view, objects, { format: this.#format, flags, bound });
    const typed = (cells: readonly string[], type: string): string[] => (withType ? [type, ...cells] : [...cells]);
    const head = typed(header, 'EVENT');
    const body = rows.map((row, i) => typed(row, events[i]?.type ?? ''));
    const known = this.#widths.length > 0;
    const widths = known ? this.#widths : [withType ? 'MODIFIED' : ''];
    const lines = alignColumns([head, ...body, widths], 3);
    for (const line of lines.slice(known || flags.has('no-headers') ? 1 : 0, body.length + 1)) out.line(line);
    this.#widths = head.map((_, i) =>
      '#'.repeat(Math.max(...[head, ...body, widths].map((row) => row[i]?.length ?? 0))),
    );
  }
}
