// deadline: 150s
/** Clients with bad intentions, in pods: through the mesh as HTTP, and straight at the tunnel port of waypoint and node agent. */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DemoAuthority } from '../../demo/outside/certificates.ts';
import { processNamed, residentMiB } from '../harness/leftovers.ts';
import { liveHeap } from '../harness/live-heap.ts';
import { at, TestMesh, until } from '../harness/mesh.ts';
import { AMBIENT, deployment, gateway, namespace, service, untilWaypoint, yaml } from './traffic-scenario.ts';

const ATTACKER = join(import.meta.dirname, 'bad-input-attacker.ts');
const WAYPOINT = 'shop/waypoint';
const AGENT = 'istio-system/ztunnel';
const HOSTILE_CONNECTIONS = 2000;
const MEBIBYTE = 1024 * 1024;
/** One lost kilobyte per connection would be twice as much. */
const GROWTH_MIB = 1;
/** What V8 and malloc may hold on to under a storm. */
const RESIDENT_MIB = 256;

/** Trusted by somebody, but not by this mesh. */
const foreign = new DemoAuthority('Somebody else').issue('client.example.org', []);
const indented = (pem: string): string => pem.trim().replaceAll(/\r?\n/g, '\n    ');
const OUTSIDER = `
apiVersion: v1
kind: Secret
metadata: { name: foreign, namespace: plain }
stringData:
  cert.pem: |
    ${indented(foreign.certificate)}
  key.pem: |
    ${indented(foreign.privateKey)}
---
apiVersion: v1
kind: Pod
metadata: { name: outsider, namespace: plain }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: example/outsider:1
      command: [sleep, infinity]
      volumeMounts: [{ name: foreign, mountPath: /etc/foreign }]
  volumes: [{ name: foreign, secret: { secretName: foreign } }]
`;

const mesh = new TestMesh({
  yaml: yaml(
    namespace('shop', { ...AMBIENT, 'istio.io/use-waypoint': 'waypoint' }),
    namespace('plain'),
    deployment('shop', 'client'),
    deployment('shop', 'server', true),
    OUTSIDER,
    service('shop', 'peer', 'server'),
    gateway('shop'),
  ),
});

test.before(async () => {
  await mesh.start();
  await untilWaypoint(mesh, 'shop/client', 'http://peer/');
});
test.after(async () => {
  assert.equal(await mesh.stop(), [], 'left behind');
});

interface Answer {
  readonly how: string;
  readonly text: string;
  readonly goaway: number | null;
}

async function attack(from: string, ...words: string[]): Promise<Answer> {
  const { out, err } = await mesh.exec(from, ['node', ATTACKER, ...words]);
  assert.ok(out.startsWith('{'), out + err);
  const answer: unknown = JSON.parse(out);
  return {
    how: String(at(answer, 'how')),
    text: String(at(answer, 'text')),
    goaway: Number(at(answer, 'goaway') ?? -1),
  };
}

/** The lines that a log has got since a length. */
const linesSince = async (target: string, length: number): Promise<string[]> =>
  (await mesh.log(target)).slice(length).split('\n').filter(Boolean);

/** Attack, status, Envoy's detail. */
const REFUSED: readonly (readonly [attack: string, status: number, detail: string])[] = [
  ['both-lengths', 400, 'http1.content_length_and_chunked_not_allowed'],
  ['two-lengths', 400, 'http1.codec_error'],
  ['odd-encoding', 501, 'http1.invalid_transfer_encoding'],
  ['blank-before-colon', 400, 'http1.codec_error'],
  ['bare-line-feed', 400, 'http1.codec_error'],
  ['folded-header', 400, 'http1.codec_error'],
  ['null-in-header', 400, 'http1.invalid_characters'],
  ['bad-chunk', 400, 'http1.codec_error'],
  ['two-hosts', 400, 'http.invalid_authority'],
  ['no-host', 400, 'missing_host_header'],
  ['no-http', 400, 'http1.codec_error'],
  ['large-header', 431, 'http1.headers_too_large'],
  ['many-headers', 431, 'http1.too_many_headers'],
  ['long-path', 431, 'http1.headers_too_large'],
];

