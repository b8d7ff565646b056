import { MeshError } from '@ambit/common/errors';
import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import { HpackEncoder } from '../hpack/encode.ts';
import type {
  ErrorCode,
  Http2Session,
  RequestHead,
  ResponseHead,
  SessionHandler,
  SessionOptions,
  StreamHandler,
} from './contract.ts';
import { ConnectionFault, DEFAULT_WINDOW, errorNumber, FLAG, FRAME, MAX_STREAM_ID, PREFACE } from './frame.ts';
import { FrameWriter } from './frame-writer.ts';
import { Inbound, type InboundEvents } from './inbound.ts';
import { Keepalive } from './keepalive.ts';
import { requestPseudo } from './message.ts';
import { Sender, type SenderEvents } from './sender.ts';
import { applySettings, DEFAULT_OPTIONS, encodeSettings, initialPeerSettings, type Role } from './settings.ts';
import { Stream, type StreamOwner } from './stream.ts';

/** How long the peer may take to close after our last frame. */
const LINGER_MS = 1000;
const EMPTY = new Uint8Array(0);
const KEEPALIVE_PING = Buffer.from('ambit-ka');
const DRAIN_PING = Buffer.from('ambit-go');
const NO_HEADERS: readonly string[] = [];

/** Starts HTTP/2 as the client (RFC 9113) over a stream that nothing has been read from. */
export function clientSession(
  transport: ByteStream,
  options: Partial<SessionOptions>,
  handler: SessionHandler,
): Http2Session {
  return new Session('client', transport, { ...DEFAULT_OPTIONS, ...options }, handler);
}

/** Starts HTTP/2 as the server. */
export function serverSession(
  transport: ByteStream,
  options: Partial<SessionOptions>,
  handler: SessionHandler,
): Http2Session {
  return new Session('server', transport, { ...DEFAULT_OPTIONS, ...options }, handler);
}

/**
 * One connection: owns the streams, what is sent, and the end. What is received is read and checked by Inbound.
 *
 *   open ─ drain() or GOAWAY ─► draining ─ last stream gone ─► closing ─ transport closed ─► onClose
 *     └──────────── fault, destroy(), transport ended ───────────►┘
 */
