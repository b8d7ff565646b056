import { MeshError } from '@ambit/common/errors';
import type { Headers } from '../headers.ts';

/** Ends a chunked body that has no trailers. */
export const LAST_CHUNK: Uint8Array = Buffer.from('0\r\n\r\n');
/** Follows the data of every chunk. */
export const CHUNK_END: Uint8Array = Buffer.from('\r\n');

/** Reason phrases (RFC 9110 §15); other statuses get none. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [100, 'Continue'],
  [101, 'Switching Protocols'],
  [200, 'OK'],
  [201, 'Created'],
  [202, 'Accepted'],
  [204, 'No Content'],
  [206, 'Partial Content'],
  [301, 'Moved Permanently'],
  [302, 'Found'],
  [303, 'See Other'],
  [304, 'Not Modified'],
  [307, 'Temporary Redirect'],
  [308, 'Permanent Redirect'],
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [408, 'Request Timeout'],
  [409, 'Conflict'],
  [411, 'Length Required'],
  [413, 'Payload Too Large'],
  [415, 'Unsupported Media Type'],
  [422, 'Unprocessable Entity'],
  [426, 'Upgrade Required'],
  [429, 'Too Many Requests'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
  [501, 'Not Implemented'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
  [504, 'Gateway Timeout'],
]);

/** The reason phrase of a status, '' where none is registered. */
export const reasonPhrase = (status: number): string => REASONS.get(status) ?? '';

/**
 * Encodes a request head. `headers` is written as it is and must say how the body ends unless `chunked` adds that line.
 * @throws MeshError INTERNAL when a name or value would add a line: a head never says more than its header list.
 */
export function requestHead(method: string, target: string, headers: Headers, chunked: boolean): Buffer {
  return encode(`${method} ${target} HTTP/1.1\r\n`, headers, chunked, undefined);
}

/** Encodes a response head as {@link requestHead} does; `connection` is the value of the Connection header, if any. */
export function responseHead(
  status: number,
  headers: Headers,
  chunked: boolean,
  connection: 'close' | 'upgrade' | undefined,
): Buffer {
  return encode(`HTTP/1.1 ${status} ${REASONS.get(status) ?? ''}\r\n`, headers, chunked, connection);
}

/** The size line before `bytes` bytes of chunk data; never for 0, which would end the body. */
export const chunkStart = (bytes: number): Buffer => Buffer.from(`${bytes.toString(16)}\r\n`, 'latin1');

function encode(startLine: string, headers: Headers, chunked: boolean, connection: string | undefined): Buffer {
  const flat = headers.flat();
  let lines = flat.length / 2 + 2;
  let text = startLine;
  for (let i = 0; i < flat.length; i += 2) text += `${flat[i]}: ${flat[i + 1]}\r\n`;
  if (chunked) {
    text += 'transfer-encoding: chunked\r\n';
    lines++;
  }
  if (connection !== undefined) {
    text += `connection: ${connection}\r\n`;
    lines++;
  }
  text += '\r\n';
  if (countLineFeeds(text) !== lines) {
    throw new MeshError('INTERNAL', 'a header name or value holds a line feed: the message was not written');
  }
  return Buffer.from(text, 'latin1');
}

/** A handful of native searches: cheaper than looking at each value, and it covers names, method and target as well. */
function countLineFeeds(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