for (const [name, status, detail] of REFUSED) {
  test(`${name}: ${status}, one line, and nothing is smuggled`, async () => {
    const since = (await mesh.log(WAYPOINT)).length;
    const answer = await attack('shop/client', name, 'peer', '80');
    assert.match(answer.text, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.is(answer.text.match(/^HTTP\/1\.1 /gm)?.length, 1, 'one answer');
    const lines = await until('its line', async () => {
      const found = await linesSince(WAYPOINT, since);
      return found.length > 0 && found;
    });
    assert.is(lines.length, 1, lines.join('\n'));
    assert.ok(lines[0]?.includes(` ${status} `) && lines[0].includes(` ${detail} `), lines[0]);
    assert.not.match(lines[0] ?? '', /smuggled/);
  });
}

/** Attack, error code of the GOAWAY (RFC 9113 §7). */
const GONE: readonly (readonly [attack: string, code: number, detail: string])[] = [
  ['http2-garbage', 9, 'http2.compression_error'],
  ['http2-large-frame', 6, 'http2.frame_size_error'],
  ['http2-settings-flood', 11, 'http2.enhance_your_calm'],
  ['http2-ping-flood', 11, 'http2.enhance_your_calm'],
  ['http2-continuation-flood', 11, 'http2.enhance_your_calm'],
  ['http2-rapid-reset', 11, 'http2.enhance_your_calm'],
];

for (const [name, code, detail] of GONE) {
  test(`${name}: GOAWAY ${code}, and one line that says why`, async () => {
    const since = (await mesh.log(WAYPOINT)).length;
    const answer = await attack('shop/client', name, 'peer', '80');
    assert.is(answer.goaway, code, answer.how);
    assert.not(answer.how === 'timeout', 'the connection ends');
    const faults = await until('its line', async () => {
      const found = (await linesSince(WAYPOINT, since)).filter((line) => line.includes('"- - HTTP/2"'));
      return found.length > 0 && found;
    });
    assert.is(faults.length, 1);
    assert.ok(faults[0]?.includes(` DPE ${detail}{`), faults[0]);
  });
}

/** What came, how the client hears of it, and the words of the line. */
const AT_THE_PORT: readonly (readonly [attack: string, heard: RegExp, said: RegExp])[] = [
  ['plain-http', /closed|ECONNRESET/, /plain HTTP came, expected mutual TLS 1\.3/],
  ['tls-none', /alert number 116/, /the client sent no certificate, expected one of this mesh/],
  // Node judges a client's certificate after the handshake, and then has no alert to send: the connection is closed
  ['tls-foreign', /closed|ECONNRESET/, /the certificate was not issued under the roots of this mesh/],
];

for (const [target, log] of [
  [WAYPOINT, WAYPOINT],
  ['shop/server', AGENT],
] as const) {
  for (const [name, heard, said] of AT_THE_PORT) {
    test(`${name} at port 15008 of ${target}: refused with one line that names the client`, async () => {
      const since = (await mesh.log(log)).length;
      const address = String(at(await mesh.pod(target), 'status.podIP'));
      const answer = await attack('plain/outsider', name, address, '15008');
      assert.match(answer.how, heard, JSON.stringify(answer));
      assert.is(answer.text, '');
      const client = String(at(await mesh.pod('plain/outsider'), 'status.podIP'));
      const lines = await until('its line', async () => {
        const found = (await linesSince(log, since)).filter((line) => line.includes(`src.addr=${client}:`));
        return found.length > 0 && found;
      });
      assert.is(lines.length, 1, lines.join('\n'));
      assert.match(lines[0] ?? '', said);
    });
  }
}

test(`${HOSTILE_CONNECTIONS} hostile connections do not make waypoint or node agent grow, and others are served meanwhile`, async () => {
  const pids = ['waypoint/src/main.ts', 'ztunnel/src/main.ts'].map((name) => processNamed(mesh.pid, name) ?? 0);
  const address = String(at(await mesh.pod(WAYPOINT), 'status.podIP'));
  const storm = async (count: number): Promise<void> => {
    await attack('shop/client', 'mixed', 'peer', '80', String(count * 0.8));
    await attack('plain/outsider', 'plain-http', address, '15008', String(count * 0.1));
    await attack('plain/outsider', 'tls-none', address, '15008', String(count * 0.1));
  };
  await storm(400);
  const before = pids.map(liveHeap);
  const under = storm(HOSTILE_CONNECTIONS);
  assert.is((await mesh.curl('shop/client', 'http://peer/')).status, 200);
  await under;
  const growth = pids.map((pid, i) => (liveHeap(pid) - (before[i] ?? 0)) / MEBIBYTE);
  assert.ok(
    growth.every((one) => one < GROWTH_MIB),
    `the live heap grew by ${growth.map((one) => one.toFixed(2)).join(' and ')} MiB`,
  );
  const resident = pids.map(residentMiB);
  assert.ok(
    resident.every((one) => one < RESIDENT_MIB),
    `resident: ${resident.map((one) => one.toFixed(0)).join(' and ')} MiB`,
  );
  assert.equal(
    pids,
    ['waypoint/src/main.ts', 'ztunnel/src/main.ts'].map((name) => processNamed(mesh.pid, name)),
    'the same processes',
  );
  assert.is((await mesh.curl('shop/client', 'http://peer/')).status, 200);
});

test.run();
