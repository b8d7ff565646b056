import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { credentialsFromChain, splitCertificates, uriNames } from '@ambit/common/identity/certificate';
import { createSigningRequest } from '@ambit/common/identity/csr';
import {
  encodeDer,
  integer,
  objectId,
  publicKeyInfo,
  sequence,
  signed,
  tagged,
  toPem,
} from '@ambit/common/identity/der';
import { spiffeId } from '@ambit/common/identity/spiffe';
import { CertificateAuthority } from './ca.ts';
import { verifySigningRequest } from './signing-request.ts';

const DAY = 86_400_000;
const A = spiffeId('cluster.local', 'ns', 'a');

function withFolder(run: (dir: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'ambit-ca-'));
  try {
    run(join(dir, 'ca'));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const load = (dir: string, now = Date.now()): CertificateAuthority =>
  CertificateAuthority.load(dir, { trustDomain: 'cluster.local', clock: () => now });

const leafOf = (chain: readonly string[]): X509Certificate => new X509Certificate(chain[0] ?? '');
const lifeOf = (certificate: X509Certificate, now: number): number => certificate.validToDate.getTime() - now;
const refusal = (run: () => unknown): string => {
  try {
    run();
    return 'accepted';
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
};

test('the root is made once, for ten years, and is the same after a restart', () =>
  withFolder((dir) => {
    const now = Date.now();
    const first = load(dir, now);
    const root = new X509Certificate(first.roots);
    assert.ok(root.ca);
    assert.ok(Math.abs(lifeOf(root, now) - 3650 * DAY) < 2000);
    assert.ok(root.verify(root.publicKey));
    const again = load(dir, now + DAY);
    assert.is(again.roots, first.roots);
    const leaf = leafOf(again.sign(createSigningRequest(A).csr, A, 3600));
    assert.ok(leaf.verify(root.publicKey));
    assert.ok(leaf.checkIssued(root));
  }));

test('keys are readable by their owner only; a folder or key that is open to others is refused', () =>
  withFolder((dir) => {
    load(dir);
    assert.is(statSync(dir).mode & 0o777, 0o700);
    assert.is(statSync(join(dir, 'ca.pem')).mode & 0o777, 0o600);
    chmodSync(join(dir, 'ca.pem'), 0o644);
    assert.match(
      refusal(() => load(dir)),
      /key .*ca\.pem may be read by others \(0644\): run chmod 600/,
    );
    chmodSync(join(dir, 'ca.pem'), 0o600);
    chmodSync(dir, 0o777);
    assert.match(
      refusal(() => load(dir)),
      /may be written by others \(0777\)/,
    );
  }));

test('a damaged folder is refused, never silently replaced by a new root', () =>
  withFolder((dir) => {
    mkdirSync(dir, { mode: 0o700 });
    const file = join(dir, 'ca.pem');
    for (const [text, problem] of [
      ['', 'no certificate in it'],
      ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'cannot be parsed'],
    ] as const) {
      writeFileSync(file, text, { mode: 0o600 });
      assert.match(
        refusal(() => load(dir)),
        problem,
      );
      assert.is(readFileSync(file, 'utf8'), text);
    }
    rmSync(file);
    load(dir);
    const good = readFileSync(file, 'utf8');
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(file, good.replace(/-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----\n/, key));
    assert.match(
      refusal(() => load(dir)),
      "the key is not the certificate's",
    );
  }));

test('a leaf names the identity that was authenticated and may be client and server', () =>
  withFolder((dir) => {
    const wanted = spiffeId('cluster.local', 'other', 'admin');
    const chain = load(dir).sign(createSigningRequest(wanted).csr, A, 3600);
    const leaf = leafOf(chain);
    assert.equal(uriNames(leaf), [A.uri]);
    assert.not.ok(leaf.ca);
    assert.equal(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    assert.is(leaf.subject, undefined);
    assert.is(chain.length, 2);
    assert.ok(chain.every((pem) => pem.endsWith('\n')));
  }));

test('serial numbers are positive, long and different', () =>
  withFolder((dir) => {
    const ca = load(dir);
    const request = createSigningRequest(A).csr;
    const serials = Array.from({ length: 20 }, () => leafOf(ca.sign(request, A, 60)).serialNumber);
    assert.is(new Set(serials).size, 20);
    for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
  }));

test('lifetimes: as asked, 24 h when not, at most 90 days, never past the root', () =>
  withFolder((dir) => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const ca = load(dir, now);
    const request = createSigningRequest(A).csr;
    const life = (ttl: number): number => lifeOf(leafOf(ca.sign(request, A, ttl)), now) / 1000;
    assert.is(life(60), 60);
    assert.is(life(0), 86_400);
    assert.is(life(-5), 86_400);
    assert.is(life(90 * 86_400), 90 * 86_400);
    assert.match(
      refusal(() => ca.sign(request, A, 90 * 86_400 + 1)),
      'at most 7776000 s are given',
    );
    const leaf = leafOf(ca.sign(request, A, 60));
    assert.is(leaf.validFromDate.getTime(), now - 120_000, 'clocks may be two minutes behind');
  }));

test('rotation: in the last fifth of its life a second root is trusted, then signs, and the first stays trusted', () =>
  withFolder((dir) => {
    let now = Date.now();
    const ca = CertificateAuthority.load(dir, { trustDomain: 'cluster.local', clock: () => now });
    const [first = ''] = splitCertificates(ca.roots);
    const signerOf = (): string => {
      const chain = ca.sign(createSigningRequest(A).csr, A, 3600);
      const leaf = leafOf(chain);
      return splitCertificates(ca.roots).find((pem) => leaf.verify(new X509Certificate(pem).publicKey)) ?? '';
    };
    now += 2919 * DAY;
    assert.equal(splitCertificates(ca.roots), [first]);
    now += 2 * DAY;
    const both = splitCertificates(ca.roots);
    assert.is(both.length, 2);
    assert.is(both[0], first);
    assert.is(signerOf(), first, 'the new root must be known everywhere before it signs');
    assert.equal(splitCertificates(load(dir, now).roots), both, 'the same after a restart');
    now += 2 * DAY;
    assert.is(signerOf(), both[1]);
    assert.equal(splitCertificates(ca.roots).sort(), [...both].sort());
    assert.equal(splitCertificates(load(dir, now).roots).sort(), [...both].sort());
    assert.equal(splitCertificates(readFileSync(join(dir, 'root-cert.pem'), 'utf8')).sort(), [...both].sort());
    now += 730 * DAY;
    assert.equal(splitCertificates(ca.roots), [both[1]], 'an expired root is not trusted any more');
  }));

test('a crash in the middle of a hand-over loses no trust', () =>
  withFolder((dir) => {
    const start = Date.now();
    load(dir, start);
    const due = start + 2921 * DAY;
    const both = splitCertificates(load(dir, due).roots);
    const next = readFileSync(join(dir, 'next.pem'), 'utf8');
    load(dir, due + 3 * DAY);
    // As if the last step, forgetting the successor, had not happened.
    writeFileSync(join(dir, 'next.pem'), next, { mode: 0o600 });
    assert.equal(splitCertificates(load(dir, due + 3 * DAY).roots).sort(), [...both].sort());
  }));

test('a root that expired while nobody ran is replaced', () =>
  withFolder((dir) => {
    const start = Date.now();
    const first = load(dir, start).roots;
    const later = load(dir, start + 4000 * DAY);
    assert.is.not(later.roots, first);
    assert.is(splitCertificates(later.roots).length, 1);
  }));

test('credentials made of an answer are usable, also in a rotation', () =>
  withFolder((dir) => {
    const start = Date.now();
    load(dir, start);
    const ca = load(dir, start + 2921 * DAY);
    const { csr, privateKey } = createSigningRequest(A);
    assert.is(credentialsFromChain(A, privateKey, ca.sign(csr, A, 3600)).roots.length, 2);
  }));

test('the server certificate has the names and addresses of the server', () =>
  withFolder((dir) => {
    const certificate = load(dir).serverCertificate(['istiod.istio-system.svc', '127.0.0.1', '::1'], 3600);
    const x509 = new X509Certificate(certificate.certificateChain);
    assert.ok(x509.checkHost('istiod.istio-system.svc'));
    assert.ok(x509.checkIP('127.0.0.1'));
    assert.ok(x509.checkIP('::1'));
    assert.not.ok(x509.checkHost('example.com'));
  }));

const requestOf = (type: 'good' | 'forged' | 'weak'): string => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: type === 'weak' ? 1024 : 2048 });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const content = sequence(integer(Uint8Array.of(0)), sequence(), publicKeyInfo(privateKey), tagged(0));
  return toPem('CERTIFICATE REQUEST', signed(content, type === 'forged' ? other : privateKey));
};

