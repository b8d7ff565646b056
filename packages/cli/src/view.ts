import type { Kind } from '@ambit/common/model/kinds';
import type { KubeObject } from '@ambit/standalone/api/client';
import { type BoundCount, objectTable } from './columns.ts';
import type { FlagValues } from './command.ts';
import { GATEWAY } from './context.ts';
import { needKind } from './kind-names.ts';
import { ObjectView } from './object-view.ts';
import type { Format } from './output.ts';

/** A kind, or the part of it that belongs to a word of its own: waypoints are Gateways of a waypoint class. */
export interface View {
  readonly kind: Kind;
  readonly title: string;
  readonly plural: string;
  /** Only these; all when empty. */
  readonly names: readonly string[];
  accepts(object: ObjectView): boolean;
}

/** The view that a word means, of these objects or of all. Throws UsageError for an unknown word. */
export function viewOf(word: string, names: readonly string[]): View {
  if (/^waypoints?$/i.test(word)) {
    return {
      kind: GATEWAY,
      title: 'waypoint',
      plural: 'waypoints',
      names,
      accepts: (object) => object.text('spec.gatewayClassName').endsWith('-waypoint'),
    };
  }
  const kind = needKind(word);
  return { kind, title: kind.kind, plural: kind.plural, names, accepts: () => true };
}

/** The table of some objects of a view, as the flags want it. */
export function tableOf(
  view: View,
  objects: readonly KubeObject[],
  wanted: { format: Format; flags: FlagValues; bound: BoundCount | undefined },
): { header: string[]; rows: string[][] } {
  return objectTable(
    view.title,
    objects.map((object) => new ObjectView(object)),
    {
      wide: wanted.format === 'wide',
      namespaces: wanted.flags.has('all-namespaces') && view.kind.namespaced,
      ...(wanted.bound === undefined ? {} : { bound: wanted.bound }),
    },
  );
}
