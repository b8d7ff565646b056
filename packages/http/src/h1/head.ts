import type { Headers } from '../headers.ts';
import type { BodyLength, Http1RequestHead, Http1ResponseHead } from './contract.ts';
import { type HeadLimits, refuse, type Refusal } from './fault.ts';
import { parseFields } from './fields.ts';

/** Methods of HTTP and WebDAV that are passed on; anything else is refused, as Envoy does. */
const METHODS: ReadonlySet<string> = new Set(
  (
    'GET POST PUT DELETE HEAD OPTIONS PATCH CONNECT TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND ' +
    'UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK UNLINK'
  ).split(' '),
);

/** unreserved, sub-delims and `:@[]%` (RFC 3986 §3.2). */
const AUTHORITY = new Uint8Array(256);
for (const char of "!$%&'()*+,-.:;=@[]_~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  AUTHORITY[char.charCodeAt(0)] = 1;
}

const NO_BODY: BodyLength = Object.freeze({ kind: 'none' });
const CHUNKED: BodyLength = Object.freeze({ kind: 'chunked' });
const UNTIL_CLOSE: BodyLength = Object.freeze({ kind: 'until-close' });

/**
 * Parses a request head: `text` is its Latin-1 bytes up to and with the CRLF of the last line, without the empty line.
 * A missing Host is not a fault here: whoever answers decides (it can log method and path).
 */
export function parseRequestHead(text: string, limits: HeadLimits): Http1RequestHead | Refusal {
  const lineEnd = text.indexOf('\r\n');
  const line = parseRequestLine(text, lineEnd);
  if ('refusal' in line) return line;
  const headers = parseFields(text, lineEnd + 2, limits);
  if ('refusal' in headers) return headers;
  const framing = readFraming(headers);
  if ('refusal' in framing) return framing;
  const host = checkHost(headers, line.authority);
  if (host !== undefined) return host;
  return {
    method: line.method,
    target: line.target,
    minorVersion: 1,
    headers,
    body: framing.chunked ? CHUNKED : lengthOf(framing.length, NO_BODY),
    keepAlive: !framing.close,
    upgrade: framing.connectionUpgrade ? framing.upgrade : undefined,
    expectContinue: framing.expectContinue,
  };
}

/** Parses a response head; `method` is that of the request it answers: HEAD and CONNECT change how the body ends (RFC 9112 §6.3). */
export function parseResponseHead(text: string, method: string, limits: HeadLimits): Http1ResponseHead | Refusal {
  const lineEnd = text.indexOf('\r\n');
  const line = parseStatusLine(text.slice(0, lineEnd));
  if ('refusal' in line) return line;
  const headers = parseFields(text, lineEnd + 2, limits);
  if ('refusal' in headers) return headers;
  const framing = readFraming(headers);
  if ('refusal' in framing) return framing;
  const body = responseBody(line.status, method, framing);
  const persistent = line.minorVersion === 1 && !framing.close && body.kind !== 'until-close';
  return { ...line, headers, body, keepAlive: persistent };
}

interface RequestLine {
  readonly method: string;
  readonly target: string;
  /** Of an absolute-form target. */
  readonly authority: string | undefined;
}

/** `method SP target SP HTTP/1.1`, exactly one space each (RFC 9112 §3). */
function parseRequestLine(text: string, end: number): RequestLine | Refusal {
  const first = text.indexOf(' ');
  const last = text.lastIndexOf(' ', end - 1);
  if (first <= 0 || last <= first || last >= end) return refuse('codec', 'a request line without three parts');
  const method = text.slice(0, first);
  if (!METHODS.has(method)) return refuse('codec', 'an unknown method');
  if (!text.startsWith('HTTP/1.1\r', last + 1)) return versionFault(text.slice(last + 1, end));
  for (let i = first + 1; i < last; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) return refuse('codec', 'a request target with a byte that is not visible ASCII');
  }
  return parseTarget(method, text.slice(first + 1, last));
}

const versionFault = (version: string): Refusal =>
  /^HTTP\/\d\.\d$/.test(version)
    ? refuse('version', `${version} instead of HTTP/1.1`)
    : refuse('codec', 'a request line that does not end with HTTP/1.1');

