import { HpackDecoder, HpackError } from '../hpack/decode.ts';
import type { ErrorCode, RequestHead, SessionOptions } from './contract.ts';
import { ALLOWANCES, FloodGuard } from './flood.ts';
import { ConnectionFault, DEFAULT_WINDOW, errorCode, FLAG, FRAME, PREFACE, readUint32 } from './frame.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { type AssembledBlock, HeaderAssembly } from './header-assembly.ts';
import { parseRequest, parseResponse, parseTrailers } from './message.ts';
import type { Role } from './settings.ts';
import { resetError, type Stream } from './stream.ts';

/** What reading a connection makes happen; done by the session. */
export interface InboundEvents {
  readonly role: Role;
  readonly options: SessionOptions;
  readonly streams: ReadonlyMap<number, Stream>;
  /** Client: the id the next request will have. */
  readonly nextStream: number;
  /** Server: a valid request. Undefined when the session takes no more. */
  openRequest(id: number, head: RequestHead, end: boolean): Stream | undefined;
  /** RST_STREAM for a stream that does not exist. */
  refuse(id: number, code: ErrorCode): void;
  answerTooLarge(id: number): void;
  growConnection(bytes: number): void;
  /** False when the stream's window overflows. */
  windowUpdate(stream: Stream | undefined, bytes: number): boolean;
  settings(payload: Uint8Array): void;
  ping(payload: Uint8Array, ack: boolean): void;
  goaway(lastStream: number, code: ErrorCode): void;
  peerReset(stream: Stream, error: Error): void;
}

/** How many of the streams we reset last may still send frames that were under way. */
const REMEMBERED_RESETS = 512;
const HPACK_TABLE_BYTES = 4096;

/** The receiving half of a session: checks every frame against RFC 9113, the windows and the limits, then tells the session. */
export class Inbound implements FrameSink {
  readonly #events: InboundEvents;
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #assembly: HeaderAssembly;
  readonly #resets = new FloodGuard(ALLOWANCES.resets);
  readonly #control = new FloodGuard(ALLOWANCES.control);
  readonly #empty = new FloodGuard(ALLOWANCES.empty);
  /** Streams we reset, oldest first: their late frames are no offence. */
  readonly #late = new Set<number>();
  #prefaceAt = 0;
  #settingsSeen = false;
  #window: number;
  #unacknowledged = 0;
  #dataStream: Stream | undefined;
  #dataLength = 0;
  #dataSeen = 0;
  /** Server: the highest stream id the peer has used. */
  lastPeerStream = 0;

  constructor(events: InboundEvents) {
    const { options, role } = events;
    this.#events = events;
    this.#window = Math.max(options.connectionWindow, DEFAULT_WINDOW);
    this.#prefaceAt = role === 'server' ? 0 : PREFACE.length;
    const maxHeaderFrame = options.maxHeaderListSize + 1024;
    this.#reader = new FrameReader(this, { maxFrameSize: options.maxFrameSize, maxHeaderFrame });
    this.#decoder = new HpackDecoder(HPACK_TABLE_BYTES, options.maxHeaderListSize);
    this.#assembly = new HeaderAssembly(maxHeaderFrame);
  }

