import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import type { Headers } from '../headers.ts';

/** RFC 9113 §7. */
export type ErrorCode =
  | 'NO_ERROR'
  | 'PROTOCOL_ERROR'
  | 'INTERNAL_ERROR'
  | 'FLOW_CONTROL_ERROR'
  | 'SETTINGS_TIMEOUT'
  | 'STREAM_CLOSED'
  | 'FRAME_SIZE_ERROR'
  | 'REFUSED_STREAM'
  | 'CANCEL'
  | 'COMPRESSION_ERROR'
  | 'CONNECT_ERROR'
  | 'ENHANCE_YOUR_CALM'
  | 'INADEQUATE_SECURITY'
  | 'HTTP_1_1_REQUIRED';

/** Pseudo headers of a request (RFC 9113 §8.3.1); CONNECT has only method and authority. */
export interface RequestHead {
  readonly method: string;
  readonly scheme: string | undefined;
  readonly authority: string | undefined;
  readonly path: string | undefined;
  /** RFC 8441 extended CONNECT. */
  readonly protocol: string | undefined;
  readonly headers: Headers;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: Headers;
}

/** Everything a session may be told; defaults are Istio's ztunnel (windows 4 MiB and 16 MiB, frames 1 MiB, ping 10 s / 20 s). */
export interface SessionOptions {
  readonly initialWindow: number;
  readonly connectionWindow: number;
  readonly maxFrameSize: number;
  readonly maxHeaderListSize: number;
  readonly maxConcurrentStreams: number;
  /** Milliseconds; 0 disables. */
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** Bytes one stream may have queued by its writer before write() answers false. */
  readonly sendBuffer: number;
  /** Server: accept RFC 8441. */
  readonly enableConnectProtocol: boolean;
}

/** What a stream's owner is told, besides the bytes. Order: onHead (1xx any number of times, then the final one) → onData* → onTrailers? → onEnd → onClose. */
export interface StreamHandler extends ByteSink {
  /** Client only: a response head; `end` when no body follows. */
  onHead?(head: ResponseHead, end: boolean): void;
  onTrailers?(trailers: Headers): void;
}

/** One request/response exchange or tunnel. As a ByteStream its bytes are DATA, end() is END_STREAM, destroy() is RST_STREAM (CANCEL). */
export interface Http2Stream extends ByteStream {
  readonly id: number;
  /** Receives everything of this stream from now on; events that came before are delivered first (never inside the call). */
  attach(handler: StreamHandler): void;
  /** Lets the receiver go: everything from now on waits for the next attach(). */
  detach(): void;
  /** Server only: interim (1xx) or final response head. */
  respond(head: ResponseHead, end: boolean): void;
  /** Ends the sending side with trailers. */
  endWithTrailers(trailers: Headers): void;
  reset(code: ErrorCode): void;
  /** The code of the peer's RST_STREAM once closed by one. */
  readonly resetCode: ErrorCode | undefined;
}

export interface SessionHandler {
  /** Server only: a new request; attach a handler to the stream before returning. */
  onRequest?(stream: Http2Stream, head: RequestHead, end: boolean): void;
  /** The peer will take no new streams. */
  onGoaway?(code: ErrorCode): void;
  /** The peer's SETTINGS arrived or changed, or a stream slot became free. */
  onCapacity?(): void;
  /** Exactly once, last. */
  onClose(error: Error | undefined): void;
}

export interface Http2Session {
  /** Client only. Undefined when no stream can be opened now (GOAWAY, closed, peer's limit). */
  request(head: RequestHead, end: boolean, handler: StreamHandler): Http2Stream | undefined;
  /** Streams open now. */
  readonly activeStreams: number;
  /** The peer's SETTINGS_MAX_CONCURRENT_STREAMS; Infinity until it says. */
  readonly peerMaxStreams: number;
  /** False once GOAWAY was sent or received, or the session closed. */
  readonly accepting: boolean;
  /** Sends GOAWAY; open streams finish, then the session closes by itself. */
  drain(): void;
  /** Closes now: GOAWAY with the code, every stream ends with the error. */
  destroy(error?: Error, code?: ErrorCode): void;
}
