import { Headers } from '../headers.ts';
import type { RequestHead, ResponseHead } from './contract.ts';

/** A message that RFC 9113 §8 calls malformed: the stream is reset with PROTOCOL_ERROR. */
export interface Malformed {
  readonly kind: 'malformed';
  readonly reason: string;
}

export interface ParsedRequest {
  readonly kind: 'request';
  readonly head: RequestHead;
  /** Declared body length, -1 when none is declared or it does not apply. */
  readonly length: number;
}

export interface ParsedResponse {
  readonly kind: 'response';
  readonly head: ResponseHead;
  readonly length: number;
}

export interface ParsedTrailers {
  readonly kind: 'trailers';
  readonly headers: Headers;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** A field name is a token without upper case (RFC 9113 §8.2.1). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** Control characters, and blanks at either end (RFC 9113 §8.2.1, RFC 9110 §5.5). */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/;
const CONNECTION_HEADERS = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']);
const REQUEST_PSEUDO: readonly string[] = [':method', ':scheme', ':authority', ':path', ':protocol'];
const RESPONSE_PSEUDO: readonly string[] = [':status'];
const NO_PSEUDO: readonly string[] = [];

/** Checks and splits a request's header list. */
export function parseRequest(flat: readonly string[], extendedConnect: boolean): ParsedRequest | Malformed {
  const fields = splitFields(flat, REQUEST_PSEUDO);
  if (typeof fields === 'string') return malformed(fields);
  const { headers, pseudo } = fields;
  const [method, scheme, authority, path, protocol] = pseudo;
  if (method === undefined || !TOKEN.test(method)) return malformed('no valid :method');
  if (protocol !== undefined && !extendedConnect) return malformed(':protocol without extended CONNECT');
  const target = { method, scheme, authority: authority ?? headers.get('host'), path, protocol };
  const problem = targetProblem(target, authority) ?? hostProblem(headers, authority);
  if (problem !== undefined) return malformed(problem);
  const length = method === 'CONNECT' ? -1 : contentLength(headers);
  if (length === undefined) return malformed('invalid content-length');
  return { kind: 'request', head: { ...target, headers }, length };
}

/** Checks and splits a response's header list. `bodiless`: an answer to HEAD, whose content-length announces nothing. */
export function parseResponse(flat: readonly string[], bodiless: boolean): ParsedResponse | Malformed {
  const fields = splitFields(flat, RESPONSE_PSEUDO);
  if (typeof fields === 'string') return malformed(fields);
  const text = fields.pseudo[0] ?? '';
  const status = Number(text);
  if (!/^[1-9]\d\d$/.test(text) || status === 101) return malformed(`:status "${text}"`);
  const length = bodiless || status === 304 ? -1 : contentLength(fields.headers);
  if (length === undefined) return malformed('invalid content-length');
  return { kind: 'response', head: { status, headers: fields.headers }, length };
}

export function parseTrailers(flat: readonly string[]): ParsedTrailers | Malformed {
  const fields = splitFields(flat, NO_PSEUDO);
  return typeof fields === 'string' ? malformed(fields) : { kind: 'trailers', headers: fields.headers };
}

/** Pseudo headers of a request in the order they are sent. */
export function requestPseudo(head: RequestHead): string[] {
  const flat = [':method', head.method];
  if (head.protocol !== undefined) flat.push(':protocol', head.protocol);
  if (head.scheme !== undefined) flat.push(':scheme', head.scheme);
  if (head.authority !== undefined) flat.push(':authority', head.authority);
  if (head.path !== undefined) flat.push(':path', head.path);
  return flat;
}

const malformed = (reason: string): Malformed => ({ kind: 'malformed', reason });

type Fields = { readonly pseudo: (string | undefined)[]; readonly headers: Headers };

/** Separates pseudo headers (by their place in `allowed`), which come first, from the others; a text says what is wrong. */
function splitFields(flat: readonly string[], allowed: readonly string[]): Fields | string {
  const pseudo: (string | undefined)[] = Array.from({ length: allowed.length });
  let at = 0;
  for (let name = flat[0]; name?.startsWith(':'); name = flat[at]) {
    const place = allowed.indexOf(name);
    const value = flat[at + 1] ?? '';
    if (place < 0 || pseudo[place] !== undefined || BAD_VALUE.test(value)) return `pseudo header ${printable(name)}`;
    pseudo[place] = value;
    at += 2;
  }
  const headers = regularFields(flat, at);
  return typeof headers === 'string' ? headers : { pseudo, headers };
}

function regularFields(flat: readonly string[], start: number): Headers | string {
  const kept: string[] = [];
  const cookies: string[] = [];
  for (let i = start; i < flat.length; i += 2) {
    const name = flat[i] ?? '';
    const value = flat[i + 1] ?? '';
    const problem = fieldProblem(name, value);
    if (problem !== undefined) return problem;
    if (name === 'cookie') cookies.push(value);
    else kept.push(name, value);
  }
  // RFC 9113 §8.2.3: crumbs become one line again.
  if (cookies.length > 0) kept.push('cookie', cookies.join('; '));
  return new Headers(kept);
}

function fieldProblem(name: string, value: string): string | undefined {
  // A pseudo header after others is caught here too: ":" is no token character.
  if (!NAME.test(name)) return `header name ${printable(name)}`;
  if (BAD_VALUE.test(value)) return `value of ${name}`;
  if (CONNECTION_HEADERS.has(name)) return `connection header ${name}`;
  if (name === 'te' && value.toLowerCase() !== 'trailers') return 'te other than trailers';
  return undefined;
}

type Target = Omit<RequestHead, 'headers'>;

/** RFC 9113 §8.3.1, §8.5 and RFC 8441 §4. */
function targetProblem(target: Target, written: string | undefined): string | undefined {
  if (target.method === 'CONNECT' && target.protocol === undefined) return connectProblem(target, written);
  if (target.protocol !== undefined && (target.method !== 'CONNECT' || written === undefined))
    return ':protocol without CONNECT and :authority';
  if (target.scheme === undefined || target.scheme === '') return 'no :scheme';
  if (target.path === undefined || !validPath(target.path, target.method)) return 'no valid :path';
  return undefined;
}

function connectProblem(target: Target, written: string | undefined): string | undefined {
  if (target.scheme !== undefined || target.path !== undefined) return 'CONNECT with :scheme or :path';
  return written === undefined || written === '' ? 'CONNECT without :authority' : undefined;
}

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const PATH = /^\/[^\x00-\x20\x7f#]*$/;

const validPath = (path: string, method: string): boolean => PATH.test(path) || (path === '*' && method === 'OPTIONS');

function hostProblem(headers: Headers, authority: string | undefined): string | undefined {
  const hosts = headers.getAll('host');
  if (hosts.length > 1) return 'several host headers';
  const host = hosts[0];
  if (authority?.includes('@')) return 'userinfo in :authority';
  if (host !== undefined && authority !== undefined && host.toLowerCase() !== authority.toLowerCase())
    return 'host differs from :authority';
  return undefined;
}

/** -1 without the header, undefined when it is invalid or its lines differ. */
function contentLength(headers: Headers): number | undefined {
  const value = headers.get('content-length');
  if (value === undefined) return -1;
  if (!/^\d{1,15}$/.test(value)) return undefined;
  return headers.getAll('content-length').every((other) => other === value) ? Number(value) : undefined;
}

const printable = (name: string): string => JSON.stringify(name.slice(0, 64));