  /** @throws ConnectionFault */
  push(chunk: Uint8Array): void {
    if (this.#prefaceAt === PREFACE.length) this.#reader.push(chunk);
    else this.#readPreface(chunk);
  }

  stop(): void {
    this.#reader.stopped = true;
  }

  expectLateFrames(id: number): void {
    this.#late.add(id);
    if (this.#late.size <= REMEMBERED_RESETS) return;
    for (const oldest of this.#late) {
      this.#late.delete(oldest);
      return;
    }
  }

  /** Gives window of the connection back, in steps of half a window. */
  consumed(bytes: number): void {
    this.#unacknowledged += bytes;
    if (this.#unacknowledged * 2 < this.#events.options.connectionWindow) return;
    const grown = this.#unacknowledged;
    this.#unacknowledged = 0;
    this.#window += grown;
    this.#events.growConnection(grown);
  }

  #readPreface(chunk: Uint8Array): void {
    let at = 0;
    for (; at < chunk.length && this.#prefaceAt < PREFACE.length; at++, this.#prefaceAt++)
      if (chunk[at] !== PREFACE.charCodeAt(this.#prefaceAt)) {
        const start = JSON.stringify(Buffer.from(chunk.subarray(0, 16)).toString('latin1'));
        throw new ConnectionFault('PROTOCOL_ERROR', `expected the HTTP/2 preface, got ${start}`);
      }
    if (at < chunk.length) this.#reader.push(chunk.subarray(at));
  }

  // ── DATA ──

  onDataStart(id: number, length: number): void {
    this.#requireSettings();
    if (id === 0) throw new ConnectionFault('PROTOCOL_ERROR', 'DATA on stream 0');
    this.#window -= length;
    if (this.#window < 0) throw new ConnectionFault('FLOW_CONTROL_ERROR', 'DATA above the connection window');
    this.#dataLength = length;
    this.#dataSeen = 0;
    this.#dataStream = this.#events.streams.get(id);
    const stream = this.#dataStream;
    const problem = stream === undefined ? undefined : this.#dataProblem(stream, length);
    if (stream !== undefined && problem === undefined) return;
    this.#dataStream = undefined;
    this.consumed(length);
    if (stream !== undefined && problem !== undefined) this.#streamFault(stream, problem);
    else this.#unknownStream(id);
  }

  #dataProblem(stream: Stream, length: number): ErrorCode | undefined {
    if (stream.remoteEnded) return 'STREAM_CLOSED';
    if (this.#events.role === 'client' && !stream.answered) return 'PROTOCOL_ERROR';
    stream.receiveWindow -= length;
    return stream.receiveWindow < 0 ? 'FLOW_CONTROL_ERROR' : undefined;
  }

  onDataChunk(chunk: Uint8Array): void {
    const stream = this.#dataStream;
    if (stream === undefined) return;
    this.#dataSeen += chunk.length;
    if (stream.closed) {
      this.consumed(chunk.length);
      return;
    }
    if (stream.expected >= 0) {
      stream.expected -= chunk.length;
      if (stream.expected < 0) {
        this.consumed(chunk.length);
        this.#streamFault(stream, 'PROTOCOL_ERROR');
        return;
      }
    }
    stream.receive(chunk);
  }

  onDataEnd(endStream: boolean): void {
    if (this.#dataLength === 0 && !endStream) this.#empty.spend();
    const stream = this.#dataStream;
    if (stream === undefined) return;
    this.#dataStream = undefined;
    const padding = this.#dataLength - this.#dataSeen;
    if (padding > 0) stream.receivePadding(padding);
    if (endStream) this.#end(stream, () => stream.receiveEnd(undefined));
  }

  #end(stream: Stream, deliver: () => void): void {
    if (stream.closed) return;
    if (stream.expected > 0) this.#streamFault(stream, 'PROTOCOL_ERROR');
    else deliver();
  }

  // ── other frames ──

  onFrame(type: number, flags: number, id: number, payload: Uint8Array): void {
    if (type !== FRAME.settings) this.#requireSettings();
    switch (type) {
      case FRAME.headers:
        this.#onHeaders(id, flags, payload);
        return;
      case FRAME.continuation:
        this.#block(this.#assembly.append(flags, payload), payload.length);
        return;
      case FRAME.windowUpdate:
        this.#onWindowUpdate(id, payload);
        return;
      case FRAME.reset:
        this.#onReset(id, payload);
        return;
      case FRAME.settings:
        this.#onSettings(id, flags, payload);
        return;
      case FRAME.ping:
        this.#onPing(id, flags, payload);
        return;
      case FRAME.goaway:
        this.#onGoaway(id, payload);
        return;
      case FRAME.priority:
        this.#onPriority(id, payload);
        return;
      default:
        throw new ConnectionFault('PROTOCOL_ERROR', 'PUSH_PROMISE, which was never allowed');
    }
  }

  #requireSettings(): void {
    if (!this.#settingsSeen) throw new ConnectionFault('PROTOCOL_ERROR', 'the first frame is not SETTINGS');
  }

  #onHeaders(id: number, flags: number, payload: Uint8Array): void {
    if (id === 0) throw new ConnectionFault('PROTOCOL_ERROR', 'HEADERS on stream 0');
    this.#block(this.#assembly.begin(id, flags, payload), payload.length);
  }

  #block(block: AssembledBlock | undefined, length: number): void {
    if (length === 0) this.#empty.spend();
    this.#reader.expectContinuation = this.#assembly.waitsFor;
    if (block === undefined) return;
    try {
      const { flat, tooLarge } = this.#decoder.decode(block.block);
      this.#message(block, flat, tooLarge);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new ConnectionFault('COMPRESSION_ERROR', error.message);
    }
  }

  #message({ streamId, end }: AssembledBlock, flat: readonly string[], tooLarge: boolean): void {
    const stream = this.#events.streams.get(streamId);
    if (stream !== undefined) {
      if (stream.remoteEnded) this.#streamFault(stream, 'STREAM_CLOSED');
      else if (tooLarge) this.#streamFault(stream, 'ENHANCE_YOUR_CALM');
      else if (this.#events.role === 'server' || stream.answered) this.#trailers(stream, flat, end);
      else this.#response(stream, flat, end);
    } else if (this.#events.role === 'server' && streamId > this.lastPeerStream)
      this.#request(streamId, { flat, end, tooLarge });
    else this.#unknownStream(streamId);
  }

  #request(id: number, message: { flat: readonly string[]; end: boolean; tooLarge: boolean }): void {
    if (id % 2 === 0) throw new ConnectionFault('PROTOCOL_ERROR', `request on even stream ${id}`);
    this.lastPeerStream = id;
    const { options, streams } = this.#events;
    if (streams.size >= options.maxConcurrentStreams) {
      this.#resets.spend();
      this.#events.refuse(id, 'REFUSED_STREAM');
      return;
    }
    if (message.tooLarge) {
      this.#resets.spend();
      this.#events.answerTooLarge(id);
      this.#events.refuse(id, 'NO_ERROR');
      return;
    }
    const parsed = parseRequest(message.flat, options.enableConnectProtocol);
    if (parsed.kind === 'malformed' || (message.end && parsed.length > 0)) {
      this.#resets.spend();
      this.#events.refuse(id, 'PROTOCOL_ERROR');
      return;
    }
    const stream = this.#events.openRequest(id, parsed.head, message.end);
    if (stream === undefined) return;
    stream.expected = parsed.length;
    if (message.end) this.#end(stream, () => stream.receiveEnd(undefined));
  }

  #response(stream: Stream, flat: readonly string[], end: boolean): void {
    const parsed = parseResponse(flat, stream.bodiless);
    if (parsed.kind === 'malformed' || (end && parsed.length > 0) || (end && parsed.head.status < 200)) {
      this.#streamFault(stream, 'PROTOCOL_ERROR');
      return;
    }
    stream.answered = parsed.head.status >= 200;
    stream.expected = parsed.length;
    stream.receiveHead(parsed.head, end);
    if (end) this.#end(stream, () => stream.receiveEnd(undefined));
  }

  #trailers(stream: Stream, flat: readonly string[], end: boolean): void {
    const parsed = parseTrailers(flat);
    if (parsed.kind === 'malformed' || !end) this.#streamFault(stream, 'PROTOCOL_ERROR');
    else this.#end(stream, () => stream.receiveEnd(parsed.headers));
  }

  #onWindowUpdate(id: number, payload: Uint8Array): void {
    if (payload.length !== 4) throw new ConnectionFault('FRAME_SIZE_ERROR', 'WINDOW_UPDATE of a length other than 4');
    const bytes = readUint32(payload, 0) & 0x7f_ff_ff_ff;
    if (id === 0) {
      if (bytes === 0) throw new ConnectionFault('PROTOCOL_ERROR', 'WINDOW_UPDATE by 0');
      this.#events.windowUpdate(undefined, bytes);
      return;
    }
    const stream = this.#events.streams.get(id);
    if (stream === undefined) this.#refuseIdle(id);
    else if (bytes === 0) this.#streamFault(stream, 'PROTOCOL_ERROR');
    else if (!this.#events.windowUpdate(stream, bytes)) this.#streamFault(stream, 'FLOW_CONTROL_ERROR');
  }

  #onReset(id: number, payload: Uint8Array): void {
    if (payload.length !== 4) throw new ConnectionFault('FRAME_SIZE_ERROR', 'RST_STREAM of a length other than 4');
    if (id === 0) throw new ConnectionFault('PROTOCOL_ERROR', 'RST_STREAM on stream 0');
    const stream = this.#events.streams.get(id);
    if (stream === undefined) {
      this.#refuseIdle(id);
      return;
    }
    if (this.#events.role === 'server' && !stream.answered) this.#resets.spend();
    stream.resetCode = errorCode(readUint32(payload, 0));
    this.#events.peerReset(stream, resetError(this.#events.role, stream.resetCode));
  }

  #onSettings(id: number, flags: number, payload: Uint8Array): void {
    if (id !== 0) throw new ConnectionFault('PROTOCOL_ERROR', 'SETTINGS on a stream');
    if (flags & FLAG.ack) {
      this.#requireSettings();
      if (payload.length > 0) throw new ConnectionFault('FRAME_SIZE_ERROR', 'SETTINGS ACK with a payload');
      return;
    }
    this.#control.spend();
    this.#settingsSeen = true;
    this.#events.settings(payload);
  }

