import { formatHostPort } from '@ambit/common/address/host-port';
import { evaluate } from '@ambit/common/authz/evaluate';
import { envoyDenialDetail } from '@ambit/common/authz/explain';
import { asMeshError, MeshError } from '@ambit/common/errors';
import type { RequestHead, ResponseHead, StreamHandler } from '@ambit/http/h2/contract';
import type { Headers } from '@ambit/http/headers';
import type { Http1Fault } from '@ambit/http/h1/contract';
import { Attempts, isRetriableGrpc } from './attempts.ts';
import { forwardedAddress, RequestAttributes } from './authorize/attributes.ts';
import type { DownstreamRequest, Responder } from './downstream.ts';
import type { TunnelContext } from './pipeline.ts';
import { ReplayBuffer } from './replay-buffer.ts';
import { describeRequest, type ExchangeRecord } from './telemetry/exchange-record.ts';
import { NO_ENDPOINT } from './telemetry/labels.ts';
import { headerBytes } from './telemetry/wire-size.ts';
import { localReply } from './transform/local-reply.ts';
import { normalizePath, withoutQuery } from './transform/path.ts';
import { upstreamHeaders } from './transform/request-headers.ts';
import { downstreamHeaders } from './transform/response-headers.ts';
import { failureAfterResponse, failureBeforeResponse } from './transform/upstream-failure.ts';
import { hostWithoutPort, NO_HEAD, refuseRequest, upstreamProtocol } from './transform/admission.ts';
import type { UpstreamEndpoint, UpstreamStream } from './upstream/contract.ts';

/**
 * One HTTP request: authorize → transform → upstream → deliver → record, with the attempt loop.
 *
 *     waiting ──(pick)──► sent ──(response head)──► responding ──► over
 *        ▲                  │ failed before any byte, replayable
 *        └──── backoff ◄────┘
 *
 * Owns neither connection: the responder writes to the client, the upstream stream to the backend.
 */
export class Exchange implements StreamHandler {
  readonly #tunnel: TunnelContext;
  readonly #responder: Responder;
  readonly #request: DownstreamRequest;
  readonly #record: ExchangeRecord;
  readonly #replay = new ReplayBuffer();
  #attributes: RequestAttributes | undefined;
  #head: RequestHead = NO_HEAD;
  #phase: 'waiting' | 'sent' | 'responding' | 'over' = 'waiting';
  #stream: UpstreamStream | undefined;
  #endpoint: UpstreamEndpoint | undefined;
  readonly #attempts = new Attempts();
  #retryTimer: NodeJS.Timeout | undefined;
  /** The attempt under way is given up; the next begins when it is closed. */
  #givenUp = false;
  readonly #wantsUpgrade: boolean;
  #requestEnded: boolean;
  #requestTrailers: Headers | undefined;
  #responseTrailers: Headers | undefined;
  #upgraded = false;
  #sentAt = 0;

  constructor(tunnel: TunnelContext, responder: Responder, request: DownstreamRequest) {
    this.#tunnel = tunnel;
    this.#responder = responder;
    this.#request = request;
    this.#wantsUpgrade = request.upgrade === 'websocket';
    this.#requestEnded = request.ended;
    this.#record = tunnel.newRecord();
  }

  get over(): boolean {
    return this.#phase === 'over';
  }

