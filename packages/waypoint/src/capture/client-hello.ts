/** What is known of a TLS ClientHello: not one, not all here yet, or read (with the name it asks for, if any). */
export type ClientHello =
  | { readonly kind: 'not-tls' | 'more'; readonly sni: undefined }
  | { readonly kind: 'hello'; readonly sni: string | undefined };

const NOT_TLS: ClientHello = { kind: 'not-tls', sni: undefined };
const MORE: ClientHello = { kind: 'more', sni: undefined };
const NO_NAME: ClientHello = { kind: 'hello', sni: undefined };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
const RECORD_HEADER = 5;
const MAX_RECORD = 16_384;

/** Reads the server name of a ClientHello (RFC 8446 §4.1.2, RFC 6066 §3) that may span records; the name is lower case. */
export function readClientHello(bytes: Uint8Array): ClientHello {
  if (bytes.length > 0 && bytes[0] !== HANDSHAKE_RECORD) return NOT_TLS;
  if (bytes.length > 1 && bytes[1] !== 3) return NOT_TLS;
  const handshake = joinRecords(bytes);
  if (handshake === undefined) return NOT_TLS;
  if (handshake.length > 0 && handshake[0] !== CLIENT_HELLO) return NOT_TLS;
  if (handshake.length < 4) return MORE;
  const length = uint(handshake, 1, 3);
  if (handshake.length < 4 + length) return MORE;
  return readExtensions(handshake.subarray(4, 4 + length));
}

/** The handshake bytes of the records that are here; undefined when a record is not a handshake one. */
function joinRecords(bytes: Uint8Array): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at + RECORD_HEADER <= bytes.length) {
    const length = uint(bytes, at + 3, 2);
    if (bytes[at] !== HANDSHAKE_RECORD || length === 0 || length > MAX_RECORD)
      return at === 0 ? undefined : Buffer.concat(parts);
    parts.push(bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length));
    at += RECORD_HEADER + length;
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

/** version, random, session id, cipher suites, compression, then extensions; anything cut short means no name. */
function readExtensions(hello: Uint8Array): ClientHello {
  let at = 2 + 32;
  at += 1 + uint(hello, at, 1);
  at += 2 + uint(hello, at, 2);
  at += 1 + uint(hello, at, 1);
  const end = Math.min(hello.length, at + 2 + uint(hello, at, 2));
  at += 2;
  while (at + 4 <= end) {
    const type = uint(hello, at, 2);
    const length = uint(hello, at + 2, 2);
    if (type === SERVER_NAME) return serverName(hello.subarray(at + 4, Math.min(end, at + 4 + length)));
    at += 4 + length;
  }
  return NO_NAME;
}

function serverName(extension: Uint8Array): ClientHello {
  if (extension.length < 5 || extension[2] !== HOST_NAME) return NO_NAME;
  const length = uint(extension, 3, 2);
  if (length === 0 || extension.length < 5 + length) return NO_NAME;
  const name = Buffer.from(extension.subarray(5, 5 + length))
    .toString('latin1')
    .toLowerCase();
  return /^[a-z0-9._-]{1,253}$/.test(name) ? { kind: 'hello', sni: name } : NO_NAME;
}

/** Big-endian number of `size` bytes; bytes that are not there count as 0. */
function uint(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}
