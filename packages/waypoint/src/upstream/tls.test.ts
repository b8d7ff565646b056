// deadline: 30s
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createSecureServer, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClientTls, Credential } from '@ambit/common/model/backend';
import { issueCertificate } from '../../../controlplane/src/serve/x509.ts';
import type { UpstreamEndpoint } from './contract.ts';
import {
  backendOf,
  endpointAt,
  listening,
  OneServiceMesh,
  pick,
  send,
  until,
  type World,
  worldOf,
} from './upstream.fixture.ts';
import type { UpstreamOptions } from './upstream.ts';

const YEAR_MS = 365 * 86_400_000;
const newKey = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' });

interface Pair {
  readonly cert: string;
  readonly key: string;
}

class Authority {
  readonly #keys = newKey();
  readonly #name = { organization: 'test', commonName: `root ${Math.random()}` };
  readonly pem: string;

  constructor() {
    this.pem = issueCertificate(
      {
        subject: this.#name,
        publicKey: this.#keys.publicKey,
        notBefore: Date.now() - YEAR_MS,
        notAfter: Date.now() + YEAR_MS,
        authority: true,
        uris: [],
        hosts: [],
      },
      { name: this.#name, key: this.#keys.privateKey },
    );
  }

  issue(hosts: readonly string[], uris: readonly string[] = [], notAfter = Date.now() + YEAR_MS): Pair {
    const keys = newKey();
    const subject = { organization: 'test', commonName: hosts[0] ?? 'client' };
    const content = { subject, publicKey: keys.publicKey, notBefore: Date.now() - YEAR_MS, notAfter };
    const cert = issueCertificate(
      { ...content, authority: false, uris, hosts },
      { name: this.#name, key: this.#keys.privateKey },
    );
    return { cert, key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) };
  }
}

const authority = new Authority();
const folder = mkdtempSync(join(tmpdir(), 'ambit-tls-'));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const caFile = file('ca.pem', authority.pem);

const servers: (Server | HttpsServer)[] = [];
const worlds: World[] = [];

test.after.each(() => {
  for (const { upstream } of worlds.splice(0)) upstream.drain();
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  }
});
test.after(() => rmSync(folder, { recursive: true }));

interface Near extends World {
  readonly endpoint: UpstreamEndpoint;
}

async function near(
  server: Server | HttpsServer,
  tls: Partial<ClientTls>,
  over: Partial<UpstreamOptions> = {},
): Promise<Near> {
  servers.push(server);
  const port = await listening(server);
  const mesh = new OneServiceMesh([endpointAt('127.0.0.1', port)]);
  const world = worldOf(mesh, () => backendOf({ tls: { caCertificates: caFile, ...tls } }), over);
  worlds.push(world);
  return { ...world, endpoint: await pick(world.upstream) };
}

/** Answers with the SNI and the ALPN protocol it saw, and the common name of the client's certificate. */
function https(pair: Pair, options: TlsOptions = {}): HttpsServer {
  return createHttpsServer({ ...pair, ALPNProtocols: ['http/1.1'], ...options }, (request, response) => {
    const socket = request.socket;
    if (!isTls(socket)) throw new Error('no TLS');
    const name = options.requestCert === true ? (socket.getPeerX509Certificate()?.subject ?? 'none') : '-';
    response.end(`${String(socket.servername)} ${String(socket.alpnProtocol)} ${name.replaceAll('\n', ',')}`);
  });
}
const isTls = (socket: object): socket is TLSSocket => 'alpnProtocol' in socket;

const withHost = (authorityName: string): { head: { authority: string } } => ({ head: { authority: authorityName } });

test('SIMPLE: the Host is SNI and the name to verify', async () => {
  const { upstream, endpoint, log } = await near(https(authority.issue(['api.shop', '*.wild.shop'])), {});
  assert.is((await send(upstream, endpoint, withHost('api.shop'))).body, 'api.shop http/1.1 -');
  assert.is((await send(upstream, endpoint, withHost('API.shop:80'))).body, 'api.shop http/1.1 -');
  assert.is((await send(upstream, endpoint, withHost('x.wild.shop'))).body, 'x.wild.shop http/1.1 -');
  assert.equal(log, []);
});

