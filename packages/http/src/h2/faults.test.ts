// deadline: 60s
import * as fc from 'fast-check';
import type { ByteSink, ByteStream } from '@ambit/common/net/byte-stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Headers } from '../headers.ts';
import { HpackDecoder } from '../hpack/decode.ts';
import { HpackEncoder } from '../hpack/encode.ts';
import type { Http2Session, Http2Stream, RequestHead, SessionOptions } from './contract.ts';
import { errorCode, FLAG, FRAME, PREFACE, readUint32 } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { clientSession, serverSession } from './session.ts';

/** A transport in memory: keeps what the session writes, delivers what the test sends. */
class Wire implements ByteStream {
  readonly written: Buffer[] = [];
  sink: ByteSink | undefined;
  ended = false;
  destroyed = false;
  attach(sink: ByteSink): void {
    this.sink = sink;
  }
  write(chunk: Uint8Array): boolean {
    this.written.push(Buffer.from(chunk));
    return true;
  }
  end(): void {
    this.ended = true;
  }
  pause(): void {}
  resume(): void {}
  cork(): void {}
  uncork(): void {}
  destroy(): void {
    this.destroyed = true;
    this.sink?.onClose(undefined);
  }
}

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

function frame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** The frames in what was written, without the preface. */
function frames(bytes: Buffer): Frame[] {
  const found: Frame[] = [];
  let at = bytes.subarray(0, 24).toString('latin1') === PREFACE ? 24 : 0;
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    const payload = bytes.subarray(at + 9, at + 9 + length);
    found.push({ type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, id: bytes.readUInt32BE(at + 5), payload });
    at += 9 + length;
  }
  return found;
}

const uint32 = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => bytes.writeUInt32BE(value >>> 0, i * 4));
  return bytes;
};

const block = (...flat: string[]): Buffer => Buffer.from(new HpackEncoder().encode([], flat));
const GET = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a'];
const CONNECT = [':method', 'CONNECT', ':authority', 'a:1'];
const UNREAD = [':method', 'CONNECT', ':authority', 'unread:1'];
const SETTINGS = frame(FRAME.settings, 0, 0);
const setting = (id: number, value: number): Buffer => Buffer.concat([Buffer.from([0, id]), uint32(value)]);
const END = FLAG.endStream | FLAG.endHeaders;
const request = (id: number, flags: number = FLAG.endHeaders, flat: string[] = CONNECT): Buffer =>
  frame(FRAME.headers, flags, id, block(...flat));

interface Seen {
  readonly wire: Wire;
  readonly session: Http2Session;
  readonly requests: RequestHead[];
  readonly streams: Http2Stream[];
  readonly events: string[];
  send(...bytes: Buffer[]): void;
  /** Frames written so far. */
  sent(): Frame[];
  goaway(): string | undefined;
  reset(id: number): string | undefined;
}

function watch(wire: Wire, session: Http2Session, rest: Pick<Seen, 'requests' | 'streams' | 'events'>): Seen {
  const sent = (): Frame[] => frames(Buffer.concat(wire.written));
  return {
    wire,
    session,
    ...rest,
    send: (...bytes) => {
      for (const one of bytes) wire.sink?.onData(one);
    },
    sent,
    goaway: () => {
      const found = sent().find((one) => one.type === FRAME.goaway);
      return found === undefined ? undefined : errorCode(readUint32(found.payload, 4));
    },
    reset: (id) => {
      const found = sent().find((one) => one.type === FRAME.reset && one.id === id);
      return found === undefined ? undefined : errorCode(readUint32(found.payload, 0));
    },
  };
}