const BAD: readonly (readonly [string, string])[] = [
  ['', 'not one PEM block'],
  ['x'.repeat(20_000), 'longer than 16384 bytes'],
  [`${createSigningRequest(A).csr}${createSigningRequest(A).csr}`, 'not one PEM block'],
  [toPem('CERTIFICATE REQUEST', Buffer.from('junk')), 'certificate request:'],
  [toPem('CERTIFICATE REQUEST', Buffer.of(0x30, 0)), 'it holds no public key'],
  [requestOf('forged'), 'its signature does not fit its key'],
  [requestOf('weak'), 'its key is neither'],
];
for (const [pem, problem] of BAD) {
  test(`a request is refused: ${problem}`, () => {
    assert.match(
      refusal(() => verifySigningRequest(pem)),
      problem,
    );
  });
}

test('RSA requests are accepted, and one with a foreign algorithm is not', () => {
  assert.is(verifySigningRequest(requestOf('good')).asymmetricKeyType, 'rsa');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const content = sequence(integer(Uint8Array.of(0)), sequence(), publicKeyInfo(privateKey), tagged(0));
  const md5 = sequence(content, sequence(objectId('1.2.840.113549.1.1.4')), integer(Uint8Array.of(1)));
  assert.match(
    refusal(() => verifySigningRequest(toPem('CERTIFICATE REQUEST', encodeDer(md5)))),
    'its signature algorithm',
  );
});

test.run();
