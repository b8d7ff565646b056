import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCidr } from '../address/cidr.ts';
import { parseIp } from '../address/ip.ts';
import type { Backend, Credential } from '../model/backend.ts';
import type { Listener, ProxySettings } from '../model/listener.ts';
import { message } from '../proto/load.ts';
import { decodeBackend, encodeBackend } from './backend.ts';
import { decodeCredential, encodeCredential } from './credential.ts';
import { decodeListener, encodeListener } from './listener.ts';
import { decodeProxySettings, encodeProxySettings } from './proxy-settings.ts';

const word = fc.string({ maxLength: 10 });
const words = fc.array(word, { maxLength: 3 });
const port = fc.nat(65_535);
const milliseconds = fc.nat(4_000_000_000);
const ip = fc.constantFrom(...['10.0.0.1', 'fd00::1'].map(parseIp).filter((one) => one !== undefined));
const cidr = fc.constantFrom(
  ...['10.0.0.0/8', '0.0.0.0/0', 'fd00::/64'].map(parseCidr).filter((one) => one !== undefined),
);

const listener: fc.Arbitrary<Listener> = fc.record({
  namespace: word,
  hostname: word,
  name: word,
  kind: fc.constantFrom('Service', 'ServiceEntry'),
  addresses: fc.array(fc.record({ network: word, ip }), { maxLength: 2 }),
  cidrAddresses: fc.array(fc.record({ network: word, cidr }), { maxLength: 2 }),
  ports: fc.array(
    fc.record({ port, name: word, protocol: fc.constantFrom('HTTP', 'HTTP2', 'GRPC', 'TCP', 'TLS', 'AUTO') }),
    { maxLength: 3 },
  ),
});

const tls = fc.record({
  mode: fc.constantFrom('SIMPLE' as const, 'MUTUAL' as const),
  sni: word,
  subjectAltNames: words,
  caCertificates: word,
  clientCertificate: word,
  privateKey: word,
  credential: word,
  insecureSkipVerify: fc.boolean(),
});
const pool = fc.record({
  maxConnections: milliseconds,
  connectTimeoutMs: milliseconds,
  maxPendingRequests: milliseconds,
  maxRequests: milliseconds,
  maxRequestsPerConnection: milliseconds,
  idleTimeoutMs: milliseconds,
  h2Upgrade: fc.constantFrom('DEFAULT' as const, 'UPGRADE' as const, 'DO_NOT_UPGRADE' as const),
});
const backend: fc.Arbitrary<Backend> = fc.record({
  namespace: word,
  hostname: word,
  resolution: fc.constantFrom('STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'NONE', 'DYNAMIC_DNS'),
  external: fc.boolean(),
  subjectAltNames: words,
  ports: fc.array(
    fc.record({
      port,
      targetPort: port,
      tls: fc.option(tls, { nil: undefined }),
      loadBalancer: fc.constantFrom('LEAST_REQUEST', 'ROUND_ROBIN', 'RANDOM', 'PASSTHROUGH'),
      pool,
    }),
    { maxLength: 2 },
  ),
});
const credential: fc.Arbitrary<Credential> = fc.record({
  namespace: word,
  name: word,
  certificateChain: word,
  privateKey: word,
  caCertificates: word,
});
const proxy: fc.Arbitrary<ProxySettings> = fc.record({
  namespace: word,
  name: word,
  trustDomain: word,
  trustDomainAliases: words,
  accessLog: fc.constantFrom('TEXT', 'JSON', 'OFF'),
  pathNormalization: fc.constantFrom('NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'),
  serverHeader: word,
});

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function roundTrip<T>(
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): void {
  fc.assert(
    fc.property(values, (one) => assert.equal(plain(decode(encode(one))), plain(one))),
    { numRuns: 100 },
  );
}

test('any listener comes back as it was', () => roundTrip(listener, encodeListener, decodeListener));
test('any backend comes back as it was', () => roundTrip(backend, encodeBackend, decodeBackend));
test('any credential comes back as it was', () => roundTrip(credential, encodeCredential, decodeCredential));
test('any proxy settings come back as they were', () => roundTrip(proxy, encodeProxySettings, decodeProxySettings));

test('an unknown protocol refuses the listener by name', () => {
  const loose = message<{ readonly namespace: string; readonly hostname: string; readonly kind: number }>(
    'ambit.l7.v1.Listener',
  );
  assert.throws(
    () => decodeListener(loose.encode({ namespace: 'a', hostname: 'b', kind: 7 })),
    /listener a\/b: kind: unknown value 7/,
  );
});

test('a credential that cannot be read says nothing of its content', () => {
  const bytes = Buffer.concat([
    encodeCredential({ namespace: '', name: '', certificateChain: '', privateKey: 'hush', caCertificates: '' }),
    Buffer.of(0x0a, 9),
  ]);
  try {
    decodeCredential(bytes);
    assert.unreachable();
  } catch (error) {
    assert.not.match(String(error), 'hush');
    assert.match(String(error), 'not a valid ambit.l7.v1.Credential');
  }
});

test.run();