test('a certificate for another name is refused, naming both, and never shared between hosts', async () => {
  const { upstream, endpoint } = await near(https(authority.issue(['api.shop', 'b.shop'])), {});
  for (const host of ['evil.shop', 'x.api.shop']) {
    const { error } = await send(upstream, endpoint, withHost(host));
    assert.is(error?.code, 'TLS_NAME_MISMATCH');
    assert.match(error?.message ?? '', `presented a certificate for api.shop, b.shop; expected ${host} (from the Host`);
    assert.is((await send(upstream, endpoint, withHost('api.shop'))).status, 200);
  }
});

test('what is checked follows sni, subjectAltNames and insecureSkipVerify', async () => {
  const uri = 'spiffe://td/ns/a/sa/b';
  const server = authority.issue(['other.shop'], [uri]);
  const rows: [tls: Partial<ClientTls>, expected: string, warns: boolean][] = [
    [{}, 'TLS_NAME_MISMATCH', false],
    [{ sni: 'sni.shop' }, 'sni.shop', true],
    [{ sni: 'sni.shop', subjectAltNames: ['api.shop'] }, 'TLS_NAME_MISMATCH', false],
    [{ subjectAltNames: ['x', 'other.shop'] }, 'api.shop', false],
    [{ subjectAltNames: [uri] }, 'api.shop', false],
    [{ subjectAltNames: ['spiffe://td/ns/a/sa/bb'] }, 'TLS_NAME_MISMATCH', false],
    [{ insecureSkipVerify: true }, 'api.shop', false],
  ];
  for (const [tls, expected, warns] of rows) {
    const { upstream, endpoint, log } = await near(https(server), tls);
    for (let i = 0; i < 2; i++) {
      const { error, body } = await send(upstream, endpoint);
      assert.is(error?.code ?? body.split(' ')[0], expected, JSON.stringify(tls));
    }
    assert.is(log.length, warns ? 1 : 0, JSON.stringify(tls));
    if (warns) assert.match(log[0] ?? '', 'not its name');
  }
});

test('an unknown authority, an expired certificate and a wrong file are said', async () => {
  const stranger = new Authority().issue(['api.shop']);
  const expired = authority.issue(['api.shop'], [], Date.now() - 1000);
  const rows: [pair: Pair, tls: Partial<ClientTls>, pattern: RegExp][] = [
    [stranger, {}, /not issued by a trusted authority/],
    [stranger, { caCertificates: '' }, /not issued by a trusted authority/],
    [expired, {}, /has expired/],
    [stranger, { caCertificates: join(folder, 'none.pem') }, /caCertificates .*none\.pem cannot be read/],
    [stranger, { caCertificates: file('bad.pem', 'no certificate') }, /trusted authority|cannot be used/],
  ];
  for (const [pair, tls, pattern] of rows) {
    const { upstream, endpoint } = await near(https(pair), tls);
    const { error } = await send(upstream, endpoint);
    assert.is(error?.code, 'TLS_FAILED');
    assert.match(error?.message ?? '', pattern);
  }
});

test('insecureSkipVerify is the only way to an unknown authority', async () => {
  const { upstream, endpoint } = await near(https(new Authority().issue(['x'])), { insecureSkipVerify: true });
  assert.is((await send(upstream, endpoint)).status, 200);
});

test('a CA file that changes is read again', async () => {
  const second = new Authority();
  const path = file('rotating.pem', authority.pem);
  const { upstream, endpoint } = await near(https(second.issue(['api.shop'])), { caCertificates: path });
  assert.is((await send(upstream, endpoint)).error?.code, 'TLS_FAILED');
  writeFileSync(path, `${authority.pem}\n${second.pem}`);
  assert.is((await send(upstream, endpoint)).status, 200);
});

const DEMANDS = { requestCert: true, rejectUnauthorized: true, ca: authority.pem };

