import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Http1Fault, Http1RequestHead, Http1ResponseHead } from './contract.ts';
import { type Http1Handler, type Http1Limits, Http1Parser } from './parser.ts';

type Event = string;

/** Records every event as one line; body slices are joined, as their borders depend on how the bytes were split. */
function recorder<Head extends Http1RequestHead | Http1ResponseHead>(): {
  events: Event[];
  handler: Http1Handler<Head>;
} {
  const events: Event[] = [];
  let body = '';
  const flush = (): void => {
    if (body !== '') events.push(`body ${body}`);
    body = '';
  };
  const handler: Http1Handler<Head> = {
    onHead: (head) => events.push(`head ${describe(head)}`),
    onBody: (chunk) => void (body += Buffer.from(chunk).toString('latin1')),
    onComplete: (trailers) => {
      flush();
      events.push(`complete${trailers === undefined ? '' : ` ${trailers.flat().join('|')}`}`);
    },
    onFault: (fault: Http1Fault) => {
      body = '';
      events.push(`fault ${fault.status} ${fault.detail}`);
    },
  };
  return { events, handler };
}

function describe(head: Http1RequestHead | Http1ResponseHead): string {
  const start = 'method' in head ? `${head.method} ${head.target}` : String(head.status);
  const length = head.body.kind === 'length' ? `length ${head.body.length}` : head.body.kind;
  const flags = [head.keepAlive ? 'keep' : 'close'];
  if ('upgrade' in head && head.upgrade !== undefined) flags.push(`upgrade=${head.upgrade}`);
  if ('expectContinue' in head && head.expectContinue) flags.push('expect');
  return `${start} [${head.headers.flat().join('|')}] ${length} ${flags.join(' ')}`;
}

function requests(pieces: readonly string[], limits: Partial<Http1Limits> = {}): Event[] {
  const { events, handler } = recorder<Http1RequestHead>();
  const parser = new Http1Parser('request', handler, limits);
  for (const piece of pieces) parser.push(Buffer.from(piece, 'latin1'));
  return events;
}

function responses(pieces: readonly string[], method = 'GET', end = false): Event[] {
  const { events, handler } = recorder<Http1ResponseHead>();
  const parser = new Http1Parser('response', handler);
  parser.respondingTo(method);
  for (const piece of pieces) parser.push(Buffer.from(piece, 'latin1'));
  if (end) parser.end();
  return events;
}

const H = 'Host: a\r\n';
const codec = 'fault 400 http1.codec_error';
const long = 'x'.repeat(70_000);

