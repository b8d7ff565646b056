import type { RequestHead, ResponseHead } from '@ambit/http/h2/contract';
import type { Http1ResponseHead } from '@ambit/http/h1/contract';
import { requestHead } from '@ambit/http/h1/write';
import { Headers } from '@ambit/http/headers';

/** How the body of a request is written: 'none', 'chunked', or so many bytes. */
export type Framing = 'none' | 'chunked' | number;

/** A request head as bytes, and how its body follows. */
export interface EncodedHead {
  readonly bytes: Uint8Array;
  readonly framing: Framing;
}

/** Fields that speak of one connection and are written anew for each (RFC 9110 §7.6.1). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'te',
]);

/** Methods whose requests usually have a body: without one they say so (RFC 9110 §8.6). */
const BODY_METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** Encodes with Host first and exactly one statement of the body's length. */
export function encodeRequest(head: RequestHead, endStream: boolean, upgrade: string | undefined): EncodedHead {
  const flat: string[] = ['host', head.authority ?? head.headers.get('host') ?? ''];
  const source = head.headers.flat();
  for (let i = 0; i < source.length; i += 2) {
    const name = source[i] ?? '';
    if (!CONNECTION_FIELDS.has(name)) flat.push(name, source[i + 1] ?? '');
  }
  const framing = framingOf(head, endStream, upgrade);
  const length = typeof framing === 'number' ? framing : emptyBodyLength(head, framing, upgrade);
  if (length !== undefined) flat.push('content-length', String(length));
  if (upgrade !== undefined) flat.push('connection', 'upgrade', 'upgrade', upgrade);
  const bytes = requestHead(head.method, head.path ?? '/', new Headers(flat), framing === 'chunked');
  return { bytes, framing };
}

function emptyBodyLength(head: RequestHead, framing: Framing, upgrade: string | undefined): number | undefined {
  return framing === 'none' && upgrade === undefined && BODY_METHODS.has(head.method) ? 0 : undefined;
}

function framingOf(head: RequestHead, endStream: boolean, upgrade: string | undefined): Framing {
  if (endStream || upgrade !== undefined) return 'none';
  const length = head.headers.get('content-length');
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : 'chunked';
}

/** A response head without what concerned only this connection; `upgrade` stays in a 101. */
export function plainResponse(head: Http1ResponseHead): ResponseHead {
  const named = namedByConnection(head.headers);
  const flat: string[] = [];
  const source = head.headers.flat();
  for (let i = 0; i < source.length; i += 2) {
    const name = source[i] ?? '';
    const kept =
      name === 'content-length' || name === 'te' || name === 'host' || (name === 'upgrade' && head.status === 101);
    if (kept || (!CONNECTION_FIELDS.has(name) && !named.has(name))) flat.push(name, source[i + 1] ?? '');
  }
  return { status: head.status, headers: new Headers(flat) };
}

const NOTHING: ReadonlySet<string> = new Set();

function namedByConnection(headers: Headers): ReadonlySet<string> {
  const values = headers.getAll('connection');
  if (values.length === 0) return NOTHING;
  return new Set(values.flatMap((value) => value.split(',').map((name) => name.trim().toLowerCase())));
}