/** Writes leave in the next round of the event loop. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

function server(options: Partial<SessionOptions> = {}, greet = true): Seen {
  const wire = new Wire();
  const seen = { requests: [] as RequestHead[], streams: [] as Http2Stream[], events: [] as string[] };
  const session = serverSession(
    wire,
    { pingIntervalMs: 0, ...options },
    {
      onClose: (error) => void seen.events.push(`close ${error?.message ?? 'clean'}`),
      onRequest: (stream, head) => {
        seen.requests.push(head);
        seen.streams.push(stream);
        if (head.authority === 'unread:1') stream.pause();
        stream.attach({
          onData: (chunk) => void seen.events.push(`data ${stream.id} ${chunk.length}`),
          onTrailers: () => void seen.events.push(`trailers ${stream.id}`),
          onEnd: () => void seen.events.push(`end ${stream.id}`),
          onDrain: () => undefined,
          onClose: (error) => void seen.events.push(`${error === undefined ? 'closed' : 'failed'} ${stream.id}`),
        });
      },
    },
  );
  const at = watch(wire, session, seen);
  if (greet) at.send(Buffer.from(PREFACE), SETTINGS);
  return at;
}

/** Each row: bytes after preface and SETTINGS that must end the connection with the code. */
const CONNECTION_FAULTS: readonly { name: string; bytes: Buffer[]; code: string; options?: Partial<SessionOptions> }[] =
  [
    { name: 'DATA on stream 0', bytes: [frame(FRAME.data, 0, 0, Buffer.from('x'))], code: 'PROTOCOL_ERROR' },
    { name: 'HEADERS on stream 0', bytes: [request(0)], code: 'PROTOCOL_ERROR' },
    { name: 'request on an even stream', bytes: [request(2)], code: 'PROTOCOL_ERROR' },
    { name: 'DATA on an idle stream', bytes: [frame(FRAME.data, 0, 5, Buffer.from('x'))], code: 'PROTOCOL_ERROR' },
    { name: 'RST_STREAM on an idle stream', bytes: [frame(FRAME.reset, 0, 5, uint32(8))], code: 'PROTOCOL_ERROR' },
    {
      name: 'WINDOW_UPDATE on an idle stream',
      bytes: [frame(FRAME.windowUpdate, 0, 5, uint32(8))],
      code: 'PROTOCOL_ERROR',
    },
    { name: 'CONTINUATION without HEADERS', bytes: [frame(FRAME.continuation, 4, 1)], code: 'PROTOCOL_ERROR' },
    {
      name: 'another frame inside a header block',
      bytes: [frame(FRAME.headers, 0, 1, block(...CONNECT)), frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'unknown frame inside a header block',
      bytes: [frame(FRAME.headers, 0, 1, block(...CONNECT)), frame(77, 0, 0)],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'CONTINUATION of another stream',
      bytes: [frame(FRAME.headers, 0, 1, block(...CONNECT)), frame(FRAME.continuation, 4, 3)],
      code: 'PROTOCOL_ERROR',
    },
    { name: 'PUSH_PROMISE from a client', bytes: [frame(FRAME.pushPromise, 4, 1, uint32(2))], code: 'PROTOCOL_ERROR' },
    {
      name: 'frame above our frame size',
      bytes: [frame(FRAME.data, 0, 1, Buffer.alloc(20_000))],
      code: 'FRAME_SIZE_ERROR',
      options: { maxFrameSize: 16_384 },
    },
    {
      name: 'padding longer than DATA',
      bytes: [request(1), frame(FRAME.data, FLAG.padded, 1, Buffer.from([9, 1, 2]))],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'padded DATA without a length',
      bytes: [request(1), frame(FRAME.data, FLAG.padded, 1)],
      code: 'FRAME_SIZE_ERROR',
    },
    {
      name: 'padding longer than HEADERS',
      bytes: [frame(FRAME.headers, FLAG.padded | 4, 1, Buffer.from([9, 1, 2]))],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'HEADERS too short for its priority',
      bytes: [frame(FRAME.headers, FLAG.priority | 4, 1, Buffer.from([9]))],
      code: 'FRAME_SIZE_ERROR',
    },
    { name: 'SETTINGS on a stream', bytes: [frame(FRAME.settings, 0, 1)], code: 'PROTOCOL_ERROR' },
    {
      name: 'SETTINGS of a wrong length',
      bytes: [frame(FRAME.settings, 0, 0, Buffer.alloc(5))],
      code: 'FRAME_SIZE_ERROR',
    },
    {
      name: 'SETTINGS ACK with payload',
      bytes: [frame(FRAME.settings, 1, 0, setting(4, 1))],
      code: 'FRAME_SIZE_ERROR',
    },
    { name: 'ENABLE_PUSH 2', bytes: [frame(FRAME.settings, 0, 0, setting(2, 2))], code: 'PROTOCOL_ERROR' },
    {
      name: 'INITIAL_WINDOW_SIZE above 2^31-1',
      bytes: [frame(FRAME.settings, 0, 0, setting(4, 0x8000_0000))],
      code: 'FLOW_CONTROL_ERROR',
    },
    {
      name: 'MAX_FRAME_SIZE below 16384',
      bytes: [frame(FRAME.settings, 0, 0, setting(5, 16_383))],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'MAX_FRAME_SIZE above 2^24-1',
      bytes: [frame(FRAME.settings, 0, 0, setting(5, 0x100_0000))],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'INITIAL_WINDOW_SIZE that overflows an open window',
      bytes: [
        request(1),
        frame(FRAME.windowUpdate, 0, 1, uint32(0x7f00_0000)),
        frame(FRAME.settings, 0, 0, setting(4, 0x7fff_ffff)),
      ],
      code: 'FLOW_CONTROL_ERROR',
    },
    { name: 'PING on a stream', bytes: [frame(FRAME.ping, 0, 1, Buffer.alloc(8))], code: 'PROTOCOL_ERROR' },
    { name: 'PING of 7 bytes', bytes: [frame(FRAME.ping, 0, 0, Buffer.alloc(7))], code: 'FRAME_SIZE_ERROR' },
    { name: 'GOAWAY on a stream', bytes: [frame(FRAME.goaway, 0, 1, Buffer.alloc(8))], code: 'PROTOCOL_ERROR' },
    { name: 'GOAWAY of 7 bytes', bytes: [frame(FRAME.goaway, 0, 0, Buffer.alloc(7))], code: 'FRAME_SIZE_ERROR' },
    {
      name: 'RST_STREAM of 3 bytes',
      bytes: [request(1), frame(FRAME.reset, 0, 1, Buffer.alloc(3))],
      code: 'FRAME_SIZE_ERROR',
    },
    { name: 'RST_STREAM on stream 0', bytes: [frame(FRAME.reset, 0, 0, uint32(8))], code: 'PROTOCOL_ERROR' },
    {
      name: 'WINDOW_UPDATE of 3 bytes',
      bytes: [frame(FRAME.windowUpdate, 0, 0, Buffer.alloc(3))],
      code: 'FRAME_SIZE_ERROR',
    },
    {
      name: 'WINDOW_UPDATE by 0 on the connection',
      bytes: [frame(FRAME.windowUpdate, 0, 0, uint32(0))],
      code: 'PROTOCOL_ERROR',
    },
    {
      name: 'connection window above 2^31-1',
      bytes: [frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff_ffff))],
      code: 'FLOW_CONTROL_ERROR',
    },
    { name: 'PRIORITY on stream 0', bytes: [frame(FRAME.priority, 0, 0, Buffer.alloc(5))], code: 'PROTOCOL_ERROR' },
    { name: 'PRIORITY of 4 bytes', bytes: [frame(FRAME.priority, 0, 1, Buffer.alloc(4))], code: 'FRAME_SIZE_ERROR' },
    {
      name: 'undecodable header block',
      bytes: [frame(FRAME.headers, END, 1, Buffer.from('80', 'hex'))],
      code: 'COMPRESSION_ERROR',
    },
    {
      name: 'DATA above the connection window',
      bytes: [
        request(1, FLAG.endHeaders, UNREAD),
        ...Array.from({ length: 5 }, () => frame(FRAME.data, 0, 1, Buffer.alloc(16_384))),
      ],
      code: 'FLOW_CONTROL_ERROR',
      options: { connectionWindow: 65_535, initialWindow: 1 << 20 },
    },
    {
      name: 'CONTINUATION flood in bytes',
      bytes: [
        frame(FRAME.headers, 0, 1),
        ...Array.from({ length: 10 }, () => frame(FRAME.continuation, 0, 1, Buffer.alloc(8000))),
      ],
      code: 'ENHANCE_YOUR_CALM',
    },
    {
      name: 'CONTINUATION flood in empty frames',
      bytes: [frame(FRAME.headers, 0, 1), ...Array.from({ length: 200 }, () => frame(FRAME.continuation, 0, 1))],
      code: 'ENHANCE_YOUR_CALM',
    },
    {
      name: 'PING flood',
      bytes: Array.from({ length: 1200 }, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))),
      code: 'ENHANCE_YOUR_CALM',
    },
    { name: 'SETTINGS flood', bytes: Array.from({ length: 1200 }, () => SETTINGS), code: 'ENHANCE_YOUR_CALM' },
    {
      name: 'PRIORITY flood',
      bytes: Array.from({ length: 1200 }, () => frame(FRAME.priority, 0, 1, Buffer.alloc(5))),
      code: 'ENHANCE_YOUR_CALM',
    },
    {
      name: 'empty DATA flood',
      bytes: [request(1), ...Array.from({ length: 1200 }, () => frame(FRAME.data, 0, 1))],
      code: 'ENHANCE_YOUR_CALM',
    },
    {
      name: 'rapid reset (CVE-2023-44487)',
      bytes: Array.from({ length: 1300 }, (_, i) =>
        Buffer.concat([request(1 + 2 * i), frame(FRAME.reset, 0, 1 + 2 * i, uint32(8))]),
      ),
      code: 'ENHANCE_YOUR_CALM',
    },
    {
      name: 'resets provoked from us (CVE-2025-8671)',
      bytes: Array.from({ length: 1300 }, (_, i) =>
        Buffer.concat([request(1 + 2 * i), frame(FRAME.windowUpdate, 0, 1 + 2 * i, uint32(0))]),
      ),
      code: 'ENHANCE_YOUR_CALM',
    },
    {
      name: 'malformed requests without end',
      bytes: Array.from({ length: 1300 }, (_, i) => request(1 + 2 * i, END, [':method', 'GET'])),
      code: 'ENHANCE_YOUR_CALM',
    },
  ];