const REQUESTS: readonly (readonly [name: string, bytes: string, ...events: Event[]])[] = [
  ['plain GET', `GET /p?q HTTP/1.1\r\n${H}\r\n`, 'head GET /p?q [host|a] none keep', 'complete'],
  ['empty line first', `\r\nGET / HTTP/1.1\r\n${H}\r\n`, 'head GET / [host|a] none keep', 'complete'],
  ['endless empty lines', '\r\n'.repeat(5), codec],
  ['no Host is left to the caller', 'GET / HTTP/1.1\r\nA: b\r\n\r\n', 'head GET / [a|b] none keep', 'complete'],
  ['empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 'head GET / [host|] none keep', 'complete'],
  ['two Hosts', `GET / HTTP/1.1\r\n${H}${H}\r\n`, 'fault 400 http.invalid_authority'],
  ['Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 'fault 400 http.invalid_authority'],
  ['Host with a slash', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 'fault 400 http.invalid_authority'],
  [
    'absolute form replaces Host',
    `GET http://b:8/x HTTP/1.1\r\n${H}\r\n`,
    'head GET /x [host|b:8] none keep',
    'complete',
  ],
  ['absolute form without Host', 'GET HTTP://b HTTP/1.1\r\n\r\n', 'head GET / [host|b] none keep', 'complete'],
  ['absolute form, query only', `GET http://b?x HTTP/1.1\r\n${H}\r\n`, 'head GET /?x [host|b] none keep', 'complete'],
  ['absolute form, bad authority', `GET http://b"/ HTTP/1.1\r\n${H}\r\n`, 'fault 400 http.invalid_authority'],
  ['absolute form, no authority', `GET http:///x HTTP/1.1\r\n${H}\r\n`, codec],
  ['other scheme', `GET ftp://b/ HTTP/1.1\r\n${H}\r\n`, codec],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${H}\r\n`, 'head OPTIONS * [host|a] none keep', 'complete'],
  ['GET *', `GET * HTTP/1.1\r\n${H}\r\n`, codec],
  ['CONNECT', `CONNECT a:1 HTTP/1.1\r\n${H}\r\n`, 'head CONNECT a:1 [host|a:1] none keep', 'complete'],
  ['target without slash', `GET x HTTP/1.1\r\n${H}\r\n`, codec],
  ['target with a space', `GET /a b HTTP/1.1\r\n${H}\r\n`, codec],
  ['target with a high byte', `GET /\xe9 HTTP/1.1\r\n${H}\r\n`, codec],
  ['two spaces', `GET  / HTTP/1.1\r\n${H}\r\n`, codec],
  ['unknown method', `FOO / HTTP/1.1\r\n${H}\r\n`, codec],
  ['lower-case method', `get / HTTP/1.1\r\n${H}\r\n`, codec],
  ['no target', `GET HTTP/1.1\r\n${H}\r\n`, codec],
  ['no version', `GET /\r\n${H}\r\n`, codec],
  ['HTTP/1.0', `GET / HTTP/1.0\r\n${H}\r\n`, 'fault 426 low_version'],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${H}\r\n`, 'fault 426 low_version'],
  ['HTTP/2.0', `GET / HTTP/2.0\r\n${H}\r\n`, 'fault 426 low_version'],
  ['lower-case version', `GET / http/1.1\r\n${H}\r\n`, codec],
  ['version with a tail', `GET / HTTP/1.10\r\n${H}\r\n`, codec],
  ['TLS', '\x16\x03\x01\x02\x00', codec],
  ['bare LF lines', 'GET / HTTP/1.1\nHost: a\n\n', codec],
  ['one bare LF among headers', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 'fault 400 http1.invalid_characters'],
  ['bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n', 'fault 400 http1.invalid_characters'],
  ['NUL in a value', `GET / HTTP/1.1\r\n${H}X: \0\r\n\r\n`, 'fault 400 http1.invalid_characters'],
  [
    'tab and high bytes in a value',
    `GET / HTTP/1.1\r\n${H}X: a\t\xff\r\n\r\n`,
    'head GET / [host|a|x|a\t\xff] none keep',
    'complete',
  ],
  [
    'blanks around a value',
    `GET / HTTP/1.1\r\n${H}X: \t y \t\r\n\r\n`,
    'head GET / [host|a|x|y] none keep',
    'complete',
  ],
  ['folded line', `GET / HTTP/1.1\r\n${H}X: y\r\n z\r\n\r\n`, codec],
  ['folded first line', `GET / HTTP/1.1\r\n X: y\r\n${H}\r\n`, codec],
  ['space before the colon', `POST / HTTP/1.1\r\n${H}Content-Length : 3\r\n\r\nabc`, codec],
  ['space in a name', `GET / HTTP/1.1\r\n${H}X Y: z\r\n\r\n`, codec],
  ['empty name', `GET / HTTP/1.1\r\n${H}: z\r\n\r\n`, codec],
  ['no colon', `GET / HTTP/1.1\r\n${H}nocolon\r\n\r\n`, codec],
  ['high byte in a name', `GET / HTTP/1.1\r\n${H}X\xe9: z\r\n\r\n`, codec],
  [
    'length',
    `POST / HTTP/1.1\r\n${H}Content-Length: 3\r\n\r\nabc`,
    'head POST / [host|a|content-length|3] length 3 keep',
    'body abc',
    'complete',
  ],
  [
    'length 0',
    `POST / HTTP/1.1\r\n${H}Content-Length: 0\r\n\r\n`,
    'head POST / [host|a|content-length|0] none keep',
    'complete',
  ],
  ['POST without length', `POST / HTTP/1.1\r\n${H}\r\n`, 'head POST / [host|a] none keep', 'complete'],
  ...['5, 5', '+5', '-1', '0x5', '5 5', '', '99999999999999999999', '9007199254740993'].map(
    (value): [string, string, string] => [
      `length ${value}`,
      `POST / HTTP/1.1\r\n${H}Content-Length: ${value}\r\n\r\nabcde`,
      codec,
    ],
  ),
  ['two equal lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`, codec],
  ['two lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc`, codec],
  ...['3', '0'].map((value): [string, string, string] => [
    `length ${value} and chunked`,
    `POST / HTTP/1.1\r\n${H}Content-Length: ${value}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'fault 400 http1.content_length_and_chunked_not_allowed',
  ]),
  ...['gzip, chunked', 'identity', 'chunked, chunked', 'xchunked', 'chunked;q=1', '\x0bchunked', ''].map(
    (value): [string, string, string] => [
      `transfer-encoding ${value}`,
      `POST / HTTP/1.1\r\n${H}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`,
      value.startsWith('\x0b') ? 'fault 400 http1.invalid_characters' : 'fault 501 http1.invalid_transfer_encoding',
    ],
  ),
  [
    'chunked twice',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'fault 501 http1.invalid_transfer_encoding',
  ],
  [
    'chunked',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: Chunked\r\n\r\n3;x="y"\r\nabc\r\nA \r\n0123456789\r\n0\r\nX-T: v\r\n\r\n`,
    'head POST / [host|a|transfer-encoding|Chunked] chunked keep',
    'body abc0123456789',
    'complete x-t|v',
  ],
  [
    'upgrade',
    `GET / HTTP/1.1\r\n${H}Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n`,
    'head GET / [host|a|connection|keep-alive, Upgrade|upgrade|WebSocket] none keep upgrade=websocket',
    'complete',
  ],
  [
    'upgrade not named by Connection',
    `GET / HTTP/1.1\r\n${H}Upgrade: websocket\r\n\r\n`,
    'head GET / [host|a|upgrade|websocket] none keep',
    'complete',
  ],
  [
    'close',
    `GET / HTTP/1.1\r\n${H}Connection: Close\r\n\r\n`,
    'head GET / [host|a|connection|Close] none close',
    'complete',
  ],
  [
    'expect',
    `PUT / HTTP/1.1\r\n${H}Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx`,
    'head PUT / [host|a|expect|100-Continue|content-length|1] length 1 keep expect',
    'body x',
    'complete',
  ],
  [
    'pipelined',
    `GET /1 HTTP/1.1\r\n${H}\r\nGET /2 HTTP/1.1\r\n${H}\r\n`,
    'head GET /1 [host|a] none keep',
    'complete',
    'head GET /2 [host|a] none keep',
    'complete',
  ],
  ['too large a head', `GET / HTTP/1.1\r\n${H}X: ${long}\r\n\r\n`, 'fault 431 http1.headers_too_large'],
  ['too large a target without an end', `GET /${long}`, 'fault 431 http1.headers_too_large'],
  [
    '100 headers',
    `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(100)}\r\n`,
    `head GET / [${'a|b|'.repeat(100).slice(0, -1)}] none keep`,
    'complete',
  ],
  ['101 headers', `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(101)}\r\n`, 'fault 431 http1.too_many_headers'],
];

const CHUNKS: readonly string[] = [
  'x\r\n',
  '\r\n',
  ';a\r\n',
  '-1\r\n',
  '0x3\r\nabc\r\n',
  '3\nabc\r\n',
  '3\r\nabcd\r\n',
  '3\r\nab\r\n0\r\n',
  '3\r\nabc\n',
  '3\r\r\n',
  '3;a\nb\r\nabc\r\n',
  '3;a\rb\r\n',
  '3;\0\r\n',
  '11111111111111111\r\n',
  'fffffffffffffff\r\n',
  '3 x\r\n',
  ' 3\r\n',
  '0\r\nX : y\r\n\r\n',
  '0\r\n X: y\r\n\r\n',
  '0\r\nX: y\n\r\n\r\n',
  '0\r\n\nx',
  `3;${'x'.repeat(5000)}`,
  `3${' '.repeat(5000)}`,
];

const RESPONSES: readonly (readonly [name: string, bytes: string, ...events: Event[]])[] = [
  [
    'length',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi',
    'head 200 [content-length|2] length 2 keep',
    'body hi',
    'complete',
  ],
  ['no reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', 'head 200 [content-length|0] none keep', 'complete'],
  [
    'interim',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    'head 100 [] none keep',
    'head 204 [] none keep',
    'complete',
  ],
  [
    '304 with length',
    'HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n',
    'head 304 [content-length|9] none keep',
    'complete',
  ],
  [
    'HTTP/1.0',
    'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx',
    'head 200 [content-length|1] length 1 close',
    'body x',
    'complete',
  ],
  [
    'upgraded: the rest is not HTTP',
    'HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x05',
    'head 101 [upgrade|websocket] none keep',
  ],
  ['not HTTP', 'SSH-2.0-OpenSSH', 'fault 502 http1.codec_error'],
  ['HTTP/2', 'HTTP/2 200\r\n\r\n', 'fault 502 http1.codec_error'],
  ['bad status', 'HTTP/1.1 2x0 OK\r\n\r\n', 'fault 502 http1.codec_error'],
  ['long status', 'HTTP/1.1 2000 OK\r\n\r\n', 'fault 502 http1.codec_error'],
  [
    'length and chunked',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n',
    'fault 502 http1.content_length_and_chunked_not_allowed',
  ],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi', 'fault 502 http1.codec_error'],
  ['folded', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', 'fault 502 http1.codec_error'],
  ['too large', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(90_000)}\r\n\r\n`, 'fault 502 http1.headers_too_large'],
];

for (const [name, bytes, ...events] of REQUESTS) {
  test(`request: ${name}`, () => assert.equal(requests([bytes]), events));
}

for (const chunk of CHUNKS) {
  test(`refuses the chunked body ${JSON.stringify(chunk.slice(0, 30))}`, () => {
    const events = requests([`POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${chunk}`]);
    assert.match(events.at(-1) ?? '', /^fault 400 http1\.(codec_error|invalid_characters)$/);
  });
}

for (const [name, bytes, ...events] of RESPONSES) {
  test(`response: ${name}`, () => assert.equal(responses([bytes]), events));
}

test('a message means the same wherever its bytes are split', () => {
  const short = [...REQUESTS, ...RESPONSES].filter(([, bytes]) => bytes.length < 2000);
  for (const [, bytes] of short) {
    const parse = bytes.startsWith('HTTP/') || bytes.startsWith('SSH') ? responses : requests;
    const whole = parse([bytes]);
    assert.equal(parse(bytes.split('')).map(anyFault), whole.map(anyFault), JSON.stringify(bytes));
    for (let i = 1; i < bytes.length; i++) {
      assert.equal(
        parse([bytes.slice(0, i), bytes.slice(i)]).map(anyFault),
        whole.map(anyFault),
        JSON.stringify(bytes),
      );
    }
  }
});

/** Which of two faults of one message is seen first may depend on the split; that it is refused may not. */
const anyFault = (event: Event): Event => (event.startsWith('fault') ? 'fault' : event);

test('HEAD and CONNECT responses have no body', () => {
  assert.equal(responses(['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'], 'HEAD'), [
    'head 200 [content-length|9] none keep',
    'complete',
  ]);
  assert.equal(responses(['HTTP/1.1 200 OK\r\n\r\nbytes'], 'CONNECT'), [
    'head 200 [] until-close close'.replace('until-close close', 'none keep'),
  ]);
});

test('a response without length lasts until the connection closes', () => {
  const bytes = 'HTTP/1.1 200 OK\r\n\r\nall of it';
  assert.equal(responses([bytes], 'GET', true), ['head 200 [] until-close close', 'body all of it', 'complete']);
});

test('a connection that closes in the middle of a message is a fault, between messages it is not', () => {
  assert.equal(
    responses(['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab'], 'GET', true).at(-1),
    'fault 502 http1.codec_error',
  );
  assert.equal(responses(['HTTP/1.1 20'], 'GET', true).at(-1), 'fault 502 http1.codec_error');
  assert.equal(responses([], 'GET', true), []);
});

test('nothing is parsed while paused and nothing is lost', () => {
  const { events, handler } = recorder<Http1RequestHead>();
  const parser: Http1Parser = new Http1Parser('request', {
    ...handler,
    onComplete: (trailers) => {
      handler.onComplete(trailers);
      parser.pause();
    },
  });
  const source = Buffer.from(`GET /1 HTTP/1.1\r\n${H}\r\nPOST /2 HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nhiGET /3 HT`);
  parser.push(source);
  source.fill(0);
  assert.is(events.length, 2);
  parser.push(Buffer.from(`TP/1.1\r\n${H}\r\n`));
  assert.is(events.length, 2);
  parser.resume();
  assert.is(events.at(-2), 'body hi');
  parser.resume();
  assert.is(events.at(-2), 'head GET /3 [host|a] none keep');
  assert.not.ok(parser.midMessage);
});

test('takeRest returns what follows an upgrade, also inside onHead', () => {
  let rest = '';
  const parser: Http1Parser = new Http1Parser('response', {
    ...recorder<Http1ResponseHead>().handler,
    onHead: () => void (rest = Buffer.from(parser.takeRest()).toString('latin1')),
  });
  parser.push(Buffer.from('HTTP/1.1 101 S\r\n\r\n\x81\x00', 'latin1'));
  assert.is(rest, '\x81\x00');
  parser.push(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'));
  assert.is(Buffer.from(parser.takeRest()).toString(), 'HTTP/1.1 200 OK\r\n\r\n');
});

test('property: any bytes in any split give the same events and never throw', () => {
  const seeds = [...REQUESTS.map(([, bytes]) => bytes).filter((bytes) => bytes.length < 500), ...CHUNKS.slice(0, 20)];
  const mutated = fc
    .tuple(
      fc.array(fc.constantFrom(...seeds), { minLength: 1, maxLength: 3 }),
      fc.nat(),
      fc.constantFrom('\r', '\n', '\0', ' ', ':', ',', '0', ';', ''),
    )
    .map(([parts, at, inserted]) => {
      const text = parts.join('');
      const place = at % (text.length + 1);
      return text.slice(0, place) + inserted + text.slice(place + (at % 2));
    });
  fc.assert(
    fc.property(mutated, fc.array(fc.nat(400), { maxLength: 6 }), (bytes, cuts) => {
      const places = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      const pieces = places.map((place, i) => bytes.slice(i === 0 ? 0 : places[i - 1], place));
      assert.equal(requests(pieces).map(anyFault), requests([bytes]).map(anyFault));
    }),
    { numRuns: 400 },
  );
});

test('property: nothing follows a fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { events, handler } = recorder<Http1RequestHead>();
      const parser = new Http1Parser('request', handler);
      parser.push(bytes);
      parser.push(Buffer.from(`\r\n\r\nGET / HTTP/1.1\r\n${H}\r\n`));
      const fault = events.findIndex((event) => event.startsWith('fault'));
      assert.ok(fault < 0 || fault === events.length - 1);
    }),
    { numRuns: 300 },
  );
});

test.run();
