// deadline: 30s
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HpackDecoder, HpackError } from './decode.ts';
import { HpackEncoder } from './encode.ts';
import { HUFFMAN_LENGTHS, STATIC_ENTRIES } from './tables.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
const decoder = (tableSize = 4096, maxList = 65_536): HpackDecoder => new HpackDecoder(tableSize, maxList);

/** RFC 7541 Appendix C.2: single representations. */
const SINGLE = [
  {
    name: 'C.2.1 literal with indexing',
    hex: '400a637573746f6d2d6b65790d637573746f6d2d686561646572',
    flat: ['custom-key', 'custom-header'],
    size: 55,
  },
  {
    name: 'C.2.2 literal without indexing',
    hex: '040c2f73616d706c652f70617468',
    flat: [':path', '/sample/path'],
    size: 0,
  },
  {
    name: 'C.2.3 literal never indexed',
    hex: '100870617373776f726406736563726574',
    flat: ['password', 'secret'],
    size: 0,
  },
  { name: 'C.2.4 indexed', hex: '82', flat: [':method', 'GET'], size: 0 },
];

for (const { name, hex, flat, size } of SINGLE) {
  test(`RFC 7541 ${name}`, () => {
    const hpack = decoder();
    assert.equal(hpack.decode(bytes(hex)), { flat, tooLarge: false });
    assert.is(hpack.tableSize, size);
  });
}