class Session implements Http2Session, ByteSink, StreamOwner, SenderEvents, InboundEvents {
  readonly role: Role;
  readonly options: SessionOptions;
  readonly streams: Map<number, Stream> = new Map();
  readonly receiveWindow: number;
  readonly #transport: ByteStream;
  readonly #handler: SessionHandler;
  readonly #writer: FrameWriter;
  readonly #sender: Sender;
  readonly #inbound: Inbound;
  readonly #encoder = new HpackEncoder();
  readonly #peer = initialPeerSettings();
  readonly #keepalive: Keepalive;
  nextStream = 1;
  #draining = false;
  #peerGoaway = false;
  /** Server: the GOAWAY with the real last stream went out. */
  #finalGoaway = false;
  #closing = false;
  #closed = false;
  #error: Error | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(role: Role, transport: ByteStream, options: SessionOptions, handler: SessionHandler) {
    this.role = role;
    this.options = options;
    this.receiveWindow = options.initialWindow;
    this.#transport = transport;
    this.#handler = handler;
    this.#writer = new FrameWriter(transport);
    this.#sender = new Sender(this.#writer, options.sendBuffer, this);
    this.#inbound = new Inbound(this);
    this.#keepalive = new Keepalive({
      intervalMs: options.pingIntervalMs,
      timeoutMs: options.pingTimeoutMs,
      ping: () => this.#writer.control(FRAME.ping, 0, KEEPALIVE_PING),
      dead: () => this.#dead(),
    });
    this.#greet();
    transport.attach(this);
  }

  #greet(): void {
    if (this.role === 'client') this.#writer.raw(Buffer.from(PREFACE, 'latin1'));
    this.#writer.control(FRAME.settings, 0, encodeSettings(this.role, this.options));
    const growth = this.options.connectionWindow - DEFAULT_WINDOW;
    if (growth > 0) this.#writer.numbers(FRAME.windowUpdate, 0, growth);
  }

  // ── Http2Session ──

  get activeStreams(): number {
    return this.streams.size;
  }

  get peerMaxStreams(): number {
    return this.#peer.maxConcurrentStreams;
  }

  get accepting(): boolean {
    return !this.#draining && !this.#peerGoaway && !this.#closing;
  }

  request(head: RequestHead, end: boolean, handler: StreamHandler): Stream | undefined {
    if (!this.accepting || this.role === 'server' || this.streams.size >= this.#peer.maxConcurrentStreams)
      return undefined;
    const stream = new Stream(this.nextStream, this, this.#peer.initialWindow);
    this.nextStream += 2;
    if (this.nextStream > MAX_STREAM_ID) this.#draining = true;
    stream.begin(handler);
    stream.bodiless = head.method === 'HEAD';
    stream.writable = true;
    this.streams.set(stream.id, stream);
    this.#headers(stream, requestPseudo(head), head.headers.flat(), end);
    return stream;
  }

  drain(): void {
    if (this.#draining || this.#closing) return;
    this.#draining = true;
    if (this.role === 'client') this.#goaway('NO_ERROR', 0);
    else {
      // Streams may be on their way: first say that the end is near, and only after a round trip which was the last.
      this.#goaway('NO_ERROR', MAX_STREAM_ID);
      this.#writer.control(FRAME.ping, 0, DRAIN_PING);
    }
    this.#closeWhenDone();
  }

  destroy(error?: Error, code: ErrorCode = 'NO_ERROR'): void {
    this.#shut(error, code, '');
  }

  // ── ByteSink: the transport ──

  onData(chunk: Uint8Array): void {
    if (this.#closing) return;
    this.#keepalive.heard = true;
    try {
      this.#inbound.push(chunk);
    } catch (error) {
      if (!(error instanceof ConnectionFault)) throw error;
      this.#fault(error);
    }
  }

  onEnd(): void {
    if (this.streams.size > 0) this.#error ??= this.#gone('closed the connection');
    this.#shut(this.#error, 'NO_ERROR', '');
  }

  onDrain(): void {
    this.#writer.drained();
    this.#sender.pump();
  }

  onClose(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closing = true;
    this.#keepalive.stop();
    clearTimeout(this.#linger);
    this.#error ??= error === undefined ? undefined : this.#gone(`broke the connection: ${error.message}`, error);
    this.#closeStreams(this.#error ?? this.#gone('closed the connection'));
    process.nextTick(() => this.#handler.onClose(this.#error));
  }

  // ── StreamOwner ──

  write(stream: Stream, chunk: Uint8Array): boolean {
    if (stream.writable) return this.#sender.write(stream, chunk);
    stream.destroy(new MeshError('INTERNAL', 'body bytes were written before the response head'));
    return true;
  }

  finish(stream: Stream): void {
    if (!stream.writable) stream.destroy(new MeshError('INTERNAL', 'a stream was ended before its response head'));
    else if (stream.queue.bytes === 0) this.finishNow(stream);
  }

  respond(stream: Stream, head: ResponseHead, end: boolean): void {
    stream.answered = head.status >= 200;
    stream.writable = stream.answered;
    this.#headers(stream, [':status', String(head.status)], head.headers.flat(), end && stream.answered);
  }

  reset(stream: Stream, code: ErrorCode): void {
    if (!this.streams.has(stream.id)) return;
    this.#inbound.expectLateFrames(stream.id);
    this.#writer.numbers(FRAME.reset, stream.id, errorNumber(code));
    this.#forget(stream);
  }

  release(stream: Stream): void {
    stream.close(undefined);
    this.#forget(stream);
  }

  consumed(bytes: number): void {
    this.#inbound.consumed(bytes);
  }

  growWindow(stream: Stream, bytes: number): void {
    if (!this.#closing) this.#writer.numbers(FRAME.windowUpdate, stream.id, bytes);
  }

  // ── SenderEvents ──

  finishNow(stream: Stream): void {
    if (!stream.localEnded && stream.trailers !== undefined) {
      const block = this.#encoder.encode(NO_HEADERS, stream.trailers.flat());
      this.#writer.headers(stream.id, block, true, this.#sender.maxFrame);
    } else if (!stream.localEnded) this.#writer.data(stream.id, FLAG.endStream, EMPTY);
    stream.localEnded = true;
    if (stream.remoteEnded) this.release(stream);
  }

  // ── InboundEvents ──

  growConnection(bytes: number): void {
    if (!this.#closing) this.#writer.numbers(FRAME.windowUpdate, 0, bytes);
  }

  openRequest(id: number, head: RequestHead, end: boolean): Stream | undefined {
    if (this.#closing || this.#finalGoaway) return undefined;
    const stream = new Stream(id, this, this.#peer.initialWindow);
    this.streams.set(id, stream);
    this.#handler.onRequest?.(stream, head, end);
    return stream;
  }

  refuse(id: number, code: ErrorCode): void {
    this.#inbound.expectLateFrames(id);
    this.#writer.numbers(FRAME.reset, id, errorNumber(code));
  }

  answerTooLarge(id: number): void {
    const block = this.#encoder.encode([':status', '431'], NO_HEADERS);
    this.#writer.headers(id, block, true, this.#sender.maxFrame);
  }

  windowUpdate(stream: Stream | undefined, bytes: number): boolean {
    if (stream !== undefined) return this.#sender.growStream(stream, bytes);
    this.#sender.grow(bytes);
    return true;
  }

  settings(payload: Uint8Array): void {
    const before = this.#peer.initialWindow;
    applySettings(this.#peer, payload, this.role);
    this.#writer.control(FRAME.settings, FLAG.ack, EMPTY);
    this.#sender.maxFrame = this.#peer.maxFrameSize;
    const delta = this.#peer.initialWindow - before;
    for (const stream of delta === 0 ? [] : [...this.streams.values()])
      if (!this.#sender.growStream(stream, delta))
        throw new ConnectionFault('FLOW_CONTROL_ERROR', 'SETTINGS_INITIAL_WINDOW_SIZE overflows a window');
    this.#handler.onCapacity?.();
  }

  ping(payload: Uint8Array, ack: boolean): void {
    if (!ack) this.#writer.control(FRAME.ping, FLAG.ack, payload);
    else if (KEEPALIVE_PING.equals(payload)) this.#keepalive.answered();
    else if (DRAIN_PING.equals(payload) && this.#draining) {
      this.#goaway('NO_ERROR', this.#inbound.lastPeerStream);
      this.#finalGoaway = true;
      this.#closeWhenDone();
    }
  }

  goaway(lastStream: number, code: ErrorCode): void {
    this.#peerGoaway = true;
    for (const stream of this.streams.values()) {
      if (this.role === 'server' || stream.id <= lastStream) continue;
      stream.resetCode = 'REFUSED_STREAM';
      stream.close(new MeshError('DRAINING', 'the peer is shutting down and did not process the stream'));
      this.#forget(stream);
    }
    this.#handler.onGoaway?.(code);
    this.#closeWhenDone();
  }

  peerReset(stream: Stream, error: Error): void {
    stream.close(error);
    this.#forget(stream);
  }

  // ── the end ──

  #headers(stream: Stream, pseudo: readonly string[], headers: readonly string[], end: boolean): void {
    this.#writer.headers(stream.id, this.#encoder.encode(pseudo, headers), end, this.#sender.maxFrame);
    if (!end) return;
    stream.ending = true;
    stream.localEnded = true;
    if (stream.remoteEnded) this.release(stream);
  }

  #goaway(code: ErrorCode, lastStream: number): void {
    this.#writer.numbers(FRAME.goaway, 0, lastStream, errorNumber(code));
  }

  #forget(stream: Stream): void {
    if (!this.streams.delete(stream.id)) return;
    this.#handler.onCapacity?.();
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (this.#closing || this.streams.size > 0) return;
    const drained = this.#draining && (this.role === 'client' || this.#finalGoaway);
    if (drained || this.#peerGoaway) this.#shut(undefined, 'NO_ERROR', '');
  }

  #fault(fault: ConnectionFault): void {
    const who = this.role === 'client' ? 'server' : 'client';
    const message = `the HTTP/2 ${who} broke the protocol (${fault.code}): ${fault.message}`;
    this.#shut(new MeshError('HTTP2_FAILED', message, { cause: fault }), fault.code, fault.message);
  }

  #dead(): void {
    const { pingTimeoutMs } = this.options;
    this.#shut(this.#gone(`did not answer a PING for ${pingTimeoutMs} ms`), 'NO_ERROR', '');
    this.#transport.destroy(this.#error);
  }

  #gone(what: string, cause?: Error): MeshError {
    const code = this.role === 'client' ? 'UPSTREAM_CLOSED' : 'DOWNSTREAM_CLOSED';
    return new MeshError(code, `the HTTP/2 peer ${what}`, { cause });
  }

  /** Says GOAWAY, ends every stream and closes; the transport is cut if the peer does not close in time. */
  #shut(error: Error | undefined, code: ErrorCode, debug: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#error ??= error;
    this.#keepalive.stop();
    this.#inbound.stop();
    const payload = Buffer.alloc(8 + debug.length);
    payload.writeUInt32BE(this.#inbound.lastPeerStream, 0);
    payload.writeUInt32BE(errorNumber(code), 4);
    payload.write(debug, 8, 'latin1');
    this.#writer.control(FRAME.goaway, 0, payload);
    this.#writer.flush();
    this.#closeStreams(this.#error ?? this.#gone('connection was closed by this side'));
    this.#transport.end();
    this.#linger = setTimeout(() => this.#transport.destroy(this.#error), LINGER_MS).unref();
  }

  #closeStreams(error: Error): void {
    for (const stream of this.streams.values()) stream.close(error);
    this.streams.clear();
  }
}
