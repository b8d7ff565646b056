import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { settle, TestBed } from './waypoint.fixture.ts';

const PIECES = [
  'GET / HTTP/1.1\r\n',
  'POST /x HTTP/1.1\r\n',
  'HOST: a\r\n',
  'Host: a\r\n',
  'Content-Length: 3\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip\r\n',
  'Connection: close\r\n',
  'Upgrade: websocket\r\nConnection: upgrade\r\n',
  'Expect: 100-continue\r\n',
  '\r\n',
  '\n',
  '\r',
  ' ',
  ':',
  '3\r\nabc\r\n',
  '0\r\n\r\n',
  'abc',
  '\0',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
];

/** Runs what a client sends against a backend that answers everything, then lets the client go. */
async function survive(chunks: readonly string[]): Promise<TestBed> {
  const bed = new TestBed();
  const client = bed.open('AUTO');
  for (const chunk of chunks) {
    client.send(chunk);
    await settle();
    for (const request of bed.upstream.requests.splice(0)) request.answer(200, ['content-length', '2'], 'ok');
  }
  client.stream.destroy();
  await settle();
  return bed;
}

test('property: whatever a client sends, it is answered or refused, and nothing is left of it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }), async (chunks) => {
      const bed = await survive(chunks);
      assert.is(bed.pipeline.connections, 0);
      for (const line of bed.lines) assert.match(line, /^\[[^\]]+\] "[^\n]*$/);
    }),
    { numRuns: 120 },
  );
});

test('a flood of bad requests leaves nothing behind', async () => {
  const bed = new TestBed();
  for (let i = 0; i < 200; i++) {
    const client = bed.open('HTTP');
    client.send(`GET / HTTP/1.1\r\nX: ${'x'.repeat(i % 2 === 0 ? 70_000 : 10)}\r\n bad\r\n\r\n`);
    await settle();
    assert.match(client.received, /^HTTP\/1\.1 4/);
    client.stream.end();
    await settle();
  }
  assert.is(bed.lines.length, 200);
  assert.is(bed.pipeline.connections, 0);
});

test('HTTP/2 frames that are none end the connection, and nothing is left of it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 5 }), async (frames) => {
      const bed = new TestBed();
      const client = bed.open('AUTO');
      client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      for (const frame of frames) client.stream.write(frame);
      await settle();
      client.stream.destroy();
      await settle();
      assert.is(bed.pipeline.connections, 0);
    }),
    { numRuns: 60 },
  );
});

test.run();
