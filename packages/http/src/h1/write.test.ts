import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Headers } from '../headers.ts';
import type { Http1RequestHead } from './contract.ts';
import { Http1Parser } from './parser.ts';
import { CHUNK_END, chunkStart, LAST_CHUNK, requestHead, responseHead } from './write.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

test('writes heads as Latin-1 with the chunked and connection lines last', () => {
  const headers = new Headers(['host', 'a', 'x', 'é']);
  assert.is(
    text(requestHead('GET', '/p', headers, true)),
    'GET /p HTTP/1.1\r\nhost: a\r\nx: é\r\ntransfer-encoding: chunked\r\n\r\n',
  );
  assert.is(
    text(responseHead(503, new Headers(['content-length', '0']), false, 'close')),
    'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
  );
  assert.is(text(responseHead(299, new Headers(), false, undefined)), 'HTTP/1.1 299 \r\n\r\n');
});

test('never writes a line that is not in the header list', () => {
  const evil = 'v\r\nContent-Length: 9';
  assert.throws(() => requestHead('GET', '/', new Headers(['a', evil]), false), /line feed/);
  assert.throws(() => requestHead('GET', '/', new Headers([evil, 'b']), false), /line feed/);
  assert.throws(() => requestHead('GET', `/ HTTP/1.1\r\nx: y`, new Headers(), false), /line feed/);
  assert.throws(() => responseHead(200, new Headers(['a', 'b\nc']), false, undefined), /line feed/);
});

test('property: what is written is parsed back', () => {
  const name = fc.stringMatching(/^x-[a-z0-9]{1,8}$/);
  const value = fc.stringMatching(/^([!-~]([ -~]*[!-~])?)?$/);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(name, value), { maxLength: 20 }),
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 4 }),
      (pairs, chunks) => {
        const headers = new Headers(['host', 'h', ...pairs.flat()]);
        let head: Http1RequestHead | undefined;
        let body = '';
        let ended = false;
        const parser = new Http1Parser('request', {
          onHead: (parsed: Http1RequestHead) => void (head = parsed),
          onBody: (chunk) => void (body += text(chunk)),
          onComplete: () => void (ended = true),
          onFault: (fault) => assert.unreachable(fault.message),
        });
        parser.push(requestHead('POST', '/x', headers, true));
        for (const chunk of chunks) for (const part of [chunkStart(chunk.length), chunk, CHUNK_END]) parser.push(part);
        parser.push(LAST_CHUNK);
        assert.equal(head?.headers.flat(), [...headers.flat(), 'transfer-encoding', 'chunked']);
        assert.is(body, chunks.map(text).join(''));
        assert.ok(ended);
      },
    ),
    { numRuns: 100 },
  );
});

test.run();
