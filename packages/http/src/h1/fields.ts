import { Headers } from '../headers.ts';
import { type HeadLimits, refuse, type Refusal } from './fault.ts';

/** One flag per Latin-1 byte: may it be in a field name or method (RFC 9110 §5.6.2)? */
const TOKEN = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  TOKEN[char.charCodeAt(0)] = 1;
}

/**
 * Names that nearly every message has, as written by common clients, to their lower-case form. A hit saves the check of each
 * character and a new string, and makes later comparisons pointer comparisons.
 */
const COMMON_NAMES: ReadonlyMap<string, string> = new Map(
  (
    'accept accept-encoding accept-language age authorization cache-control connection content-encoding content-length ' +
    'content-type cookie date etag expect expires grpc-accept-encoding grpc-encoding grpc-status grpc-timeout host if-match ' +
    'if-modified-since if-none-match keep-alive last-modified location origin pragma range referer sec-websocket-accept ' +
    'sec-websocket-key sec-websocket-version server set-cookie te traceparent tracestate trailer transfer-encoding upgrade ' +
    'user-agent vary via x-envoy-upstream-service-time x-forwarded-for x-forwarded-proto x-request-id'
  )
    .split(' ')
    .flatMap((name): [string, string][] => [
      [name, name],
      [name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase()), name],
    ]),
);

const SP = 0x20;
const HTAB = 0x09;
const DEL = 0x7f;

/** True when every character is a token character and there is at least one. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false;
  return true;
}

/**
 * Parses the field lines of `text` (Latin-1) from `start` to its end; each line ends with CRLF and there is no closing empty line.
 * Strict: no folding, no space before the colon, no control characters but HTAB in values.
 */
export function parseFields(text: string, start: number, limits: HeadLimits): Headers | Refusal {
  const flat: string[] = [];
  const most = limits.headerLines * 2;
  let at = start;
  while (at < text.length) {
    const end = text.indexOf('\r\n', at);
    if (end < 0) return refuse('codec', 'a header line does not end with CR LF');
    if (flat.length >= most) return refuse('count', `more than ${limits.headerLines} header lines`);
    const fault = parseLine(text, at, end, flat);
    if (fault !== undefined) return fault;
    at = end + 2;
  }
  return new Headers(flat);
}

/** Appends name and value of the line [at, end) to `flat`. */
function parseLine(text: string, at: number, end: number, flat: string[]): Refusal | undefined {
  const colon = text.indexOf(':', at);
  if (colon < 0 || colon >= end) return refuse('codec', lineFault(text, at));
  const written = text.slice(at, colon);
  let name = COMMON_NAMES.get(written);
  if (name === undefined) {
    if (!isToken(written)) return refuse('codec', lineFault(text, at));
    name = written.toLowerCase();
  }
  let from = colon + 1;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  if (hasControl(text, from, to)) return refuse('characters', `a control character in the value of header ${name}`);
  flat.push(name, text.slice(from, to));
  return undefined;
}

function hasControl(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if ((code < SP && code !== HTAB) || code === DEL) return true;
  }
  return false;
}

const isBlank = (code: number): boolean => code === SP || code === HTAB;

/** Why a line is no `name: value`; says no more of it, as it may hold anything. */
function lineFault(text: string, at: number): string {
  return isBlank(text.charCodeAt(at)) ? 'a folded header line' : 'a header line without a valid name and colon';
}