const REQUESTS = [
  [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'],
  [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com', 'cache-control', 'no-cache'],
  [
    ':method',
    'GET',
    ':scheme',
    'https',
    ':path',
    '/index.html',
    ':authority',
    'www.example.com',
    'custom-key',
    'custom-value',
  ],
];
const DATE = 'Mon, 21 Oct 2013 20:13:21 GMT';
const DATE2 = 'Mon, 21 Oct 2013 20:13:22 GMT';
const WHERE = 'https://www.example.com';
const COOKIE = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const RESPONSES = [
  [':status', '302', 'cache-control', 'private', 'date', DATE, 'location', WHERE],
  [':status', '307', 'cache-control', 'private', 'date', DATE, 'location', WHERE],
  [
    ':status',
    '200',
    'cache-control',
    'private',
    'date',
    DATE2,
    'location',
    WHERE,
    'content-encoding',
    'gzip',
    'set-cookie',
    COOKIE,
  ],
];

/** RFC 7541 Appendix C.3 to C.6: three blocks on one connection each, with the table size after each. */
const CONNECTIONS = [
  {
    name: 'C.3 requests, plain',
    table: 4096,
    lists: REQUESTS,
    sizes: [57, 110, 164],
    blocks: [
      '828684410f7777772e6578616d706c652e636f6d',
      '828684be58086e6f2d6361636865',
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
    ],
  },
  {
    name: 'C.4 requests, Huffman',
    table: 4096,
    lists: REQUESTS,
    sizes: [57, 110, 164],
    blocks: [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      '828684be5886a8eb10649cbf',
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    ],
  },
  {
    name: 'C.5 responses, plain, with eviction',
    table: 256,
    lists: RESPONSES,
    sizes: [222, 222, 215],
    blocks: [
      '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
      '4803333037c1c0bf',
      '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
    ],
  },
  {
    name: 'C.6 responses, Huffman, with eviction',
    table: 256,
    lists: RESPONSES,
    sizes: [222, 222, 215],
    blocks: [
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      '4883640effc1c0bf',
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
    ],
  },
];

for (const { name, table, lists, sizes, blocks } of CONNECTIONS) {
  test(`RFC 7541 ${name}`, () => {
    const hpack = decoder(table);
    blocks.forEach((block, i) => {
      assert.equal(hpack.decode(bytes(block)).flat, lists[i]);
      assert.is(hpack.tableSize, sizes[i]);
    });
  });
}

test('the Huffman code is complete: its lengths fill the code space exactly', () => {
  const sum = HUFFMAN_LENGTHS.reduce((total, length) => total + 2 ** (30 - length), 0);
  assert.is(HUFFMAN_LENGTHS.length, 257);
  assert.is(sum, 2 ** 30);
  assert.is(STATIC_ENTRIES, 61);
});

const REFUSED = [
  { name: 'index 0', hex: '80' },
  { name: 'index beyond the tables', hex: 'be' },
  { name: 'name index beyond the tables', hex: '7f00 0161' },
  { name: 'integer cut off', hex: 'ff' },
  { name: 'integer without end', hex: 'ff80808080808080808001' },
  { name: 'integer above the limit', hex: 'ffffffffff7f' },
  { name: 'string cut off before its length', hex: '00' },
  { name: 'string longer than the block', hex: '0005616263' },
  { name: 'value missing', hex: '000161' },
  { name: 'table size update above the allowed size', hex: '3fe21f' },
  { name: 'table size update after a header', hex: '8220' },
  { name: 'Huffman padding longer than seven bits', hex: '0082 1fff 0161' },
  { name: 'Huffman padding with zeros', hex: '0081 18 0161' },
  { name: 'Huffman EOS inside', hex: '0084 ffffffff 0161' },
];

for (const { name, hex } of REFUSED) {
  test(`refuses: ${name}`, () =>
    assert.throws(
      () => decoder().decode(bytes(hex)),
      (error: unknown) => error instanceof HpackError,
    ));
}

test('a list above the limit is decoded to keep the table right, but cut off and marked', () => {
  const hpack = decoder(4096, 100);
  const first = hpack.decode(bytes('400a637573746f6d2d6b65790d637573746f6d2d686561646572 be be'));
  assert.is(first.tooLarge, true);
  assert.equal(first.flat, ['custom-key', 'custom-header']);
  assert.equal(hpack.decode(bytes('be')).flat, ['custom-key', 'custom-header']);
});

test('an entry larger than the table empties it and is no error', () => {
  const hpack = decoder(60);
  hpack.decode(bytes('400a637573746f6d2d6b65790d637573746f6d2d686561646572'));
  assert.is(hpack.tableSize, 55);
  hpack.decode(Buffer.concat([bytes('40 0161 7f01'), Buffer.alloc(128, 0x62)]));
  assert.is(hpack.tableSize, 0);
});

const NAME = fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/);
const VALUE = fc.stringMatching(/^[\x21-\x7e\x80-\xff]{0,300}$/);
const LIST = fc.array(fc.tuple(NAME, VALUE), { maxLength: 30 }).map((pairs) => pairs.flat());

test('what is encoded is decoded, over a whole connection', () => {
  fc.assert(
    fc.property(fc.array(LIST, { minLength: 1, maxLength: 5 }), (lists) => {
      const encoder = new HpackEncoder();
      const hpack = decoder(4096, 1 << 20);
      for (const list of lists)
        assert.equal(hpack.decode(encoder.encode([':status', '200'], list)).flat, [':status', '200', ...list]);
    }),
    { numRuns: 100 },
  );
});

test('sensitive headers are never indexed, others have their static index', () => {
  const encoder = new HpackEncoder();
  encoder.encode([], []);
  assert.is(encoder.encode([], ['authorization', 'x']).toString('hex'), '1f080178');
  assert.is(encoder.encode([], ['cookie', 'x']).toString('hex'), '1f110178');
  assert.is(encoder.encode([':method', 'CONNECT'], []).toString('hex'), '0207434f4e4e454354');
});

test('the first block announces an empty dynamic table', () => {
  const encoder = new HpackEncoder();
  assert.is(encoder.encode([':status', '200'], []).toString('hex'), '2088');
  assert.is(encoder.encode([':status', '200'], []).toString('hex'), '88');
});

test('characters that would end a header line go out as spaces', () => {
  const encoder = new HpackEncoder();
  assert.equal(decoder().decode(encoder.encode([], ['x', 'a\r\nb\0c\u010dd\te'])).flat, ['x', 'a  b c d\te']);
});

test('any bytes either decode within the limits or are refused with HpackError', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), (blocks) => {
      const one = decoder(256, 1000);
      for (const block of blocks) {
        try {
          const { flat } = one.decode(block);
          assert.ok(flat.join('').length + flat.length * 16 <= 1000);
        } catch (error) {
          assert.instance(error, HpackError);
          return;
        }
        assert.ok(one.tableSize <= 256);
      }
    }),
    { numRuns: 2000 },
  );
});

test.run();
