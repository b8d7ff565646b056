import { createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TokenIssuer } from './tokens.ts';

const POD = { namespace: 'shop', serviceAccount: 'checkout', podName: 'checkout-1', podUid: 'u1' };
const HOUR = 3_600_000;

function withIssuer(run: (issuer: TokenIssuer, dir: string, clock: { now: number }) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'ambit-tokens-'));
  const clock = { now: Date.now() };
  try {
    run(
      TokenIssuer.load(dir, () => clock.now),
      dir,
      clock,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test('a token says which pod it is for, also to an issuer loaded later', () =>
  withIssuer((issuer, dir) => {
    const token = issuer.issue({ ...POD, audience: 'istio-ca' });
    assert.equal(issuer.verify(token), POD);
    assert.equal(TokenIssuer.load(dir).verify(token), POD);
  }));

test('it holds for its audience and for twelve hours', () =>
  withIssuer((issuer, _dir, clock) => {
    const token = issuer.issue({ ...POD, audience: 'istio-ca' });
    assert.is(issuer.verify(token, 'other'), undefined);
    assert.is(issuer.verify(issuer.issue({ ...POD, audience: 'other' })), undefined);
    clock.now += 12 * HOUR - 2000;
    assert.equal(issuer.verify(token), POD);
    clock.now += 2000;
    assert.is(issuer.verify(token), undefined);
    clock.now -= 13 * HOUR;
    assert.is(issuer.verify(token), undefined, 'not valid yet');
  }));

const json = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

test('whatever was changed in a token, it is refused', () =>
  withIssuer((issuer, dir) => {
    const [header = '', payload = '', signature = ''] = issuer.issue({ ...POD, audience: 'istio-ca' }).split('.');
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const admin = json({
      ...(typeof claims === 'object' ? claims : {}),
      'kubernetes.io': { namespace: 'istio-system' },
    });
    const unsigned = json({ alg: 'none', typ: 'JWT' });
    const hmacHeader = json({ alg: 'HS256', typ: 'JWT' });
    const hmac = createHmac('sha256', 'guess').update(`${hmacHeader}.${admin}`).digest('base64url');
    const forged = [
      '',
      'x',
      'a.b.c',
      `${header}.${payload}`,
      `${header}.${payload}.`,
      `${header}.${admin}.${signature}`,
      `${unsigned}.${payload}.`,
      `${unsigned}.${admin}.${signature}`,
      `${hmacHeader}.${admin}.${hmac}`,
      `${header}.${payload}.${signature}.${signature}`,
      `${header}.${payload}.${'A'.repeat(9000)}`,
      `${header}.${payload}.${'A'.repeat(signature.length)}`,
    ];
    for (const token of forged) assert.is(issuer.verify(token), undefined, token.slice(0, 40));
    rmSync(join(dir, 'token-key.pem'));
    assert.is(TokenIssuer.load(dir).verify(`${header}.${payload}.${signature}`), undefined, 'another key');
  }));

test('a key that others can read is refused', () =>
  withIssuer((_issuer, dir) => {
    chmodSync(join(dir, 'token-key.pem'), 0o640);
    assert.throws(() => TokenIssuer.load(dir), /may be read by others/);
  }));

test.run();
