/** RFC 3986 pchar: what a literal segment of a template may hold. */
const LITERAL = /^([A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*$/;

/** True when the path of a policy is read as a template: it names `{*}` or `{**}`. */
export const isPathTemplate = (path: string): boolean => path.includes('{*}') || path.includes('{**}');

/** What is wrong with the path of a policy; undefined when nothing is. A path without braces is never a template. */
export function pathTemplateProblem(path: string): string | undefined {
  if (!/[{}]/.test(path)) return undefined;
  if (!isPathTemplate(path)) return `braces are for {*} and {**}, found ${path}`;
  if (!path.startsWith('/')) return `a path template starts with /, found ${path}`;
  let open = false;
  for (const segment of path.slice(1).split('/')) {
    if (segment === '{*}' || segment === '{**}') {
      if (open) return `{**} must be the last operator of a path template, found ${path}`;
      open = segment === '{**}';
    } else if (/[{}]/.test(segment)) return `{*} and {**} stand for whole segments, found ${segment}`;
    else if (!LITERAL.test(segment) || segment.includes('*'))
      return `a segment of a path template is plain text, found ${segment}`;
  }
  return undefined;
}
