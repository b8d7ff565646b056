import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { boolean, choice, describeEnv, duration, integer, parseEnv, port, row, text } from './env.ts';

const TABLE = {
  mode: { env: 'PROXY_MODE', parse: choice('shared', 'dedicated'), default: 'shared', doc: 'where it runs' },
  network: { env: 'NETWORK', parse: text, default: '', doc: 'own network' },
  ipv6: { env: 'IPV6_ENABLED', parse: boolean, default: true, doc: 'dual stack' },
  ttl: { env: 'SECRET_TTL', parse: duration, default: 86_400_000, doc: 'certificate lifetime' },
  mark: { env: 'PACKET_MARK', parse: integer(1, 4095), default: 1337, doc: 'mark of own packets' },
  stats: { env: 'STATS_PORT', parse: port, default: 15_020, doc: 'metrics' },
  crl: row('CRL_PATH', text, undefined, 'revocation list'),
} as const;

test('gives defaults for what is not set, typed and frozen', () => {
  const config = parseEnv(TABLE, {});
  const mode: 'shared' | 'dedicated' = config.mode;
  const crl: string | undefined = config.crl;
  assert.is(mode, 'shared');
  assert.is(crl, undefined);
  assert.is(config.mark + config.stats, 16_357);
  assert.ok(Object.isFrozen(config));
});

test('reads what is set', () => {
  const config = parseEnv(TABLE, {
    PROXY_MODE: 'dedicated',
    IPV6_ENABLED: 'false',
    SECRET_TTL: '1h30m',
    CRL_PATH: '/x',
  });
  assert.equal([config.mode, config.ipv6, config.ttl, config.crl], ['dedicated', false, 5_400_000, '/x']);
});

test('names every bad variable at once, with what was seen and what is accepted', () => {
  assert.throws(
    () => parseEnv(TABLE, { PROXY_MODE: 'both', IPV6_ENABLED: 'yes', PACKET_MARK: '0x539' }),
    (error: Error) =>
      error.message ===
      'environment variables are not understood: PROXY_MODE="both" (accepted: shared, dedicated); IPV6_ENABLED="yes" (accepted: true or false); PACKET_MARK="0x539" (accepted: a whole number from 1 to 4095)',
  );
});

for (const [value, ms] of [
  ['30s', 30_000],
  ['5m', 300_000],
  ['100ms', 100],
  ['1.5s', 1500],
  ['0', 0],
  ['24h', 86_400_000],
  ['1d', 86_400_000],
  ['1h 30m', 5_400_000],
  ['1h  30m', undefined],
  ['30', undefined],
  ['-5s', undefined],
  ['5 parsecs', undefined],
  ['', undefined],
] as const) {
  test(`duration "${value}" is ${ms ?? 'refused'}`, () => assert.is(duration.read(value), ms));
}

test('describes itself as a table', () => {
  assert.match(describeEnv(TABLE), '| PACKET_MARK | `1337` | mark of own packets | a whole number from 1 to 4095 |');
});

test.run();
