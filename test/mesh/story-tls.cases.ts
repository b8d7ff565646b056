/** Steps 8 and 9 of the story: TLS to the outside, made by the waypoint or by the application. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { accessFields, at, REPOSITORY, type TestMesh, until } from '../harness/mesh.ts';
import { boundEntry, hostOf, STEPS, WAYPOINT } from './story-facts.ts';

/** Exit code of curl for a connection that was reset while it received. */
const REFUSED_IN_TLS = [35, 56];

/** 8a. The application says http://, the outside sees HTTPS. */
export async function originate(mesh: TestMesh): Promise<void> {
  await mesh.apply(mesh.world?.secrets ?? '');
  await mesh.apply(tlsStep('SIMPLE\n      credentialName: outside-ca'));
  const reply = await until('TLS to the outside', async () => {
    const one = await mesh.curl('default/curl', 'http://httpbin.org/get');
    return one.body.includes('"https://httpbin.org/get"') && one;
  });
  const seen = JSON.parse(reply.body);
  assert.equal(seen.tls, { sni: 'httpbin.org', protocol: 'TLSv1.3', clientCertificate: null });
  const line = accessFields(await mesh.logLine(WAYPOINT, new RegExp(`"${seen.headers['x-request-id']}"`)));
  assert.is(line['status'], '200');
  assert.is(line['upstream'], '203.0.113.10:443');
  assert.match(line['downstreamLocal'] ?? '', /^240\.240\.\d+\.\d+:80$/, 'the application called port 80');
}

/** 8b. A server whose certificate is of another name. */
export async function wrongCertificate(mesh: TestMesh): Promise<void> {
  await mesh.apply(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: mistaken, namespace: istio-egress }
spec:
  hosts: [mistaken.example.org]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 443 }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: mistaken, namespace: istio-egress }
spec:
  host: mistaken.example.org
  trafficPolicy: { tls: { mode: SIMPLE, credentialName: outside-ca } }
`);
  await until(
    'the name',
    async () => (await mesh.curl('default/curl', 'http://mistaken.example.org/get')).status === 503,
  );
  const reply = await mesh.curl('default/curl', 'http://mistaken.example.org/get');
  assert.match(reply.body, /^upstream connect error or disconnect\/reset before headers/);
  const raw = await mesh.logLine(WAYPOINT, /"GET \/get HTTP\/1\.1" 503 UF .*"mistaken\.example\.org"/);
  const line = accessFields(raw);
  assert.is(line['flags'], 'UF');
  assert.is(line['upstream'], '203.0.113.30:443');
  assert.match(line['failure'] ?? '', /expected_mistaken\.example\.org/);
  assert.match(line['failure'] ?? '', /somebody-else\.example\.net/);
}

/** 8c. The waypoint shows a client certificate. */
export async function mutual(mesh: TestMesh): Promise<void> {
  await mesh.apply(tlsStep('MUTUAL\n      credentialName: outside-client'));
  const seen = await until('a client certificate', async () => {
    const body = JSON.parse((await mesh.curl('default/curl', 'http://httpbin.org/get')).body);
    return body.tls?.clientCertificate !== null && body.tls;
  });
  assert.equal(seen.clientCertificate, { subject: 'waypoint.istio-egress.demo', verified: true });
  assert.is(seen.sni, 'httpbin.org');
}

/** 9. TLS of the application, passed through. */
export async function https(mesh: TestMesh): Promise<void> {
  const { v4 } = await boundEntry(mesh, 'apps', 'api');
  const call = ['--cacert', join(mesh.world?.folder ?? '', 'root.pem'), 'https://api.example.org/secret'];
  const free = await mesh.curl('default/admin', ...call);
  assert.is(free.status, 200, free.err);
  await mesh.applyFile(`${STEPS}/9-tls-policy.yaml`);
  await until('the policy', async () => REFUSED_IN_TLS.includes((await mesh.curl('default/admin', ...call)).code));
  // the first may have been cut when the policy came; this one is refused before anything is called
  assert.ok(REFUSED_IN_TLS.includes((await mesh.curl('default/admin', ...call)).code));
  const refusal = await mesh.logLine(
    WAYPOINT,
    /"- - -" 0 - - rbac_access_denied_matched_policy\[none\] .* "-" inbound-vip/,
  );
  const refused = accessFields(refusal);
  assert.is(refused['sni'], 'api.example.org');
  assert.is(hostOf(refused['downstreamRemote']), at(await mesh.pod('default/admin'), 'status.podIP'));
  assert.is(refused['upstream'], '-');
  const since = (await mesh.log(WAYPOINT)).length;
  const reply = await mesh.curl('default/curl', ...call);
  const seen = JSON.parse(reply.body);
  assert.is(seen.url, 'https://api.example.org/secret');
  assert.is(seen.tls.sni, 'api.example.org');
  assert.is(seen.headers['x-request-id'], undefined, 'nobody looked inside');
  const line = accessFields(await mesh.logLine(WAYPOINT, /"- - -" 0 .* api\.example\.org -$/, since));
  assert.is(line['upstream'], '203.0.113.20:443');
  assert.is(line['cluster'], 'inbound-vip|443|tcp|api.example.org;');
  assert.is(line['downstreamLocal'], `${v4}:443`);
  assert.is(hostOf(line['downstreamRemote']), at(await mesh.pod('default/curl'), 'status.podIP'));
  assert.ok(
    Number(line['received']) > 300 && Number(line['sent']) > Buffer.byteLength(reply.body),
    'bytes of the TLS stream',
  );
  const http = await mesh.curl('default/curl', 'http://api.example.org/hello');
  assert.is(http.status, 403, 'port 80 is allowed to nobody');
}

/** Step 8's file with another `tls.mode`. */
const tlsStep = (mode: string): string =>
  readFileSync(join(REPOSITORY, `${STEPS}/8-tls-origination.yaml`), 'utf8').replace('mode: SIMPLE', `mode: ${mode}`);
