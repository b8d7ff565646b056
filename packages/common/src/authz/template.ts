/**
 * Path templates of AuthorizationPolicy: `{*}` is one non-empty segment, `{**}` any characters, slashes included.
 *
 *     /a/{*}        /a/x      not /a, /a/, /a/x/y
 *     /a/{**}       /a/, /a/x/y    not /a
 *     /a/{**}/z     /a//z, /a/x/y/z    not /a/z
 */

/** One segment of a template: a literal, any one segment, or the rest. */
const ANY_SEGMENT = '{*}';
const ANY_PATH = '{**}';

/** RFC 3986 pchar, percent escapes included. */
const LITERAL = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*$/;

export interface PathTemplate {
  matches(path: string): boolean;
}

/** True when the text of a policy is to be read as a template and not as an exact, prefix or suffix value. */
export const isPathTemplate = (text: string): boolean => text.includes(ANY_SEGMENT) || text.includes(ANY_PATH);

/** Undefined when the template breaks a rule: it starts with `/`, operators are whole segments, `{**}` is the last operator, literals are pchars. */
export function parsePathTemplate(text: string): PathTemplate | undefined {
  if (!text.startsWith('/')) return undefined;
  const segments = text.slice(1).split('/');
  const rest = segments.indexOf(ANY_PATH);
  for (const [i, segment] of segments.entries()) {
    const operator = segment === ANY_SEGMENT || segment === ANY_PATH;
    if (operator && rest >= 0 && i > rest) return undefined;
    if (!operator && !LITERAL.test(segment)) return undefined;
  }
  if (rest < 0) return { matches: (path) => matchesWhole(segments, path) };
  const tail = segments.slice(rest + 1);
  const suffix = tail.length === 0 ? '' : `/${tail.join('/')}`;
  const head = segments.slice(0, rest);
  return { matches: (path) => matchesOpen(head, suffix, path) };
}

function matchesWhole(segments: readonly string[], path: string): boolean {
  return afterSegments(segments, path) === path.length;
}

/** `/` of `{**}` must be there and the suffix must not overlap it. */
function matchesOpen(head: readonly string[], suffix: string, path: string): boolean {
  const at = afterSegments(head, path);
  if (at < 0 || path[at] !== '/') return false;
  return path.length - suffix.length > at && path.endsWith(suffix);
}

/** Index after the segments, each with its slash in front; -1 when one does not fit. */
function afterSegments(segments: readonly string[], path: string): number {
  let at = 0;
  for (const segment of segments) {
    if (path[at] !== '/') return -1;
    const next = path.indexOf('/', at + 1);
    const end = next < 0 ? path.length : next;
    const fits = segment === ANY_SEGMENT ? end > at + 1 : path.slice(at + 1, end) === segment;
    if (!fits) return -1;
    at = end;
  }
  return at;
}
