import type { Headers } from '@ambit/http/headers';
import type { ResponseHead } from '@ambit/http/h2/contract';

/** One request as it came in, the same for HTTP/1.1 and HTTP/2. */
export interface DownstreamRequest {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  /** As sent: path with query, `*`, or an authority for CONNECT. */
  readonly target: string;
  /** Host or :authority; undefined when there is none. */
  readonly authority: string | undefined;
  readonly headers: Headers;
  /** Lower-case protocol of an HTTP/1.1 Upgrade. */
  readonly upgrade: string | undefined;
  /** No body follows. */
  readonly ended: boolean;
}

/** Where the response of one request goes. Calls come in this order: interim* → head → write* → end; or upgrade → write* → end; abort ends either. */
export interface Responder {
  /** A 1xx response. */
  interim(head: ResponseHead): void;
  /** The final head; `end` when no body follows. `local` marks a reply of this program. */
  head(head: ResponseHead, end: boolean, local: boolean): void;
  /** 101: bytes follow both ways. HTTP/1.1 only. */
  upgrade(head: ResponseHead): void;
  /** False: pause the source until Exchange.onDownstreamDrain. */
  write(chunk: Uint8Array): boolean;
  end(trailers: Headers | undefined): void;
  /** Cuts the response off: the client must see that it is not whole. */
  abort(): void;
  /** Stops and restarts the request's body. */
  pause(): void;
  resume(): void;
}
