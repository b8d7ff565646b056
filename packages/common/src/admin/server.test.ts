import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chooseEncoding } from './compression.ts';
import { type AdminServer, startAdminServer } from './server.ts';

const METRICS = `${'istio_build{component="ztunnel"} 1\n'.repeat(50)}# EOF\n`;
let server: AdminServer;

test.before(async () => {
  server = await startAdminServer({
    host: '127.0.0.1',
    port: 0,
    routes: {
      '/metrics': () => ({ status: 200, contentType: 'text/plain; charset=utf-8', body: METRICS }),
      '/echo': ({ method, query, accept }) => ({ status: 200, body: `${method} ${query.get('level')} ${accept}` }),
      '/broken': () => {
        throw new Error('nothing to dump');
      },
    },
  });
});
test.after(() => server.close());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

async function call(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  const call = request({ host: '127.0.0.1', port: server.port, path, headers, method, agent: false }).end();
  const [response] = await once(call, 'response');
  const body = Buffer.concat(await response.toArray());
  return { status: response.statusCode, headers: response.headers, body };
}

async function sendRaw(text: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  socket.write(text);
  return Buffer.concat(await socket.toArray()).toString();
}

test('passes method, query and accept to the route', async () => {
  const { status, body, headers } = await call('/echo?level=debug', { accept: 'text/html' }, 'POST');
  assert.is(status, 200);
  assert.is(body.toString(), 'POST debug text/html');
  assert.is(headers['content-type'], 'text/plain');
});

test('unknown paths are an empty 404, failures a 500 that says why', async () => {
  const missing = await call('/constructor');
  assert.equal([missing.status, missing.body.length], [404, 0]);
  const broken = await call('/broken');
  assert.equal([broken.status, broken.body.toString()], [500, 'nothing to dump\n']);
});

for (const [coding, decode] of [
  ['gzip', gunzipSync],
  ['br', brotliDecompressSync],
  ['zstd', zstdDecompressSync],
  ['deflate', inflateSync],
] as const) {
  test(`compresses with ${coding} on request`, async () => {
    const { headers, body } = await call('/metrics', { 'accept-encoding': coding });
    assert.is(headers['content-encoding'], coding);
    assert.is(headers['vary'], 'accept-encoding');
    assert.is(decode(body).toString(), METRICS);
    assert.ok(body.length < METRICS.length);
  });
}

test('sends plain bytes, with vary, when nothing is asked for', async () => {
  const { headers, body } = await call('/metrics');
  assert.is(headers['content-encoding'], undefined);
  assert.is(headers['vary'], 'accept-encoding');
  assert.is(body.toString(), METRICS);
});

for (const [header, expected] of [
  ['', undefined],
  ['identity', undefined],
  ['gzip;q=0', undefined],
  ['gzip;q=0.5, br', 'br'],
  ['*', 'gzip'],
  ['*;q=0.1, deflate;q=0.2, gzip;q=0', 'deflate'],
  ['GZIP', 'gzip'],
] as const) {
  test(`accept-encoding "${header}" chooses ${expected}`, () => assert.is(chooseEncoding(header), expected));
}

test('malformed requests get 400', async () => {
  assert.match(await sendRaw('NOT HTTP\r\n\r\n'), /^HTTP\/1\.1 400 /);
});

test('a header that is too large gets 431', async () => {
  assert.match(await sendRaw(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(9000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
});

test('a request that does not finish its header is cut after two seconds', async () => {
  const started = performance.now();
  const answer = await sendRaw('GET / HTTP/1.1\r\n');
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.ok(performance.now() - started < 5000);
});

test('a port in use is named', async () => {
  const failure = await startAdminServer({ host: '127.0.0.1', port: server.port, routes: {} }).then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(failure, `cannot listen on 127.0.0.1 port ${server.port}`);
});

test.run();