for (const { name, bytes, code, options } of CONNECTION_FAULTS) {
  test(`ends the connection with ${code}: ${name}`, async () => {
    const at = server(options);
    at.send(...bytes);
    assert.is(at.goaway(), code);
    assert.is(at.wire.ended, true);
    assert.is(at.session.activeStreams, 0);
    at.wire.destroy();
    await turn();
    assert.match(at.events.at(-1) ?? '', `close the HTTP/2 client broke the protocol (${code})`);
    assert.is(at.events.filter((event) => event.startsWith('close ')).length, 1);
  });
}

for (const [name, first] of [
  ['something else than the preface', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  [
    'a first frame that is not SETTINGS',
    Buffer.concat([Buffer.from(PREFACE), frame(FRAME.ping, 0, 0, Buffer.alloc(8))]),
  ],
  ['a SETTINGS ACK first', Buffer.concat([Buffer.from(PREFACE), frame(FRAME.settings, 1, 0)])],
  ['DATA first', Buffer.concat([Buffer.from(PREFACE), frame(FRAME.data, 0, 1)])],
] as const) {
  test(`ends the connection with PROTOCOL_ERROR: ${name}`, () => {
    const at = server({}, false);
    at.send(first);
    assert.is(at.goaway(), 'PROTOCOL_ERROR');
    at.wire.destroy();
  });
}

/** Each row: a request that only its stream pays for. */
const STREAM_FAULTS: readonly { name: string; bytes: Buffer[]; code: string; options?: Partial<SessionOptions> }[] = [
  { name: 'upper-case header name', bytes: [request(1, END, [...GET, 'X-A', '1'])], code: 'PROTOCOL_ERROR' },
  { name: 'empty header name', bytes: [request(1, END, [...GET, '', '1'])], code: 'PROTOCOL_ERROR' },
  { name: 'connection header', bytes: [request(1, END, [...GET, 'connection', 'close'])], code: 'PROTOCOL_ERROR' },
  {
    name: 'transfer-encoding',
    bytes: [request(1, END, [...GET, 'transfer-encoding', 'chunked'])],
    code: 'PROTOCOL_ERROR',
  },
  { name: 'te other than trailers', bytes: [request(1, END, [...GET, 'te', 'gzip'])], code: 'PROTOCOL_ERROR' },
  { name: 'blank at the end of a value', bytes: [request(1, END, [...GET, 'a', 'b '])], code: 'PROTOCOL_ERROR' },
  { name: 'unknown pseudo header', bytes: [request(1, END, [...GET, ':x', '1'])], code: 'PROTOCOL_ERROR' },
  { name: 'response pseudo header', bytes: [request(1, END, [...GET, ':status', '200'])], code: 'PROTOCOL_ERROR' },
  { name: 'pseudo header after others', bytes: [request(1, END, ['a', 'b', ...GET])], code: 'PROTOCOL_ERROR' },
  { name: 'pseudo header twice', bytes: [request(1, END, [...GET, ':path', '/'])], code: 'PROTOCOL_ERROR' },
  { name: 'no :path', bytes: [request(1, END, [':method', 'GET', ':scheme', 'http'])], code: 'PROTOCOL_ERROR' },
  {
    name: 'empty :path',
    bytes: [request(1, END, [':method', 'GET', ':scheme', 'http', ':path', ''])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: ':path with a blank',
    bytes: [request(1, END, [':method', 'GET', ':scheme', 'http', ':path', '/a b'])],
    code: 'PROTOCOL_ERROR',
  },
  { name: 'no :scheme', bytes: [request(1, END, [':method', 'GET', ':path', '/'])], code: 'PROTOCOL_ERROR' },
  { name: 'no :method', bytes: [request(1, END, [':scheme', 'http', ':path', '/'])], code: 'PROTOCOL_ERROR' },
  {
    name: 'method that is no token',
    bytes: [request(1, END, [':method', 'G T', ':scheme', 'http', ':path', '/'])],
    code: 'PROTOCOL_ERROR',
  },
  { name: 'CONNECT with :path', bytes: [request(1, END, [...CONNECT, ':path', '/'])], code: 'PROTOCOL_ERROR' },
  { name: 'CONNECT without :authority', bytes: [request(1, END, [':method', 'CONNECT'])], code: 'PROTOCOL_ERROR' },
  {
    name: 'extended CONNECT that was not offered',
    bytes: [
      request(1, END, [
        ':method',
        'CONNECT',
        ':protocol',
        'websocket',
        ':scheme',
        'http',
        ':path',
        '/',
        ':authority',
        'a',
      ]),
    ],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'userinfo in :authority',
    bytes: [request(1, END, [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'u@a'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'host that differs from :authority',
    bytes: [request(1, END, [...GET, 'host', 'b'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'content-lengths that differ',
    bytes: [request(1, FLAG.endHeaders, [...GET, 'content-length', '1', 'content-length', '2'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'content-length that is no number',
    bytes: [request(1, FLAG.endHeaders, [...GET, 'content-length', '+1'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'content-length without body',
    bytes: [request(1, END, [...GET, 'content-length', '1'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'body longer than content-length',
    bytes: [request(1, FLAG.endHeaders, [...GET, 'content-length', '1']), frame(FRAME.data, 0, 1, Buffer.from('ab'))],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'body shorter than content-length',
    bytes: [request(1, FLAG.endHeaders, [...GET, 'content-length', '3']), frame(FRAME.data, 1, 1, Buffer.from('ab'))],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'trailers without END_STREAM',
    bytes: [request(1, FLAG.endHeaders, GET), request(1, FLAG.endHeaders, ['a', 'b'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'pseudo header in trailers',
    bytes: [request(1, FLAG.endHeaders, GET), request(1, END, [':path', '/'])],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'DATA after END_STREAM',
    bytes: [request(1, END, GET), frame(FRAME.data, 0, 1, Buffer.from('x'))],
    code: 'STREAM_CLOSED',
  },
  { name: 'HEADERS after END_STREAM', bytes: [request(1, END, GET), request(1, END, GET)], code: 'STREAM_CLOSED' },
  {
    name: 'WINDOW_UPDATE by 0',
    bytes: [request(1), frame(FRAME.windowUpdate, 0, 1, uint32(0))],
    code: 'PROTOCOL_ERROR',
  },
  {
    name: 'stream window above 2^31-1',
    bytes: [request(1), frame(FRAME.windowUpdate, 0, 1, uint32(0x7fff_ffff))],
    code: 'FLOW_CONTROL_ERROR',
  },
  {
    name: 'DATA above the stream window',
    bytes: [
      request(1, FLAG.endHeaders, UNREAD),
      ...Array.from({ length: 5 }, () => frame(FRAME.data, 0, 1, Buffer.alloc(16_384))),
    ],
    code: 'FLOW_CONTROL_ERROR',
    options: { initialWindow: 65_535 },
  },
  {
    name: 'header list above the limit',
    bytes: [request(1, END, [...GET, ...Array.from({ length: 60 }, () => ['a', 'b'.repeat(10)]).flat()])],
    code: 'NO_ERROR',
    options: { maxHeaderListSize: 1000 },
  },
];

for (const { name, bytes, code, options } of STREAM_FAULTS) {
  test(`resets only the stream with ${code}: ${name}`, async () => {
    const at = server(options);
    at.send(...bytes);
    await turn();
    assert.is(at.reset(1), code);
    at.send(request(3, END, GET));
    assert.is(at.goaway(), undefined);
    assert.is(at.requests.at(-1)?.path, '/');
    assert.not(at.events.includes('end 1') && code === 'PROTOCOL_ERROR');
    at.wire.destroy();
  });
}

test('a header list above the limit is answered with 431', async () => {
  const at = server({ maxHeaderListSize: 200 });
  at.send(request(1, END, [...GET, 'a', 'b'.repeat(100)]));
  await turn();
  const answer = at.sent().find((one) => one.type === FRAME.headers);
  assert.equal(new HpackDecoder(4096, 1000).decode(answer?.payload ?? Buffer.alloc(0)).flat, [':status', '431']);
  assert.is(at.requests.length, 0);
  at.wire.destroy();
});

test('a stream above our limit is refused, so that the client may repeat it', async () => {
  const at = server({ maxConcurrentStreams: 2 });
  at.send(request(1), request(3), request(5));
  await turn();
  assert.is(at.reset(5), 'REFUSED_STREAM');
  assert.is(at.requests.length, 2);
  at.wire.destroy();
});

test('frames that were under way when we reset a stream are no offence and give their window back', async () => {
  const at = server({ connectionWindow: 65_536 });
  at.send(request(1));
  at.streams[0]?.reset('CANCEL');
  at.send(...Array.from({ length: 8 }, () => frame(FRAME.data, 0, 1, Buffer.alloc(8192))));
  at.send(request(1, END, ['a', 'b']), frame(FRAME.windowUpdate, 0, 1, uint32(1)), frame(FRAME.reset, 0, 1, uint32(8)));
  await turn();
  assert.is(at.goaway(), undefined);
  const grown = at.sent().filter((one) => one.type === FRAME.windowUpdate && one.id === 0);
  assert.is(
    grown.reduce((sum, one) => sum + readUint32(one.payload, 0), 0),
    65_536 - 65_535 + 65_536,
  );
  at.wire.destroy();
});

test('padding counts against the windows and is given back', async () => {
  const at = server({ initialWindow: 1000, connectionWindow: 65_535 });
  at.send(request(1));
  for (let i = 0; i < 300; i++)
    at.send(
      frame(FRAME.data, FLAG.padded, 1, Buffer.concat([Buffer.from([250]), Buffer.from('x'), Buffer.alloc(250)])),
    );
  await turn();
  const grown = at.sent().filter((one) => one.type === FRAME.windowUpdate && one.id === 1);
  assert.ok(grown.reduce((sum, one) => sum + readUint32(one.payload, 0), 0) >= 300 * 252 - 1000);
  assert.is(at.events.filter((event) => event === 'data 1 1').length, 300);
  at.wire.destroy();
});

test('unknown frames and settings are ignored', () => {
  const at = server();
  at.send(frame(99, 7, 1, Buffer.alloc(50)), frame(FRAME.settings, 0, 0, setting(99, 5)), request(1, END, GET));
  assert.is(at.requests.length, 1);
  at.wire.destroy();
});

test('a request may come one byte at a time, padded, with priority and in pieces', () => {
  const at = server();
  const list = block(...GET, 'a', 'b');
  const first = Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 16]), list.subarray(0, 5), Buffer.alloc(3)]);
  const bytes = Buffer.concat([
    frame(FRAME.headers, FLAG.padded | FLAG.priority | FLAG.endStream, 1, first),
    frame(FRAME.continuation, 0, 1, list.subarray(5, 9)),
    frame(FRAME.continuation, FLAG.endHeaders, 1, list.subarray(9)),
  ]);
  for (const byte of bytes) at.send(Buffer.from([byte]));
  assert.is(at.requests[0]?.headers.get('a'), 'b');
  assert.equal(at.events, ['end 1']);
  at.wire.destroy();
});

test('cookie crumbs are joined, host becomes the authority', () => {
  const at = server();
  at.send(
    request(1, END, [':method', 'GET', ':scheme', 'http', ':path', '/', 'cookie', 'a=1', 'host', 'h', 'cookie', 'b=2']),
  );
  assert.is(at.requests[0]?.headers.get('cookie'), 'a=1; b=2');
  assert.is(at.requests[0]?.authority, 'h');
  at.wire.destroy();
});

test('extended CONNECT is taken when it is offered (RFC 8441)', async () => {
  const at = server({ enableConnectProtocol: true });
  at.send(
    request(1, FLAG.endHeaders, [
      ':method',
      'CONNECT',
      ':protocol',
      'websocket',
      ':scheme',
      'http',
      ':path',
      '/chat',
      ':authority',
      'a',
    ]),
  );
  assert.is(at.requests[0]?.protocol, 'websocket');
  await turn();
  assert.ok(at.sent()[0]?.payload.includes(setting(8, 1)));
  at.wire.destroy();
});

test('a stream that waits for window sends exactly what it is given, and END_STREAM with the last byte', async () => {
  const at = server();
  at.send(frame(FRAME.settings, 0, 0, setting(4, 10)), request(1));
  at.streams[0]?.respond({ status: 200, headers: new Headers() }, false);
  at.streams[0]?.write(Buffer.alloc(25));
  at.streams[0]?.end();
  const sizes = (): string[] =>
    at
      .sent()
      .filter((one) => one.type === FRAME.data)
      .map((one) => `${one.payload.length}${one.flags & FLAG.endStream ? '!' : ''}`);
  await turn();
  assert.equal(sizes(), ['10']);
  at.send(frame(FRAME.windowUpdate, 0, 1, uint32(5)));
  await turn();
  assert.equal(sizes(), ['10', '5']);
  at.send(frame(FRAME.settings, 0, 0, setting(4, 0)), frame(FRAME.windowUpdate, 0, 1, uint32(10)));
  await turn();
  assert.equal(sizes(), ['10', '5'], 'a lowered initial window makes the window negative');
  at.send(frame(FRAME.windowUpdate, 0, 1, uint32(10)));
  await turn();
  assert.equal(sizes(), ['10', '5', '10!']);
  at.wire.destroy();
});

test('a drain says GOAWAY, waits a round trip, then names the last stream and closes when done', async () => {
  const at = server();
  at.send(request(1));
  at.session.drain();
  await turn();
  const goaways = (): number[] =>
    at
      .sent()
      .filter((one) => one.type === FRAME.goaway)
      .map((one) => readUint32(one.payload, 0));
  assert.equal(goaways(), [0x7fff_ffff]);
  at.send(request(3));
  const ping = at.sent().find((one) => one.type === FRAME.ping);
  at.send(frame(FRAME.ping, FLAG.ack, 0, ping?.payload));
  await turn();
  assert.equal(goaways(), [0x7fff_ffff, 3]);
  for (const stream of at.streams) {
    stream.respond({ status: 200, headers: new Headers() }, true);
    at.send(frame(FRAME.data, FLAG.endStream, stream.id));
  }
  await turn();
  assert.is(at.wire.ended, true);
  at.wire.destroy();
});

// ── client ──

function client(options: Partial<SessionOptions> = {}): Seen & { open(method?: string): Http2Stream } {
  const wire = new Wire();
  const seen = { requests: [] as RequestHead[], streams: [] as Http2Stream[], events: [] as string[] };
  const session = clientSession(
    wire,
    { pingIntervalMs: 0, ...options },
    {
      onClose: (error) => void seen.events.push(`close ${error?.message ?? 'clean'}`),
    },
  );
  const at = watch(wire, session, seen);
  at.send(SETTINGS);
  const open = (method = 'GET'): Http2Stream => {
    const stream = session.request(
      { method, scheme: 'http', authority: 'a', path: '/', protocol: undefined, headers: new Headers() },
      true,
      {
        onHead: (head) => void seen.events.push(`head ${head.status}`),
        onData: (chunk) => void seen.events.push(`data ${chunk.length}`),
        onEnd: () => void seen.events.push('end'),
        onDrain: () => undefined,
        onClose: (error) => void seen.events.push(error === undefined ? 'closed' : 'failed'),
      },
    );
    if (stream === undefined) throw new Error('no stream');
    return stream;
  };
  return { ...at, open };
}

const ANSWER = [':status', '200'];
const RESPONSE_FAULTS: readonly { name: string; bytes: Buffer[] }[] = [
  { name: 'no :status', bytes: [request(1, END, ['a', 'b'])] },
  { name: ':status 101', bytes: [request(1, END, [':status', '101'])] },
  { name: ':status with two digits', bytes: [request(1, END, [':status', '20'])] },
  { name: 'request pseudo header', bytes: [request(1, END, [...ANSWER, ':path', '/'])] },
  { name: 'interim answer that ends', bytes: [request(1, END, [':status', '103'])] },
  { name: 'DATA before the head', bytes: [frame(FRAME.data, 0, 1, Buffer.from('x'))] },
  {
    name: 'body longer than content-length',
    bytes: [
      request(1, FLAG.endHeaders, [...ANSWER, 'content-length', '1']),
      frame(FRAME.data, 0, 1, Buffer.from('ab')),
    ],
  },
];

for (const { name, bytes } of RESPONSE_FAULTS) {
  test(`a client resets the stream with PROTOCOL_ERROR: ${name}`, async () => {
    const at = client();
    at.open();
    at.send(...bytes);
    await turn();
    assert.is(at.reset(1), 'PROTOCOL_ERROR');
    assert.is(at.events.at(-1), 'failed');
    assert.is(at.goaway(), undefined);
    at.wire.destroy();
  });
}

test('an answer to HEAD and a 304 may have a content-length without a body', async () => {
  const at = client();
  at.open('HEAD');
  at.send(request(1, END, [...ANSWER, 'content-length', '10']));
  at.open();
  at.send(request(3, END, [':status', '304', 'content-length', '10']));
  await turn();
  assert.equal(at.events, ['head 200', 'end', 'head 304', 'end', 'closed', 'closed']);
  at.wire.destroy();
});

test('GOAWAY fails only the streams the server will not process, as refused', async () => {
  const at = client();
  const [one, three] = [at.open(), at.open()];
  at.send(frame(FRAME.goaway, 0, 0, uint32(1, 0)));
  await turn();
  assert.is(three.resetCode, 'REFUSED_STREAM');
  assert.is(one.resetCode, undefined);
  assert.is(at.session.accepting, false);
  at.send(request(1, END, ANSWER));
  await turn();
  assert.equal(at.events, ['failed', 'head 200', 'end', 'closed']);
  assert.is(at.wire.ended, true);
  at.wire.destroy();
});

test('a server that opens a stream, or pushes, ends the connection', () => {
  for (const bytes of [request(2, END, ANSWER), request(9, END, ANSWER), frame(FRAME.pushPromise, 4, 1, uint32(2))]) {
    const at = client();
    at.open();
    at.send(bytes);
    assert.is(at.goaway(), 'PROTOCOL_ERROR');
    at.wire.destroy();
  }
});

test('the first header block of a client fits a decoder whose table was lowered to nothing', async () => {
  const at = client();
  at.send(frame(FRAME.settings, 0, 0, setting(1, 0)));
  at.open();
  await turn();
  const headers = at.sent().find((one) => one.type === FRAME.headers);
  assert.equal(new HpackDecoder(0, 1000).decode(headers?.payload ?? Buffer.alloc(0)).flat, [
    ...GET.slice(0, 4),
    ':authority',
    'a',
    ':path',
    '/',
  ]);
  at.wire.destroy();
});

// ── fuzz, bounded ──

test('frames come out of the reader the same, however the bytes are cut', () => {
  const arbitrary = fc.array(
    fc.record({
      type: fc.constantFrom(0, 1, 3, 6, 9, 20),
      flags: fc.constantFrom(0, 1, 4),
      payload: fc.uint8Array({ maxLength: 40 }),
    }),
    { maxLength: 8 },
  );
  const read = (bytes: Buffer, cuts: readonly number[]): string[] => {
    const seen: string[] = [];
    let data = '';
    const reader = new FrameReader(
      {
        onDataStart: (id, length) => void (data = `data ${id} ${length} `),
        onDataChunk: (chunk) => void (data += Buffer.from(chunk).toString('hex')),
        onDataEnd: (end) => void seen.push(`${data} ${end}`),
        onFrame: (type, flags, id, payload) =>
          void seen.push(`${type} ${flags} ${id} ${Buffer.from(payload).toString('hex')}`),
      },
      { maxFrameSize: 16_384, maxHeaderFrame: 16_384 },
    );
    let at = 0;
    for (const cut of cuts) reader.push(bytes.subarray(at, (at = Math.min(bytes.length, at + cut))));
    reader.push(bytes.subarray(at));
    return seen;
  };
  fc.assert(
    fc.property(arbitrary, fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 40 }), (list, cuts) => {
      const bytes = Buffer.concat(list.map((one) => frame(one.type, one.flags, 1, one.payload)));
      assert.equal(read(bytes, cuts), read(bytes, []));
    }),
    { numRuns: 300 },
  );
});

test('no bytes make a session throw, and its buffers stay bounded', () => {
  const one = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc
      .record({
        type: fc.integer({ min: 0, max: 11 }),
        flags: fc.integer({ min: 0, max: 255 }),
        id: fc.integer({ min: 0, max: 9 }),
        payload: fc.uint8Array({ maxLength: 30 }),
      })
      .map(({ type, flags, id, payload }) => frame(type, flags, id, payload)),
    fc.constantFrom(request(1, END, GET), request(3), request(5), frame(FRAME.data, 0, 3, Buffer.alloc(100))),
  );
  fc.assert(
    fc.property(fc.array(one, { maxLength: 30 }), (chunks) => {
      const at = server();
      at.send(...chunks);
      assert.ok(at.session.activeStreams <= 30);
      at.wire.destroy();
    }),
    { numRuns: 1500 },
  );
});

test.run();
