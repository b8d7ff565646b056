import { readFileSync } from 'node:fs';
import type { Scenery } from './scenery.ts';
import { type Capture, showCapture, startCapture } from './capture-step.ts';
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

/** Started in step 5, shown in the last. */
let capture: Capture | undefined;

/** One step: what it shows, and how. */
export interface Step {
  readonly title: string;
  play(stage: Stage, world: Scenery): Promise<void>;
}

/** The story in the order it is told; every line of it runs on real traffic. */
export const STORY: readonly Step[] = [
  {
    title: 'Two clients call an external host: straight out, no mesh',
    async play(stage) {
      await stage.type('ambit get pods -A');
      for (const from of ['curl', 'admin']) {
        await stage.type(curl(from, '-i http://httpbin.org/get'), {
          output: [/HTTP\/1\.1 200 OK/],
          absent: [/server: istio-envoy/i],
          withinMs: SETTLE_MS,
        });
      }
    },
  },
  {
    title: 'One label, and both pods are captured; nothing is restarted',
    async play(stage, world) {
      await stage.type('ambit label namespace default istio.io/dataplane-mode=ambient', {
        output: [/namespace\/default labeled/],
      });
      await stage.type('ambit get pods', {
        output: [/curl-\S+ .*enabled/, /admin-\S+ .*enabled/],
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('curl', '-o /dev/null -w %{http_code} http://httpbin.org/get'), {
        output: [/200/],
        log: agentLog(new RegExp(`connection complete.*dst\\.addr=${world.httpbinAddress}:80.*direction="outbound"`)),
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
    async play(stage, world) {
      capture = await startCapture(stage);
      await stage.type(curl('curl', '-i http://httpbin.org/get'), {
        output: [/HTTP\/1\.1 200 OK/, /server: istio-envoy/, /x-request-id/],
        log: waypointLog(
          new RegExp(
            `"GET /get HTTP/1\\.1" 200 - via_upstream - "-" 0 \\d+ .*"httpbin\\.org" "${world.httpbinAddress}:80" inbound-vip\\|80\\|http\\|httpbin\\.org; `,
          ),
        ),
        withinMs: SETTLE_MS,
      });
    },
  },
  {
    title: 'An entry of another namespace binds with two labels',
    async play(stage, world) {
      const file = world.adapt(`${STEPS}/6-other-namespace.yaml`);
      await stage.type(`ambit apply -f ${file}`, { output: [/serviceentry\/api created/] });
      await stage.type('ambit get serviceentries -A', {
        output: [new RegExp(`apps\\s+api\\s+${world.api} .*istio-egress/waypoint\\s+True`)],
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('curl', `-i http://${world.api}/`), {
        output: [/HTTP\/1\.1 200 OK/, /server: istio-envoy/],
        log: waypointLog(new RegExp(`"GET / HTTP/1\\.1" 200 .*"${world.api}"`)),
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
      stage.say('Which rule allows is said at debug:');
      await stage.type(
        `ambit exec waypoint -n ${EGRESS} -- curl -sS -X POST 'localhost:15000/logging?level=authz=debug,info'`,
        {
          output: [/authz=debug/],
        },
      );
      await stage.type(curl('admin', '-i -X POST -d hello http://httpbin.org/post'), {
        output: [/200 OK/, /"data": "hello"/],
        log: waypointLog(/allowed by istio-egress\/httpbin rule 0.*sa\/admin/),
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
      await stage.type(`ambit apply -f ${STEPS}/9-tls-policy.yaml`, {
        output: [/authorizationpolicy\/api-tls created/],
      });
      await stage.type(curl('curl', `${world.trust}-i https://${world.api}/`), {
        output: [/HTTP\/\S+ 200/],
        absent: [/istio-envoy/],
        log: waypointLog(new RegExp(`"- - -" 0 - .* ${world.api} -$`)),
        withinMs: SETTLE_MS,
      });
      await stage.type(curl('admin', `${world.trust}https://${world.api}/`), {
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
  {
    title: 'Proof on the wire: the bridge during the call of step 5, searched for the request',
    async play(stage) {
      if (capture !== undefined) await showCapture(stage, capture);
    },
  },
];

async function tlsOrigination(stage: Stage, world: Scenery): Promise<void> {
  if (world.secrets !== undefined) {
    await stage.type(`ambit apply -f ${world.write('secrets.yaml', world.secrets)}`, {
      output: [/secret\/outside-ca created/],
    });
  }
  const step = readFileSync(`${STEPS}/8-tls-origination.yaml`, 'utf8');
  const tls = (mode: string, credential: string | undefined): string =>
    step.replace(
      'mode: SIMPLE',
      credential === undefined ? `mode: ${mode}` : `mode: ${mode}\n      credentialName: ${credential}`,
    );
  await stage.type(`ambit apply -f ${world.write('8-tls-origination.yaml', tls('SIMPLE', world.authority))}`, {
    output: [/serviceentry\/httpbin configured/, /destinationrule\/httpbin created/],
  });
  await stage.type(curl('curl', 'http://httpbin.org/get'), {
    output: [/"url": "https:\/\/httpbin\.org\/get"/],
    log: waypointLog(new RegExp(`"GET /get HTTP/1\\.1" 200 .*"${world.httpbinAddress}:443"`)),
    withinMs: SETTLE_MS,
  });
  await mistakenCertificate(stage, world);
  if (world.secrets === undefined)
    return stage.say('MUTUAL needs a server that reports client certificates: told only without --internet.');
  stage.say('MUTUAL: the waypoint shows a client certificate, the outside says which:');
  await stage.type(`ambit apply -f ${world.write('8-mutual.yaml', tls('MUTUAL', 'outside-client'))}`, {
    output: [/destinationrule\/httpbin configured/],
  });
  await stage.type(curl('curl', 'http://httpbin.org/get'), {
    output: [/"sni": "httpbin\.org"/, /"subject": "waypoint\.istio-egress\.demo"/, /"verified": true/],
    withinMs: SETTLE_MS,
  });
}

async function mistakenCertificate(stage: Stage, world: Scenery): Promise<void> {
  stage.say('A server whose certificate is of another name:');
  await stage.type(`ambit apply -f ${world.write('8-mistaken.yaml', simpleEntry('mistaken', world))}`, {
    output: [/serviceentry\/mistaken created/],
  });
  await stage.type(curl('curl', `-i http://${world.mistaken}/get`), {
    output: [/HTTP\/1\.1 503/],
    log: waypointLog(new RegExp(`"GET /get HTTP/1\\.1" 503 UF .*expected_${world.mistaken}`)),
    withinMs: SETTLE_MS,
  });
}

/** The YAML of a host on port 80 that is called by TLS, trusting the outside's CA. */
function simpleEntry(name: string, world: Scenery): string {
  const credential = world.authority === undefined ? '' : `, credentialName: ${world.authority}`;
  return `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${EGRESS} }
spec:
  hosts: [${world.mistaken}]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 443 }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name}, namespace: ${EGRESS} }
spec:
  host: ${world.mistaken}
  trafficPolicy: { tls: { mode: SIMPLE${credential} } }
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
