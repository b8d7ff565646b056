import { clientSession } from '@ambit/http/h2/session';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HEAD_MS, IDLE_MS } from './deadlines.ts';
import { settle, TestBed } from './waypoint.fixture.ts';

const GET = 'GET /get HTTP/1.1\r\nHost: httpbin.org\r\n\r\n';

/** Lets time pass, and the one timer of all connections strike. */
async function pass(bed: TestBed, ms: number): Promise<void> {
  bed.now += ms;
  bed.pipeline.tick();
  await settle();
}

test('a request head that does not come to its end within a minute is 408, and logged', async () => {
  const bed = new TestBed();
  const client = bed.open();
  client.send('GET / HTTP/1.1\r\nHo');
  await settle();
  await pass(bed, HEAD_MS - 1);
  client.send('st: a\r\nX: still going');
  await settle();
  assert.is(client.received, '', 'further bytes do not begin the time anew, and before its end nothing happens');
  await pass(bed, 1);
  assert.match(
    client.received,
    /^HTTP\/1\.1 408 Request Timeout\r\n[^]*connection: close\r\n\r\nrequest header timeout$/,
  );
  assert.match(bed.lines[0] ?? '', /"- - HTTP\/1\.1" 408 - request_header_timeout - "-" 0 22 /);
  assert.ok(client.ended);
});

test('the time of a head counts from its own first byte, not from the connection or the request before', async () => {
  const bed = new TestBed();
  const client = bed.open();
  client.send(GET);
  await settle();
  await pass(bed, 10 * HEAD_MS);
  client.send('GET /second');
  await settle();
  bed.upstream.last.answer(204);
  await settle();
  await pass(bed, HEAD_MS - 1);
  client.send(' HTTP/1.1\r\nHost: a\r\n\r\n');
  await settle();
  await pass(bed, HEAD_MS);
  assert.is(bed.upstream.last.head.path, '/second', 'a request that waits for its backend has no deadline');
  assert.is(bed.lines.length, 1);
});

test('an HTTP connection without requests is closed after an hour', async () => {
  const bed = new TestBed();
  const silent = bed.open();
  const used = bed.open();
  used.send(GET);
  await settle();
  await pass(bed, IDLE_MS - 1);
  bed.upstream.last.answer(204);
  await settle();
  assert.not.ok(silent.closed);
  await pass(bed, 1);
  assert.ok(silent.closed);
  assert.not.ok(used.ended, 'its hour began with the end of its request');
  await pass(bed, IDLE_MS);
  assert.ok(used.ended);
  used.stream.end();
  await settle();
  assert.is(bed.pipeline.connections, 0);
});

test('an HTTP/2 connection without streams is closed after an hour', async () => {
  const bed = new TestBed();
  const client = bed.open('AUTO');
  let goaway = false;
  clientSession(
    client.stream,
    { pingIntervalMs: 0 },
    { onClose: () => undefined, onGoaway: () => void (goaway = true) },
  );
  await settle();
  await pass(bed, IDLE_MS - 1);
  assert.not.ok(goaway);
  await pass(bed, 1);
  assert.ok(goaway);
  assert.is(bed.pipeline.connections, 0);
});

test('a silent client of a sniffed port is taken for one whose server speaks first, and closed after a silent hour', async () => {
  const bed = new TestBed();
  const client = bed.open('AUTO');
  await settle();
  await pass(bed, 4999);
  assert.is(bed.upstream.opened.length, 0);
  await pass(bed, 1);
  const server = bed.upstream.opened[0];
  assert.ok(server);
  server.write(Buffer.from('220 ready'));
  await settle();
  assert.is(client.received, '220 ready');
  await pass(bed, 10_000);
  await pass(bed, IDLE_MS - 1);
  assert.not.ok(client.closed);
  await pass(bed, 1);
  assert.ok(client.closed);
  assert.is(bed.pipeline.connections, 0);
  assert.match(bed.lines[0] ?? '', /"- - -" 0 - - - "-" 0 9 3610000 /);
});

test('bytes that never become a preface are not waited for longer than a head', async () => {
  const bed = new TestBed();
  const client = bed.open('HTTP');
  client.send('PRI * HT');
  await settle();
  await pass(bed, HEAD_MS);
  assert.ok(client.closed);
  assert.is(bed.pipeline.connections, 0);
});

test.run();
