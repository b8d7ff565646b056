import { MeshError } from '../errors.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** How much each level lets through; `off` lets nothing through. */
const RANK: Readonly<Record<string, number>> = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

/** The number a level is compared by: a line is written when its rank is not above the scope's. */
export const rankOf = (level: LogLevel): number => RANK[level] ?? 0;

/** Levels by scope prefix; the entry with the empty name is the default. Most specific first. */
export type Directives = readonly { readonly scope: string; readonly level: string }[];

/**
 * Reads directives as RUST_LOG spells them: `info`, `access=debug,info`. A later clause for the same scope replaces an
 * earlier one. Without a bare level, scopes that no clause names are silent, as they are there.
 * @throws MeshError CONFIG naming the clause.
 */
export function parseDirectives(text: string): Directives {
  const levels = new Map<string, string>();
  for (const clause of text.split(',').map((part) => part.trim())) {
    if (clause === '') continue;
    const equals = clause.lastIndexOf('=');
    const scope = equals < 0 ? '' : clause.slice(0, equals);
    const level = clause.slice(equals + 1).toLowerCase();
    if (RANK[level] === undefined || (equals >= 0 && scope === ''))
      throw new MeshError(
        'CONFIG',
        `log level "${clause}" is not understood: expected off, error, warn, info, debug or trace, or scope=level`,
      );
    levels.set(scope, level);
  }
  if (levels.size === 0) levels.set('', 'info');
  return [...levels]
    .map(([scope, level]) => ({ scope, level }))
    .toSorted((a, b) => b.scope.length - a.scope.length || (a.scope < b.scope ? -1 : 1));
}

/** The canonical text of directives, most specific first. */
export const formatDirectives = (directives: Directives): string =>
  directives.map(({ scope, level }) => (scope === '' ? level : `${scope}=${level}`)).join(',');

/** The rank up to which a scope's lines are written. */
export function rankFor(directives: Directives, scope: string): number {
  return RANK[directives.find((one) => scope.startsWith(one.scope))?.level ?? 'off'] ?? 0;
}
