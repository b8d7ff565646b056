import type { Headers } from '@ambit/http/headers';
import { GrpcMessages } from './grpc-messages.ts';
import { headerBytes } from './wire-size.ts';

/**
 * What is known of one HTTP request, or of one opaque connection, when it is over: the one value that the access log line
 * and the metrics read. '' stands for what is absent; a field is written by the stage that learns it.
 */
export class ExchangeRecord {
  /** Milliseconds since the epoch, and of the monotonic clock. */
  readonly startTime: number;
  readonly started: number;
  method = '';
  /** With query, as the client sent it after normalisation. */
  path = '';
  protocol: '' | 'HTTP/1.1' | 'HTTP/2' = '';
  /** 0: no response. */
  responseCode = 0;
  /** Envoy's flags, comma separated. */
  flags = '';
  detail = '';
  connectionTermination = '';
  transportFailure = '';
  /** Body bytes; of an opaque connection all bytes. */
  bytesReceived = 0;
  bytesSent = 0;
  /** The same with start lines and headers, for metrics. */
  requestBytes = 0;
  responseBytes = 0;
  durationMs = 0;
  upstreamServiceTime = '';
  xForwardedFor = '';
  userAgent = '';
  requestId = '';
  authority = '';
  upstreamHost = '';
  upstreamCluster = '';
  upstreamLocal = '';
  downstreamLocal = '';
  downstreamRemote = '';
  sni = '';
  routeName = '';
  isGrpc = false;
  /** Messages of a gRPC call. */
  grpc: GrpcMessages | undefined = undefined;
  /** grpc-status of the response. */
  grpcStatus = '';

  constructor(startTime: number, started: number) {
    this.startTime = startTime;
    this.started = started;
  }

  /** Adds a flag; Envoy prints them in the order they were set. */
  addFlag(flag: string): void {
    if (flag === '' || flag === '-') return;
    this.flags = this.flags === '' ? flag : `${this.flags},${flag}`;
  }
}

/** What a request says of itself, whatever becomes of it. */
export interface RequestSummary {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  readonly target: string;
  readonly authority: string | undefined;
  readonly headers: Headers;
}

/** Fills in what is known when the head of a request has been read. */
export function describeRequest(record: ExchangeRecord, request: RequestSummary): void {
  const { headers } = request;
  record.method = request.method;
  record.path = request.target;
  record.protocol = request.protocol;
  record.authority = request.authority ?? '';
  record.userAgent = headers.get('user-agent') ?? '';
  record.xForwardedFor = headers.get('x-forwarded-for') ?? '';
  record.isGrpc = isGrpcContentType(headers.get('content-type'));
  if (record.isGrpc) record.grpc = new GrpcMessages();
  record.requestBytes = request.method.length + request.target.length + headerBytes(headers);
}

/** True for `application/grpc` and `application/grpc+…`, not for grpc-web. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith('application/grpc')) return false;
  const next = contentType.charCodeAt(16);
  return Number.isNaN(next) || next === 0x2b || next === 0x3b;
}
