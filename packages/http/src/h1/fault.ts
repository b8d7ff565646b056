import type { Http1Fault } from './contract.ts';

/** Bounds of one head or trailer section. */
export interface HeadLimits {
  /** Bytes from the first of the start line to the empty line. */
  readonly headBytes: number;
  /** Header lines, Host included. */
  readonly headerLines: number;
}

/** What is wrong with a message, before the role (request or response) says what to answer. */
export type RefusalKind =
  | 'codec'
  | 'characters'
  | 'authority'
  | 'size'
  | 'count'
  | 'version'
  | 'encoding'
  | 'length-and-chunked';

/** A refused message, as a value: parsing has no exceptions. */
export interface Refusal {
  readonly refusal: RefusalKind;
  readonly message: string;
}

export const refuse = (refusal: RefusalKind, message: string): Refusal => ({ refusal, message });

/** What a request is answered, and the detail that Envoy logs for the same fault. */
const REQUEST_FAULTS: Readonly<Record<RefusalKind, readonly [status: Http1Fault['status'], detail: string]>> = {
  codec: [400, 'http1.codec_error'],
  characters: [400, 'http1.invalid_characters'],
  authority: [400, 'http.invalid_authority'],
  size: [431, 'http1.headers_too_large'],
  count: [431, 'http1.too_many_headers'],
  version: [426, 'low_version'],
  encoding: [501, 'http1.invalid_transfer_encoding'],
  'length-and-chunked': [400, 'http1.content_length_and_chunked_not_allowed'],
};

/** The fault of a refused message: a bad response is always 502. */
export function faultOf(role: 'request' | 'response', refusal: Refusal): Http1Fault {
  const [status, detail] = REQUEST_FAULTS[refusal.refusal];
  return { status: role === 'request' ? status : 502, detail, message: refusal.message };
}
