import { writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OutsideWorld } from './outside/world.ts';
import { showCapture, startCapture } from './capture-step.ts';
import type { Stage } from './stage.ts';

const STEPS = 'examples/egress/steps';
const EGRESS = 'istio-egress';
const SETTLE_MS = 15_000;

const curl = (from: string, rest: string): string => `ambit exec deploy/${from} -- curl -sS -m 8 ${rest}`;
const waypointLog = (line: RegExp): { of: string; namespace: string; line: RegExp } => ({
  of: 'waypoint',
  namespace: EGRESS,
  line,
});
const agentLog = (line: RegExp): { of: string; namespace: string; line: RegExp } => ({
  of: 'ztunnel',
  namespace: 'istio-system',
  line,
});

/** One step: its number in the README, what it shows, and how. */
export interface Step {
  readonly title: string;
  play(stage: Stage, world: OutsideWorld): Promise<void>;
}

/** The story in the order it is told; every line of it runs on real traffic. */
export const STORY: readonly Step[] = [
  {
    title: 'Two clients call an external host: straight out, no mesh',
    async play(stage) {
      await stage.type('ambit get pods -A');
      for (const from of ['curl', 'admin']) {
        await stage.type(curl(from, '-i http://httpbin.org/get'), {
          output: [/HTTP\/1\.1 200 OK/, /server: httpbin/i],
          absent: [/x-request-id/i],
          withinMs: SETTLE_MS,
        });
      }
    },
  },
  {
    title: 'One label, and both pods are captured; nothing is restarted',
    async play(stage) {
      await stage.type('ambit label namespace default istio.io/dataplane-mode=ambient', {
        output: [/namespace\/default labeled/],
      });
      await stage.type('ambit get pods', {
        output: [/curl-\S+ .*enabled/, /admin-\S+ .*enabled/],
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('curl', '-o /dev/null -w %{http_code} http://httpbin.org/get'), {
        output: [/200/],
        log: agentLog(/connection complete.*dst\.addr=203\.0\.113\.10:80.*direction="outbound"/),
        withinMs: SETTLE_MS,
      });
    },
  },
  {
    title: 'A waypoint for egress',
    async play(stage) {
      await stage.type(`ambit waypoint apply --enroll-namespace --namespace ${EGRESS}`, {
        output: [
          /✅ waypoint istio-egress\/waypoint applied/,
          /✅ namespace istio-egress labeled with "istio.io\/use-waypoint: waypoint"/,
        ],
      });
      await stage.type(`ambit waypoint status --namespace ${EGRESS}`, {
        output: [/waypoint\s+True\s+Programmed\s+Programmed/],
      });
      await stage.type(`ambit get pods -n ${EGRESS}`, { output: [/waypoint-\S+\s+1\/1\s+Running/] });
    },
  },
  {
    title: 'The external host becomes an object: an address of its own, bound to the waypoint',
    async play(stage) {
      await stage.type(`ambit apply -f ${STEPS}/4-httpbin.yaml`, { output: [/serviceentry\/httpbin created/] });
      await stage.type(`ambit get serviceentry httpbin -n ${EGRESS} -o yaml`, {
        output: [
          /value: 240\.240\.\d+\.\d+/,
          /value: ['"]?2001:2:/,
          /type: istio\.io\/WaypointBound/,
          /status: ['"]?True/,
        ],
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('curl', '-o /dev/null -w %{remote_ip} http://httpbin.org/get'), {
        output: [/240\.240\.|2001:2:/],
        withinMs: SETTLE_MS,
      });
    },
  },
  {
    title: 'The same call crosses the waypoint now',
    async play(stage) {
      const capture = await startCapture(stage);
      await stage.type(curl('curl', '-i http://httpbin.org/get'), {
        output: [/HTTP\/1\.1 200 OK/, /server: istio-envoy/, /x-request-id/],
        log: waypointLog(
          /"GET \/get HTTP\/1\.1" 200 - via_upstream - "-" 0 \d+ .*"httpbin\.org" "203\.0\.113\.10:80" inbound-vip\|80\|http\|httpbin\.org;? /,
        ),
        withinMs: SETTLE_MS,
      });
      await showCapture(stage, capture);
    },
  },
  {
    title: 'An entry of another namespace binds with two labels',
    async play(stage) {
      await stage.type(`ambit apply -f ${STEPS}/6-other-namespace.yaml`, { output: [/serviceentry\/api created/] });
      await stage.type('ambit get serviceentries -A', {
        output: [/apps\s+api\s+api\.example\.org .*istio-egress\/waypoint\s+True/],
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('curl', '-i http://api.example.org/hello'), {
        output: [/HTTP\/1\.1 200 OK/, /server: istio-envoy/],
        log: waypointLog(/"GET \/hello HTTP\/1\.1" 200 .*"api\.example\.org"/),
        withinMs: SETTLE_MS,
      });
    },
  },
  {
    title: 'A policy: admin may do anything, everybody else only GET /get',
    async play(stage) {
      await stage.type(`ambit apply -f ${STEPS}/7-policy.yaml`, { output: [/authorizationpolicy\/httpbin created/] });
      await stage.type(curl('curl', '-i -X POST -d hello http://httpbin.org/post'), {
        output: [/HTTP\/1\.1 403 Forbidden/, /RBAC: access denied/],
        log: waypointLog(/"POST \/post HTTP\/1\.1" 403 .*rbac_access_denied_matched_policy\[none\]/),
        withinMs: SETTLE_MS,
      });
      await stage.type(`ambit logs waypoint -n ${EGRESS} --tail 3`, { output: [/istio-egress\/httpbin/] });
      await stage.type(curl('admin', '-i -X POST -d hello http://httpbin.org/post'), {
        output: [/200 OK/, /"data": "hello"/],
      });
      await stage.type(curl('curl', '-o /dev/null -w %{http_code} http://httpbin.org/get'), { output: [/200/] });
      await stage.type(`ambit get authorizationpolicies -n ${EGRESS}`, {
        output: [/httpbin\s+ALLOW\s+ServiceEntry\/httpbin\s+2\s+True/],
      });
    },
  },
  {
    title: 'TLS origination: the application says http://, the outside sees HTTPS',
    play: tlsOrigination,
  },
  {
    title: 'An application that insists on HTTPS passes through, with its SNI logged and a policy on it',
    async play(stage, world) {
      const root = join(world.folder, 'root.pem');
      await stage.type(`ambit apply -f ${STEPS}/9-tls-policy.yaml`, {
        output: [/authorizationpolicy\/api-tls created/],
      });
      await stage.type(curl('curl', `--cacert ${root} https://api.example.org/secret`), {
        output: [/"url": "https:\/\/api\.example\.org\/secret"/],
        log: waypointLog(/"- - -" 0 - .* api\.example\.org -$/),
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('admin', `--cacert ${root} https://api.example.org/secret`), {
        code: 35,
        log: waypointLog(/"- - -" 0 - - rbac_access_denied_matched_policy\[none\]/),
      });
    },
  },
  { title: 'In the mesh, too: a service with a waypoint of its own', play: inMesh },
  {
    title: 'What there is to see',
    async play(stage) {
      await stage.type('ambit get waypoints -A', {
        output: [/istio-egress\s+waypoint\s+service\s+True/, /apps\s+waypoint\s+service\s+True/],
      });
      await stage.type('ambit get serviceentries,authorizationpolicies -A', {
        output: [/serviceentry\/httpbin/, /authorizationpolicy\/echo-readers/],
      });
      await stage.type(`ambit metrics waypoint istio_requests_total -n ${EGRESS}`, {
        output: [
          /istio_requests_total\{reporter="waypoint",source_workload="curl",.*destination_service="httpbin\.org".*response_code="403"/,
        ],
      });
      await stage.type('ambit metrics ztunnel istio_tcp_connections_opened_total', {
        output: [/istio_tcp_connections_opened_total\{reporter="source",source_workload="curl"/],
      });
      await stage.type('ambit status');
    },
  },
];

async function tlsOrigination(stage: Stage, world: OutsideWorld): Promise<void> {
  const secrets = join(world.folder, 'secrets.yaml');
  writeFileSync(secrets, world.secrets, { mode: 0o600 });
  await stage.type(`ambit apply -f ${secrets}`, { output: [/secret\/outside-ca created/] });
  const step = readFileSync(`${STEPS}/8-tls-origination.yaml`, 'utf8');
  const simple = join(world.folder, '8-tls-origination.yaml');
  writeFileSync(simple, step.replace('mode: SIMPLE', 'mode: SIMPLE\n      credentialName: outside-ca'));
  await stage.type(`ambit apply -f ${simple}`, {
    output: [/serviceentry\/httpbin configured/, /destinationrule\/httpbin created/],
  });
  await stage.type(curl('curl', 'http://httpbin.org/get'), {
    output: [/"url": "https:\/\/httpbin\.org\/get"/, /"sni": "httpbin\.org"/],
    log: waypointLog(/"GET \/get HTTP\/1\.1" 200 .*"203\.0\.113\.10:443"/),
    withinMs: SETTLE_MS,
  });
  stage.say('A server whose certificate is of another name:');
  const mistaken = join(world.folder, '8-mistaken.yaml');
  writeFileSync(mistaken, simpleEntry('mistaken', 'mistaken.example.org'));
  await stage.type(`ambit apply -f ${mistaken}`, { output: [/serviceentry\/mistaken created/] });
  await stage.type(curl('curl', '-i http://mistaken.example.org/get'), {
    output: [/HTTP\/1\.1 503/],
    log: waypointLog(/"GET \/get HTTP\/1\.1" 503 UF .*"mistaken\.example\.org"/),
    withinMs: SETTLE_MS,
  });
  await stage.type(`ambit logs waypoint -n ${EGRESS} --tail 4`, { output: [/expected.*mistaken\.example\.org/] });
  stage.say('MUTUAL: the waypoint shows a client certificate, the outside says which:');
  const mutual = join(world.folder, '8-mutual.yaml');
  writeFileSync(mutual, step.replace('mode: SIMPLE', 'mode: MUTUAL\n      credentialName: outside-client'));
  await stage.type(`ambit apply -f ${mutual}`, { output: [/destinationrule\/httpbin configured/] });
  await stage.type(curl('curl', 'http://httpbin.org/get'), {
    output: [/"subject": "waypoint\.istio-egress\.demo"/, /"verified": true/],
    withinMs: SETTLE_MS,
  });
}

/** The YAML of a host on port 80 that is called by TLS, trusting the outside's CA. */
function simpleEntry(name: string, host: string): string {
  return `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${EGRESS} }
spec:
  hosts: [${host}]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 443 }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name}, namespace: ${EGRESS} }
spec:
  host: ${host}
  trafficPolicy: { tls: { mode: SIMPLE, credentialName: outside-ca } }
`;
}

async function inMesh(stage: Stage): Promise<void> {
  await stage.type(curl('curl', '-i http://echo.apps/'), {
    output: [/200 OK/],
    absent: [/server: istio-envoy/],
    withinMs: SETTLE_MS,
  });
  await stage.type('ambit waypoint apply --enroll-namespace --wait -n apps', {
    output: [/✅ waypoint apps\/waypoint is ready!/],
  });
  await stage.type(`ambit apply -f ${STEPS}/10-echo-policy.yaml`, {
    output: [/authorizationpolicy\/echo-readers created/],
  });
  await stage.type(curl('curl', '-i -X POST http://echo.apps/'), {
    output: [/403 Forbidden/, /RBAC: access denied/],
    log: { of: 'waypoint', namespace: 'apps', line: /"POST \/ HTTP\/1\.1" 403/ },
    withinMs: SETTLE_MS,
  });
  await stage.type(curl('curl', '-i http://echo.apps/'), {
    output: [/200 OK/, /server: istio-envoy/],
    log: {
      of: 'waypoint',
      namespace: 'apps',
      line: /"GET \/ HTTP\/1\.1" 200 - via_upstream .*"10\.244\.\d+\.\d+:8080" inbound-vip\|80\|http\|echo\.apps/,
    },
    withinMs: SETTLE_MS,
  });
  stage.say('HBONE in and HBONE out: the node agent sees the waypoint, by its certificate, arrive at the pod:');
  await stage.type(
    `ambit metrics ztunnel 'istio_tcp_connections_opened_total{reporter="destination",source_workload="waypoint"'`,
    {
      output: [
        /source_principal="spiffe:\/\/cluster\.local\/ns\/apps\/sa\/waypoint".*destination_workload="echo".*connection_security_policy="mutual_tls"/,
      ],
      withinMs: SETTLE_MS,
    },
  );
  stage.say('Without its waypoint the service goes on, at L4:');
  await stage.type('ambit label service echo -n apps istio.io/use-waypoint=none', {
    output: [/service\/echo labeled/],
  });
  await stage.type(curl('curl', '-i http://echo.apps/'), {
    output: [/200 OK/],
    absent: [/server: istio-envoy/],
    log: agentLog(/connection complete.*src\.workload="curl-\S+".*dst\.workload="echo-\S+".*direction="inbound"/),
    withinMs: SETTLE_MS,
  });
}
