import type { ProxySettings } from '@ambit/common/model/listener';

const HASH = 0x23;
const PERCENT = 0x25;
const DOT = 0x2e;
const SLASH = 0x2f;
const QUESTION = 0x3f;
const BACKSLASH = 0x5c;

/** Characters that a path may not hold as they are: written as upper-case percent escapes. */
const ESCAPED = new Uint8Array(128);
for (const char of '"<>^`{|}') ESCAPED[char.charCodeAt(0)] = 1;

/**
 * Normalises the path of a request target (Envoy's and Istio's `pathNormalization`) before anything is matched against it or sent
 * on; the query is never touched and a fragment is cut off. Undefined: the path cannot be normalised and the request is refused.
 */
export function normalizePath(target: string, mode: ProxySettings['pathNormalization']): string | undefined {
  if (isNormal(target)) return target;
  const fragment = target.indexOf('#');
  const whole = fragment < 0 ? target : target.slice(0, fragment);
  if (mode === 'NONE') return whole;
  const question = whole.indexOf('?');
  const path = question < 0 ? whole : whole.slice(0, question);
  const query = question < 0 ? '' : whole.slice(question);
  const decoded = mode === 'DECODE_AND_MERGE_SLASHES' ? path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\') : path;
  const canonical = canonicalize(decoded);
  if (canonical === undefined) return undefined;
  return (mode === 'BASE' ? canonical : mergeSlashes(canonical)) + query;
}

/** The path without its query. */
export function withoutQuery(path: string): string {
  const question = path.indexOf('?');
  return question < 0 ? path : path.slice(0, question);
}

/** One look at each character: nearly every path of a request is normal already and costs no string. */
function isNormal(target: string): boolean {
  let inPath = true;
  let previous = 0;
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === HASH) return false;
    if (code === QUESTION) inPath = false;
    if (inPath && isSuspicious(code, previous)) return false;
    previous = code;
  }
  return true;
}

const isSuspicious = (code: number, previous: number): boolean =>
  code === PERCENT ||
  code === BACKSLASH ||
  (previous === SLASH && (code === DOT || code === SLASH)) ||
  (code < 128 && ESCAPED[code] === 1);

/** RFC 3986 §6.2.2: decodes unreserved characters, turns `\` into `/`, escapes what must be, removes dot segments. */
function canonicalize(path: string): string | undefined {
  let text = '';
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === PERCENT) {
      const byte = escapedByte(path, i);
      if (byte === 0) return undefined;
      if (byte !== undefined && isUnreserved(byte)) {
        text += String.fromCharCode(byte);
        i += 2;
        continue;
      }
      text += '%';
    } else if (code === BACKSLASH) text += '/';
    else if (code < 128 && ESCAPED[code] === 1) text += `%${code.toString(16).toUpperCase()}`;
    else text += path.charAt(i);
  }
  return removeDotSegments(text);
}

/** The byte of the escape at `at`; undefined when it is none. */
function escapedByte(path: string, at: number): number | undefined {
  const digits = path.slice(at + 1, at + 3);
  return /^[0-9a-fA-F]{2}$/.test(digits) ? parseInt(digits, 16) : undefined;
}

const isUnreserved = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2d ||
  byte === 0x2e ||
  byte === 0x5f ||
  byte === 0x7e;

/** `..` removes the segment before it, an empty one too; never above the root. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/');
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] ?? '';
    const isLast = i === segments.length - 1;
    if (segment !== '.' && segment !== '..') {
      kept.push(segment);
      continue;
    }
    if (segment === '..') kept.pop();
    if (isLast) kept.push('');
  }
  return `/${kept.join('/')}`;
}

/** As Envoy: a path of nothing but slashes keeps two, its first and its last. */
function mergeSlashes(path: string): string {
  if (!path.includes('//')) return path;
  const segments = path.split('/').filter((segment) => segment !== '');
  return `/${segments.join('/')}${path.endsWith('/') ? '/' : ''}`;
}