/** RFC 9112 §3.2: origin form, absolute form (made origin form), authority form for CONNECT, `*` for OPTIONS. */
function parseTarget(method: string, target: string): RequestLine | Refusal {
  if (method === 'CONNECT') return { method, target, authority: target };
  if (target.charCodeAt(0) === 0x2f) return { method, target, authority: undefined };
  if (target === '*' && method === 'OPTIONS') return { method, target, authority: undefined };
  const absolute = /^https?:\/\/([^/?#]+)(.*)$/i.exec(target);
  if (absolute === null) return refuse('codec', 'a request target that is neither a path nor an http URL');
  const [, authority = '', rest = ''] = absolute;
  return { method, target: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

/** At most one Host, of authority characters; an absolute target's authority replaces it (RFC 9112 §3.2.2). */
function checkHost(headers: Headers, authority: string | undefined): Refusal | undefined {
  const host = headers.get('host');
  if (host === undefined) {
    if (authority !== undefined && authority !== '') headers.append('host', authority);
  } else {
    if (headers.getAll('host').length > 1) return refuse('authority', 'more than one Host header');
    if (!isAuthority(host)) return refuse('authority', 'a Host header with a character that no authority has');
    if (authority !== undefined) headers.set('host', authority);
  }
  if (authority === undefined || isAuthority(authority)) return undefined;
  return refuse('authority', 'a request target with an invalid authority');
}

function isAuthority(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (AUTHORITY[text.charCodeAt(i)] !== 1) return false;
  return true;
}

/** `HTTP/1.x SP 3DIGIT [SP reason]`; servers that leave out the space before an empty reason are common. */
function parseStatusLine(line: string): Pick<Http1ResponseHead, 'status' | 'reason' | 'minorVersion'> | Refusal {
  const version = line.slice(0, 9);
  if (version !== 'HTTP/1.1 ' && version !== 'HTTP/1.0 ') return refuse('codec', 'a status line without HTTP/1.1');
  const status = Number(line.slice(9, 12));
  const after = line.charCodeAt(12);
  if (!Number.isInteger(status) || status < 100 || (line.length > 12 && after !== 0x20)) {
    return refuse('codec', 'a status line without a three-digit status');
  }
  for (let i = 12; i < line.length; i++) {
    if (line.charCodeAt(i) < 0x20 && line.charCodeAt(i) !== 0x09)
      return refuse('codec', 'a control character in the reason');
  }
  return { status, reason: line.slice(13), minorVersion: version === 'HTTP/1.1 ' ? 1 : 0 };
}

/** What the headers say about how the message ends and what follows it. */
interface Framing {
  length: number | undefined;
  chunked: boolean;
  close: boolean;
  connectionUpgrade: boolean;
  upgrade: string | undefined;
  expectContinue: boolean;
}

function readFraming(headers: Headers): Framing | Refusal {
  const framing: Framing = {
    length: undefined,
    chunked: false,
    close: false,
    connectionUpgrade: false,
    upgrade: undefined,
    expectContinue: false,
  };
  const flat = headers.flat();
  for (let i = 0; i < flat.length; i += 2) {
    const fault = readFramingHeader(flat[i] ?? '', flat[i + 1] ?? '', framing);
    if (fault !== undefined) return fault;
  }
  if (framing.chunked && framing.length !== undefined) {
    return refuse('length-and-chunked', 'both Content-Length and Transfer-Encoding: chunked');
  }
  return framing;
}

function readFramingHeader(name: string, value: string, framing: Framing): Refusal | undefined {
  switch (name) {
    case 'content-length':
      return readContentLength(value, framing);
    case 'transfer-encoding':
      if (framing.chunked || value.toLowerCase() !== 'chunked') {
        return refuse('encoding', 'a Transfer-Encoding other than one chunked');
      }
      framing.chunked = true;
      return undefined;
    case 'connection':
      readConnection(value, framing);
      return undefined;
    case 'upgrade':
      framing.upgrade =
        framing.upgrade === undefined ? value.toLowerCase() : `${framing.upgrade},${value.toLowerCase()}`;
      return undefined;
    case 'expect':
      framing.expectContinue = value.toLowerCase() === '100-continue';
      return undefined;
    default:
      return undefined;
  }
}

/** Digits only, once, and small enough to count exactly. */
function readContentLength(value: string, framing: Framing): Refusal | undefined {
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return refuse('codec', 'a Content-Length that is not a number');
    length = length * 10 + digit;
  }
  if (value === '' || length > Number.MAX_SAFE_INTEGER) return refuse('codec', 'a Content-Length out of range');
  if (framing.length !== undefined) return refuse('codec', 'more than one Content-Length');
  framing.length = length;
  return undefined;
}

function readConnection(value: string, framing: Framing): void {
  if (value === 'keep-alive') return;
  for (const token of value.toLowerCase().split(',')) {
    const option = token.trim();
    if (option === 'close') framing.close = true;
    else if (option === 'upgrade') framing.connectionUpgrade = true;
  }
}

/** RFC 9112 §6.3. */
function responseBody(status: number, method: string, framing: Framing): BodyLength {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return NO_BODY;
  if (method === 'CONNECT' && status < 300) return NO_BODY;
  return framing.chunked ? CHUNKED : lengthOf(framing.length, UNTIL_CLOSE);
}

function lengthOf(length: number | undefined, absent: BodyLength): BodyLength {
  if (length === undefined) return absent;
  return length === 0 ? NO_BODY : { kind: 'length', length };
}