test('MUTUAL: by files and by credentialName; the far end sees the certificate', async () => {
  const client = authority.issue([], ['spiffe://td/ns/egress/sa/client']);
  const secret: Credential = {
    namespace: 'egress',
    name: 'client',
    certificateChain: client.cert,
    privateKey: client.key,
    caCertificates: authority.pem,
  };
  const files = { clientCertificate: file('c.pem', client.cert), privateKey: file('k.pem', client.key) };
  const server = authority.issue(['api.shop']);
  const byFiles = await near(https(server, DEMANDS), { mode: 'MUTUAL', ...files });
  assert.match((await send(byFiles.upstream, byFiles.endpoint)).body, 'CN=client');
  const tls = { mode: 'MUTUAL', caCertificates: '', credential: 'egress/client' } as const;
  const byName = await near(https(server, DEMANDS), tls, {
    credential: (name) => (name === 'egress/client' ? secret : undefined),
  });
  assert.match((await send(byName.upstream, byName.endpoint)).body, 'CN=client');
});

test('a rotated credential is used by the next request', async () => {
  const secretOf = (commonName: string): Credential => {
    const pair = authority.issue([commonName]);
    return {
      namespace: 'e',
      name: 'c',
      certificateChain: pair.cert,
      privateKey: pair.key,
      caCertificates: authority.pem,
    };
  };
  let secret = secretOf('first');
  const { upstream, endpoint } = await near(
    https(authority.issue(['api.shop']), DEMANDS),
    { mode: 'MUTUAL', caCertificates: '', credential: 'e/c' },
    { credential: () => secret },
  );
  assert.match((await send(upstream, endpoint)).body, 'CN=first');
  secret = secretOf('second');
  assert.match((await send(upstream, endpoint)).body, 'CN=second');
});

test('MUTUAL without its key material refuses and sends nothing', async () => {
  let bytes = 0;
  const rows: [Partial<ClientTls>, RegExp][] = [
    [{ mode: 'MUTUAL' }, /MUTUAL without clientCertificate/],
    [{ mode: 'MUTUAL', clientCertificate: caFile }, /MUTUAL without privateKey/],
    [
      { mode: 'MUTUAL', clientCertificate: join(folder, 'no'), privateKey: caFile },
      /clientCertificate .* cannot be read/,
    ],
    [{ mode: 'MUTUAL', credential: 'e/none' }, /Secret e\/none .* has not been delivered/],
    [{ mode: 'SIMPLE', credential: 'e/none' }, /Secret e\/none .* has not been delivered/],
    [{ mode: 'MUTUAL', credential: 'e/empty' }, /Secret e\/empty holds no client certificate/],
  ];
  const empty: Credential = { namespace: 'e', name: 'empty', certificateChain: '', privateKey: '', caCertificates: '' };
  for (const [tls, pattern] of rows) {
    const server = createTcpServer((socket) =>
      socket.on('error', () => undefined).on('data', (chunk) => (bytes += chunk.length)),
    );
    const { upstream, endpoint } = await near(server, tls, {
      credential: (name) => (name === 'e/empty' ? empty : undefined),
    });
    const { error } = await send(upstream, endpoint);
    assert.is(error?.code, 'TLS_FAILED');
    assert.match(error?.message ?? '', pattern);
  }
  assert.is(bytes, 0);
});

test('a server that demands a certificate we do not have is said so', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { upstream, endpoint } = await near(https(authority.issue(['api.shop']), { ...DEMANDS, maxVersion }), {});
    const { error } = await send(upstream, endpoint);
    // In TLS 1.3 the client is done before the server has looked at its certificate, and this server just hangs up.
    assert.is(error?.code, maxVersion === 'TLSv1.2' ? 'TLS_FAILED' : 'UPSTREAM_CLOSED');
    assert.match(error?.message ?? '', 'client certificate');
  }
});

test('TLS to a port that speaks plain HTTP says so', async () => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n'));
  });
  const { upstream, endpoint } = await near(server, {});
  const { error } = await send(upstream, endpoint);
  assert.is(error?.code, 'TLS_FAILED');
  assert.match(error?.message ?? '', /answered with plain text, not TLS: a DestinationRule originates TLS/);
});

