import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { connect, createServer } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createFakeCa } from '../../../../test/harness/fake-ca.ts';
import { issueCertificate } from '../../../controlplane/src/serve/x509.ts';
import { verifySigningRequest } from '../../../controlplane/src/serve/signing-request.ts';
import { credentialsFromChain, peerIdentities, splitCertificates, uriNames } from './certificate.ts';
import { createSigningRequest } from './csr.ts';
import { encodeDer, parseDer, parts, readObjectId } from './der.ts';
import { spiffeId } from './spiffe.ts';

const A = spiffeId('cluster.local', 'ns', 'a');
const valid = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
const ca = createFakeCa();

test('ZT-ID-01 a request has an empty subject, one critical URI SAN and a valid signature of its own', () => {
  const { csr, privateKey } = createSigningRequest(A);
  const key = verifySigningRequest(csr);
  assert.is(key.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.match(privateKey, /^-----BEGIN PRIVATE KEY-----/);
  const [info] = parts(parseDer(Buffer.from(csr.split('\n').slice(1, -2).join(''), 'base64')));
  const [, subject, , attributes] = parts(info);
  assert.equal(parts(subject), []);
  assert.is(parts(attributes).length, 1);
  const [request] = parts(attributes);
  assert.is(readObjectId(parts(request)[0]), '1.2.840.113549.1.9.14');
  const list = parts(parts(parts(request)[1])[0]);
  assert.is(list.length, 1);
  const [id, critical, value] = parts(list[0]);
  assert.is(readObjectId(id), '2.5.29.17');
  assert.ok(critical && encodeDer(critical).equals(Buffer.of(1, 1, 0xff)));
  assert.ok(value && encodeDer(value).includes(A.uri));
});

test('every request has a key of its own', () => {
  assert.is.not(createSigningRequest(A).privateKey, createSigningRequest(A).privateKey);
});

const refusal = (run: () => unknown): string => {
  try {
    run();
    return 'accepted';
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
};

test('ZT-ID-02 an empty answer, one without a root, one for somebody else: refused; a good one is taken', () => {
  const { csr, privateKey } = createSigningRequest(A);
  const answer = ca.answer(csr, A.uri, valid);
  const take = (chain: readonly string[]): unknown => credentialsFromChain(A, privateKey, chain);
  assert.is(
    refusal(() => take([])),
    `chain returned from CA is empty for: ${A.uri}`,
  );
  assert.is(
    refusal(() => take(answer.slice(0, 1))),
    'no root certificate present',
  );
  assert.is(
    refusal(() => take([answer[0] ?? '', ''])),
    'no root certificate present',
  );
  const other = ca.answer(csr, 'spiffe://cluster.local/ns/ns/sa/b', valid);
  assert.is(
    refusal(() => take(other)),
    `did not find expected SAN: ${A.uri}`,
  );
  assert.match(
    refusal(() => take([answer[0] ?? '', 'x\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'])),
    'PRIVATE KEY',
  );
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  assert.match(
    refusal(() => take([answer[0] ?? '', ca.root + broken])),
    'cannot be parsed',
  );
  const credentials = credentialsFromChain(A, privateKey, answer);
  assert.is(credentials.notAfter, Math.floor(valid.notAfter / 1000) * 1000);
});

test('ZT-ID-03 leaf and intermediates are presented, every root of the last element is trusted', () => {
  const { csr, privateKey } = createSigningRequest(A);
  const [leaf = '', root = ''] = ca.answer(csr, A.uri, valid);
  const intermediate = createFakeCa('intermediate').root;
  const other = createFakeCa('other').root;
  const credentials = credentialsFromChain(A, privateKey, [leaf, intermediate, root + other]);
  assert.equal(splitCertificates(credentials.certificateChain), [leaf, intermediate]);
  assert.equal(credentials.roots, [root, other]);
  assert.not.ok(credentials.certificateChain.includes(root));
});

test('ZT-ID-04 peers under different roots of one bundle speak to each other, and not without the bundle', async () => {
  const [old, young] = [createFakeCa('old'), createFakeCa('young')];
  const made = (authority: typeof old, roots: string): ReturnType<typeof credentialsFromChain> => {
    const { csr, privateKey } = createSigningRequest(A);
    return credentialsFromChain(A, privateKey, [authority.answer(csr, A.uri, valid)[0] ?? '', roots]);
  };
  const handshake = async (server: string, client: string): Promise<boolean> => {
    const own = made(old, server);
    const listener = createServer({
      key: own.privateKey,
      cert: own.certificateChain,
      ca: [...own.roots],
      requestCert: true,
      rejectUnauthorized: true,
    });
    listener.on('tlsClientError', () => undefined);
    listener.on('secureConnection', (socket) => socket.end('hello'));
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const bound = listener.address();
    const port = typeof bound === 'object' ? (bound?.port ?? 0) : 0;
    const secureContext = made(young, client).context;
    const socket = connect({ host: '127.0.0.1', port, secureContext, checkServerIdentity: () => undefined });
    const greeted = await new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
    });
    socket.destroy();
    listener.close();
    return greeted;
  };
  const bundle = old.root + young.root;
  assert.ok(await handshake(bundle, bundle));
  assert.not.ok(await handshake(old.root, bundle));
  assert.not.ok(await handshake(bundle, young.root));
});

test('a key that is not the certificate’s is refused', () => {
  const answer = ca.answer(createSigningRequest(A).csr, A.uri, valid);
  assert.not.equal(
    refusal(() => credentialsFromChain(A, createSigningRequest(A).privateKey, answer)),
    'accepted',
  );
});

const certificateWith = (uris: readonly string[], hosts: readonly string[] = []): X509Certificate => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = { name: { organization: 'o', commonName: 'c' }, key: privateKey };
  return new X509Certificate(
    issueCertificate({ subject: undefined, publicKey, authority: false, uris, hosts, ...valid }, issuer),
  );
};

test('peer identities are the SPIFFE ids among the URI SANs and nothing else', () => {
  const names = ['https://example.com/', A.uri, 'spiffe://td/ns/x/sa/y', 'spiffe://td/short'];
  const certificate = certificateWith(names, ['localhost', '10.0.0.1', 'fd00::1']);
  assert.equal(uriNames(certificate), names);
  assert.equal(
    peerIdentities(certificate).map((one) => one.uri),
    [A.uri, 'spiffe://td/ns/x/sa/y'],
  );
  assert.equal(peerIdentities(certificateWith([], ['localhost'])), []);
});

test('a name cannot smuggle a second one in', () => {
  const sly = ['x:y, URI:spiffe://cluster.local/ns/ns/sa/admin', 'a"b, URI:spiffe://cluster.local/ns/ns/sa/admin'];
  assert.equal(uriNames(certificateWith(sly)), sly);
  assert.equal(peerIdentities(certificateWith(sly)), []);
  assert.equal(peerIdentities(certificateWith([], ['x, URI:spiffe://cluster.local/ns/ns/sa/admin'])), []);
});

test.run();
