import type { ListenerProtocol } from '@ambit/common/model/listener';
import type { Sniffed } from '../decision.ts';
import { readClientHello } from './client-hello.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Longest method with its space. */
const METHOD_BYTES = 18;
const SPACE = 0x20;
const HYPHEN = 0x2d;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

const MORE: Sniffed = { kind: 'more', sni: undefined };
const HTTP1: Sniffed = { kind: 'http1', sni: undefined };
const HTTP2: Sniffed = { kind: 'http2', sni: undefined };
const OPAQUE: Sniffed = { kind: 'opaque', sni: undefined };

/** More bytes than this are never waited for. */
export const SNIFF_BYTES: number = 16_384;

/**
 * Says what the first bytes of a tunnel to a port of this protocol are; `more` when they do not tell yet.
 * An HTTP port is HTTP/1.1 unless the HTTP/2 preface is there; a TLS port is looked at for the server name only.
 */
export function sniff(bytes: Uint8Array, protocol: ListenerProtocol): Sniffed {
  if (protocol === 'TCP') return OPAQUE;
  const full = bytes.length >= SNIFF_BYTES;
  if (protocol === 'TLS') return tls(bytes, full);
  if (bytes.length === 0) return MORE;
  if (startsLikePreface(bytes)) return bytes.length >= PREFACE.length ? HTTP2 : MORE;
  if (protocol !== 'AUTO') return HTTP1;
  const http1 = looksLikeHttp1(bytes);
  if (http1 !== OPAQUE) return http1;
  return tls(bytes, full);
}

function tls(bytes: Uint8Array, full: boolean): Sniffed {
  const hello = readClientHello(bytes);
  switch (hello.kind) {
    case 'hello':
      return { kind: 'tls', sni: hello.sni };
    case 'more':
      return full ? OPAQUE : MORE;
    case 'not-tls':
      return OPAQUE;
    default:
      return hello satisfies never;
  }
}

/** The preface, or as much of it as is here. */
function startsLikePreface(bytes: Uint8Array): boolean {
  const length = Math.min(bytes.length, PREFACE.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== PREFACE[i]) return false;
  return true;
}

/** Upper-case letters, then a space and the start of a target: what no other protocol in use begins with. */
function looksLikeHttp1(bytes: Uint8Array): Sniffed {
  for (let i = 0; i < bytes.length && i < METHOD_BYTES; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === SPACE && i > 1) return startsTarget(bytes[i + 1]);
    if ((byte < UPPER_A || byte > UPPER_Z) && byte !== HYPHEN) return OPAQUE;
  }
  return bytes.length < METHOD_BYTES ? MORE : OPAQUE;
}

/** `/`, `*` or the h of an absolute URL. */
function startsTarget(byte: number | undefined): Sniffed {
  if (byte === undefined) return MORE;
  return byte === 0x2f || byte === 0x2a || byte === 0x68 || byte === 0x48 ? HTTP1 : OPAQUE;
}