  #onPing(id: number, flags: number, payload: Uint8Array): void {
    if (id !== 0) throw new ConnectionFault('PROTOCOL_ERROR', 'PING on a stream');
    if (payload.length !== 8) throw new ConnectionFault('FRAME_SIZE_ERROR', 'PING of a length other than 8');
    if (!(flags & FLAG.ack)) this.#control.spend();
    this.#events.ping(payload, (flags & FLAG.ack) !== 0);
  }

  #onGoaway(id: number, payload: Uint8Array): void {
    if (id !== 0) throw new ConnectionFault('PROTOCOL_ERROR', 'GOAWAY on a stream');
    if (payload.length < 8) throw new ConnectionFault('FRAME_SIZE_ERROR', 'GOAWAY shorter than 8 bytes');
    this.#events.goaway(readUint32(payload, 0) & 0x7f_ff_ff_ff, errorCode(readUint32(payload, 4)));
  }

  #onPriority(id: number, payload: Uint8Array): void {
    this.#control.spend();
    if (id === 0) throw new ConnectionFault('PROTOCOL_ERROR', 'PRIORITY on stream 0');
    if (payload.length !== 5) throw new ConnectionFault('FRAME_SIZE_ERROR', 'PRIORITY of a length other than 5');
  }

  // ── streams that are not there, and stream errors ──

  /** DATA or HEADERS for no open stream. */
  #unknownStream(id: number): void {
    this.#refuseIdle(id);
    if (this.#late.has(id)) return;
    this.#resets.spend();
    this.#events.refuse(id, 'STREAM_CLOSED');
  }

  #refuseIdle(id: number): void {
    const idle = this.#events.role === 'server' ? id % 2 === 0 || id > this.lastPeerStream : !this.#opened(id);
    if (idle) throw new ConnectionFault('PROTOCOL_ERROR', `frame on idle stream ${id}`);
  }

  #opened(id: number): boolean {
    return id % 2 === 1 && id < this.#events.nextStream;
  }

  #streamFault(stream: Stream, code: ErrorCode): void {
    if (this.#events.role === 'server' && !stream.answered) this.#resets.spend();
    stream.fail(code);
  }
}