test('HTTP/2 asks for h2 in ALPN and refuses anything else', async () => {
  const pair = authority.issue(['api.shop']);
  const server = createSecureServerOf(pair);
  const ok = await near(server, {});
  const answer = await send(ok.upstream, ok.endpoint, { options: { protocol: 'HTTP2' } });
  assert.equal([answer.error?.message, answer.body], [undefined, 'https']);
  const none = await near(
    createTlsServer(pair, (socket) => socket.on('error', () => undefined)),
    {},
  );
  const refused = await send(none.upstream, none.endpoint, { options: { protocol: 'HTTP2' } });
  assert.is(refused.error?.code, 'HTTP2_FAILED');
  assert.match(refused.error?.message ?? '', 'ALPN');
});

function createSecureServerOf(pair: Pair): Server {
  const server = createSecureServer({ cert: pair.cert, key: pair.key });
  server.on('session', (session) => session.on('error', () => undefined));
  server.on('stream', (stream: ServerHttp2Stream, headers: Record<string, unknown>) => {
    stream.respond({ ':status': 200 });
    stream.end(String(headers[':scheme']));
  });
  return server;
}

test('opaque bytes: no SNI, and a second TLS inside is answered with its reason', async () => {
  const pair = authority.issue(['api.shop']);
  const echo = createTlsServer(pair, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (chunk: Buffer) =>
      socket.end(
        chunk[0] === 0x16 ? 'HTTP/1.1 400 Bad Request\r\n\r\n' : `${String(socket.servername)} ${chunk.toString()}`,
      ),
    );
  });
  const { upstream, endpoint, log } = await near(echo, {});
  const exchange = async (first: Uint8Array): Promise<string> => {
    const { stream } = await upstream.connect(endpoint, new AbortController().signal);
    const { promise, resolve } = Promise.withResolvers<string>();
    let text = '';
    stream.attach({
      onData: (chunk) => (text += Buffer.from(chunk).toString()),
      onEnd: () => stream.end(),
      onDrain: () => undefined,
      onClose: (error) => resolve(error?.message ?? text),
    });
    stream.write(first);
    return promise;
  };
  assert.is(await exchange(Buffer.from('hello')), 'false hello');
  assert.is(log.filter((line) => line.includes('not its name')).length, 1);
  assert.match(
    await exchange(Buffer.from([0x16, 3, 1, 0, 5])),
    'answered a TLS ClientHello with plain text: the application already speaks TLS',
  );
  assert.is(log.filter((line) => line.includes('already speaks TLS')).length, 1);
});

test('a TCP reset during the handshake or after it ends the request, not the program', async () => {
  const early = createTcpServer((socket) => {
    socket.on('error', () => undefined).once('data', () => socket.resetAndDestroy());
  });
  const first = await near(early, {});
  assert.is((await send(first.upstream, first.endpoint)).error?.code, 'TLS_FAILED');
  const raw: Socket[] = [];
  const late = https(authority.issue(['api.shop']));
  late.on('connection', (socket: Socket) => raw.push(socket));
  late.removeAllListeners('request').on('request', () => raw[0]?.resetAndDestroy());
  const second = await near(late, {});
  assert.is((await send(second.upstream, second.endpoint)).error?.code, 'UPSTREAM_CLOSED');
});

test('a connection that takes too long is given up in connectTimeout', async () => {
  const sockets: unknown[] = [];
  const server = createTcpServer((socket) =>
    sockets.push(socket.on('error', () => undefined).on('data', () => undefined)),
  );
  servers.push(server);
  const port = await listening(server);
  const backend = backendOf({ tls: { caCertificates: caFile }, pool: { connectTimeoutMs: 50 } });
  const world = worldOf(new OneServiceMesh([endpointAt('127.0.0.1', port)]), () => backend);
  worlds.push(world);
  const { error } = await send(world.upstream, await pick(world.upstream));
  assert.is(error?.code, 'CONNECT_TIMEOUT');
  assert.match(error?.message ?? '', 'within 0.05 s');
  await until(() => sockets.length === 1);
});

test.run();