  /** Runs the request; the responder may be called before this returns. */
  start(): void {
    const request = this.#request;
    const record = this.#record;
    describeRequest(record, request);
    const refusal = refuseRequest(request);
    if (refusal !== undefined) {
      record.requestId = request.headers.get('x-request-id') ?? '';
      return this.#reply(refusal.status, refusal.text, refusal.flag, refusal.detail);
    }
    const path = normalizePath(request.target, this.#tunnel.pipeline.parts.settings().pathNormalization);
    if (path === undefined) return this.#reply(400, '', '', 'path_normalization_failed');
    record.path = path;
    this.#transform(path);
    if (this.#authorize(path)) this.#attempt();
  }

  /** True when the policies of now let the request through; else it has been answered. */
  #authorize(path: string): boolean {
    const { facts } = this.#tunnel;
    const request = this.#request;
    const remote = forwardedAddress(this.#record.xForwardedFor || undefined);
    if (remote !== undefined) this.#record.downstreamRemote = `${remote}:0`;
    const line = { host: request.authority ?? '', method: request.method, path: withoutQuery(path), target: path };
    this.#attributes = new RequestAttributes(facts, line, request.headers, remote ?? facts.source.ip);
    return this.#permitted();
  }

  #permitted(): boolean {
    if (this.#attributes === undefined) return true;
    const { pipeline, service } = this.#tunnel;
    const verdict = evaluate(pipeline.parts.policies.for(service), this.#attributes);
    if (this.#phase === 'waiting') this.#tunnel.tellVerdict(verdict, this.#record);
    if (verdict.allowed) return true;
    this.#tunnel.explainDenial(verdict, this.#record);
    const detail = envoyDenialDetail(verdict);
    if (this.#phase === 'responding') this.#cut('', detail);
    else this.#reply(403, 'RBAC: access denied', '', detail);
    return false;
  }

  /** Policies have changed while this exchange runs. */
  recheck(): void {
    if (this.#phase !== 'over') this.#permitted();
  }

  /** What the metrics should know before the end. */
  report(): void {
    this.#tunnel.reportHttp(this.#record, this.#endpoint ?? NO_ENDPOINT);
  }

  #transform(path: string): void {
    const { headers, authority, method } = this.#request;
    const { pipeline } = this.#tunnel;
    const upstream = upstreamHeaders(headers, pipeline.parts.newRequestId);
    this.#record.requestId = upstream.requestId;
    this.#record.upstreamCluster = this.#tunnel.clusterName('http');
    this.#record.routeName = 'default';
    this.#head = { method, scheme: 'http', authority, path, protocol: undefined, headers: upstream.headers };
  }

  /** Picks an endpoint and sends the request there; asks again when the pick needs something first. */
  #attempt(): void {
    const { destination, service, pipeline } = this.#tunnel;
    const picked = pipeline.parts.upstream.pick({
      backend: service,
      port: destination.address.port,
      originalDestination: destination.address,
      host: hostWithoutPort(this.#request.authority),
      tried: this.#attempts.tried,
    });
    switch (picked.kind) {
      case 'endpoint':
        return this.#send(picked.endpoint);
      case 'need':
        if (!this.#attempts.wait()) return this.#failed(new MeshError('DNS_FAILED', picked.detail));
        // Never rejects, by contract.
        void picked.ready.then(() => this.#phase === 'waiting' && this.#attempt());
        return;
      case 'none':
        return this.#failed(new MeshError(picked.code, picked.detail));
      default:
        picked satisfies never;
    }
  }

  #send(endpoint: UpstreamEndpoint): void {
    const { destination, pipeline } = this.#tunnel;
    const upgrade = this.#wantsUpgrade;
    const endStream = this.#requestEnded && this.#replay.empty && this.#requestTrailers === undefined && !upgrade;
    const protocol = upstreamProtocol(destination.port?.protocol ?? 'AUTO', this.#request);
    const options = upgrade ? { endStream, protocol, upgrade: 'websocket' } : { endStream, protocol };
    this.#endpoint = endpoint;
    this.#record.upstreamHost = endpoint.label;
    this.#phase = 'sent';
    this.#sentAt = pipeline.parts.clock.monotonic();
    this.#stream = pipeline.parts.upstream.request(endpoint, this.#head, options, this);
    if (!endStream && !upgrade) this.#sendBody(this.#stream);
  }

  /** What of the body is here already. */
  #sendBody(stream: UpstreamStream): void {
    let ready = true;
    for (const chunk of this.#replay.chunks) ready = stream.write(chunk) && ready;
    if (this.#requestEnded) this.#endUpstream();
    else if (ready) this.#responder.resume();
  }

  #endUpstream(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    if (this.#requestTrailers === undefined) stream.end();
    else stream.endWithTrailers(this.#requestTrailers);
  }

  // ── from the client ──

  onRequestData(chunk: Uint8Array): void {
    this.#record.bytesReceived += chunk.length;
    if (this.#phase === 'over') return;
    this.#record.grpc?.request.push(chunk);
    const stream = this.#phase === 'waiting' || this.#givenUp ? undefined : this.#stream;
    if (this.#phase !== 'responding') this.#replay.add(chunk, stream === undefined);
    if (stream === undefined || !stream.write(chunk)) this.#responder.pause();
  }

  onRequestEnd(trailers: Headers | undefined): void {
    this.#requestEnded = true;
    this.#requestTrailers = trailers;
    if (this.#phase === 'sent' || this.#phase === 'responding') this.#endUpstream();
  }

  /** The rest of the request is no valid HTTP. */
  onRequestFault(fault: Http1Fault, text: string): void {
    if (this.#phase === 'responding') this.#cut('DPE', fault.detail);
    else if (this.#phase !== 'over') this.#reply(fault.status, text, 'DPE', fault.detail);
  }

  onDownstreamDrain(): void {
    this.#stream?.resume();
  }

  /** The client went away, or reset this one stream. */
  onDownstreamClose(reset: boolean): void {
    if (this.#phase === 'over') return;
    this.#record.addFlag(reset ? 'DR' : 'DC');
    this.#record.detail = reset ? 'http2.remote_reset' : 'downstream_remote_disconnect';
    this.#finish();
  }

  // ── from the backend ──

  onHead(head: ResponseHead, end: boolean): void {
    if (this.#phase !== 'sent' || this.#givenUp) return;
    if (head.status === 101) return this.#upgrade(head);
    if (head.status < 200) return this.#responder.interim(head);
    const grpcStatus = head.headers.get('grpc-status');
    if (end && isRetriableGrpc(grpcStatus) && this.#canRetry()) {
      this.#givenUp = true;
      return;
    }
    if (this.#wantsUpgrade) return this.#upgradeRefused(head.status);
    this.#respond(head, end, grpcStatus);
  }

  #respond(head: ResponseHead, end: boolean, grpcStatus: string | undefined): void {
    const record = this.#record;
    this.#phase = 'responding';
    this.#replay.drop();
    record.responseCode = head.status;
    record.detail = 'via_upstream';
    if (this.#attempts.exhausted) record.addFlag('URX');
    record.grpcStatus = grpcStatus ?? '';
    const headers = this.#downstreamHeaders(head);
    this.#responder.head({ status: head.status, headers }, end, false);
    if (end) this.#answered();
  }

  #downstreamHeaders(head: ResponseHead): Headers {
    const { parts } = this.#tunnel.pipeline;
    const record = this.#record;
    record.upstreamServiceTime = String(Math.round(parts.clock.monotonic() - this.#sentAt));
    const headers = downstreamHeaders(head.headers, {
      server: parts.settings().serverHeader,
      upstreamServiceTime: record.upstreamServiceTime,
      date: this.#tunnel.pipeline.date(),
    });
    record.responseBytes = headerBytes(headers);
    return headers;
  }

  onData(chunk: Uint8Array): void {
    if (this.#phase !== 'responding') return;
    this.#record.bytesSent += chunk.length;
    this.#record.grpc?.response.push(chunk);
    if (!this.#responder.write(chunk)) this.#stream?.pause();
  }

  onTrailers(trailers: Headers): void {
    this.#responseTrailers = trailers;
    const grpcStatus = trailers.get('grpc-status');
    if (grpcStatus !== undefined) this.#record.grpcStatus = grpcStatus;
  }

  onEnd(): void {
    if (this.#phase !== 'responding') return;
    this.#responder.end(this.#responseTrailers);
    // Of an upgraded connection the other direction may go on.
    if (!this.#upgraded || this.#requestEnded) this.#answered();
  }

  onDrain(): void {
    this.#responder.resume();
  }

  onClose(error: Error | undefined): void {
    if (this.#phase === 'over') return;
    this.#release();
    if (this.#givenUp) return this.#retry();
    if (this.#upgraded && error === undefined) return this.#finish();
    const failure = asMeshError(error ?? new MeshError('UPSTREAM_CLOSED', 'the response was not finished'));
    if (this.#phase === 'responding') {
      const { flag, detail } = failureAfterResponse(failure);
      this.#cut(flag, detail);
    } else if (failure.kind.retry && this.#canRetry()) this.#retry();
    else this.#failed(failure);
  }

  #upgrade(head: ResponseHead): void {
    this.#phase = 'responding';
    this.#upgraded = true;
    this.#replay.drop();
    this.#record.responseCode = 101;
    this.#record.detail = 'via_upstream';
    this.#requestEnded = false;
    const headers = this.#downstreamHeaders(head);
    headers.append('upgrade', 'websocket');
    this.#responder.upgrade({ status: 101, headers });
  }

  /** As Envoy: the status passes, headers and body do not. */
  #upgradeRefused(status: number): void {
    this.#reply(status, '', '', 'websocket_handshake_unsuccessful');
  }

  // ── attempts and ends ──

  #canRetry(): boolean {
    return !this.#attempts.exhausted && this.#replay.complete;
  }

  #retry(): void {
    const delayMs = this.#attempts.retry(this.#endpoint, this.#tunnel.pipeline.parts.random());
    this.#phase = 'waiting';
    this.#givenUp = false;
    this.#retryTimer = setTimeout(() => this.#attempt(), delayMs);
  }

  #failed(error: MeshError): void {
    const failure = failureBeforeResponse(error, this.#attempts.retried);
    const record = this.#record;
    if (this.#attempts.exhausted) record.addFlag('URX');
    record.transportFailure = failure.transportFailure;
    this.#reply(failure.status, failure.text, failure.flag, failure.detail, failure.overloaded);
  }

  /** Answers without a backend. */
  // oxlint-disable-next-line max-params -- the five columns of the table of local replies
  #reply(status: number, text: string, flag: string, detail: string, overloaded = false): void {
    const { pipeline } = this.#tunnel;
    const record = this.#record;
    const reply = localReply({
      status,
      text,
      isGrpc: record.isGrpc,
      isHead: this.#request.method === 'HEAD',
      server: pipeline.parts.settings().serverHeader,
      date: pipeline.date(),
      overloaded,
    });
    record.responseCode = reply.status;
    record.addFlag(flag);
    record.detail = detail;
    record.bytesSent = reply.body.length;
    record.grpcStatus = reply.headers.get('grpc-status') ?? '';
    record.responseBytes = headerBytes(reply.headers);
    const end = reply.body.length === 0;
    this.#phase = 'responding';
    this.#responder.head({ status: reply.status, headers: reply.headers }, end, true);
    if (!end) {
      this.#responder.write(reply.body);
      this.#responder.end(undefined);
    }
    this.#finish();
  }

  /** Ends a response that has begun and cannot be finished. */
  #cut(flag: string, detail: string): void {
    this.#record.addFlag(flag);
    this.#record.detail = detail;
    this.#responder.abort();
    this.#finish();
  }

  /** The backend has said all it had to say. What it did not wait to hear of the request is not sent. */
  #answered(): void {
    if (this.#requestEnded) this.#release();
    this.#finish();
  }

  /** Lets go of a stream that ends by itself: its connection may serve another exchange already, and must not be reset. */
  #release(): void {
    const local = this.#stream?.local;
    if (local !== undefined) this.#record.upstreamLocal = formatHostPort(local.ip, local.port);
    this.#stream = undefined;
  }

  #finish(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    clearTimeout(this.#retryTimer);
    this.#replay.drop();
    const stream = this.#stream;
    this.#release();
    stream?.reset(this.#requestEnded ? 'CANCEL' : 'NO_ERROR');
    const record = this.#record;
    record.requestBytes += record.bytesReceived;
    record.responseBytes += record.bytesSent;
    this.#tunnel.finishHttp(record, this.#endpoint ?? NO_ENDPOINT);
  }
}
