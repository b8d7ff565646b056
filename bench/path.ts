/**
 * What the mesh adds to a request: the same kind of pod calls the same external server directly (uncaptured), and through the node agent and an
 * egress waypoint. `node bench/path.ts [rounds] [seconds]`; needs root, wrk and nginx.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AMBIENT_NAMESPACE,
  MeshBed,
  UNCAPTURED,
  machineLine,
  median,
  needTools,
  nginxConfig,
  parseWrk,
  podYaml,
  type WrkResult,
} from './mesh-bed.ts';
import { cpuMsOf, memoryOf } from './processes.ts';

const HOST = 'httpbin.org';
const OUTSIDE = '203.0.113.10';
/** "Adds at most": the median at one connection, on a machine that does nothing else. */
const LIMIT_MS = 1;
const [rounds = 3, seconds = 5] = process.argv.slice(2).map(Number);

interface Way {
  readonly name: string;
  readonly pod: string;
  readonly url: string;
}

const WAYS: readonly Way[] = [
  { name: 'direct', pod: 'plain', url: `http://${OUTSIDE}/get` },
  { name: 'agent and waypoint', pod: 'client', url: `http://${HOST}/get` },
];

const PROGRAMS = ['ztunnel', 'waypoint'] as const;

needTools('wrk', 'nginx');
const folder = mkdtempSync(join(tmpdir(), 'ambit-bench-'));
const bed = await MeshBed.start(objects());
try {
  await main();
} finally {
  await bed.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);

async function main(): Promise<void> {
  await Promise.all([bed.captured('client'), bed.podAddress('waypoint')]);
  await throughWaypoint();
  console.log(`${machineLine()}; median of ${rounds} rounds of ${seconds} s, the ways in turn\n`);
  console.log('| connections | way | requests/s | p50 ms | p99 ms | errors |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  for (const connections of [1, 32]) {
    const results = new Map<Way, WrkResult[]>(WAYS.map((way) => [way, []]));
    for (const way of WAYS) await measure(way, connections);
    const before = cpu();
    for (let round = 0; round < rounds; round++)
      for (const [way, list] of results) list.push(await measure(way, connections));
    const p50s = [...results].map(([way, list]) => print(connections, way, list));
    const added = (p50s[1] ?? NaN) - (p50s[0] ?? NaN);
    const verdict = connections > 1 ? '' : `; at most ${LIMIT_MS}: ${added <= LIMIT_MS ? 'kept' : 'MISSED'}`;
    console.log(`| ${connections} | added | | ${added.toFixed(3)}${verdict} | | |`);
    console.log(`\n${cpuLine(before)}\n`);
  }
}

async function measure(way: Way, connections: number): Promise<WrkResult> {
  return parseWrk(await bed.exec(way.pod, ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', way.url]));
}

function print(connections: number, way: Way, list: readonly WrkResult[]): number {
  const p50 = median(list.map((one) => one.p50));
  const rate = median(list.map((one) => one.requestsPerSecond)).toFixed(0);
  const p99 = median(list.map((one) => one.p99)).toFixed(2);
  const errors = list.map((one) => one.errors).join(' ');
  console.log(`| ${connections} | ${way.name} | ${rate} | ${p50.toFixed(3)} | ${p99} | ${errors} |`);
  return p50;
}

function cpu(): number[] {
  return PROGRAMS.map((program) => cpuMsOf(bed.pidOf(program)) / 1000);
}

function cpuLine(before: readonly number[]): string {
  return cpu()
    .map((now, index) => {
      const program = PROGRAMS[index] ?? 'ztunnel';
      const { rss } = memoryOf(bed.pidOf(program));
      return `${program}: ${(now - (before[index] ?? 0)).toFixed(2)} CPU s in ${rounds * seconds} s under load, ${rss.toFixed(0)} MB`;
    })
    .join('; ');
}

/** The entry's address takes a moment to reach the pods; what does not come from a waypoint is not measured. */
async function throughWaypoint(): Promise<void> {
  const script = `for i in $(seq 100); do curl -s -m 2 -i http://${HOST}/get | grep -qi '^server: istio-envoy' && exit 0; sleep 0.1; done; exit 1`;
  await bed.exec('client', ['sh', '-c', script]);
}

function objects(): string {
  const nginx = join(folder, 'nginx.conf');
  writeFileSync(nginx, nginxConfig(folder, 80));
  return [
    AMBIENT_NAMESPACE.replace('ambient }', 'ambient, istio.io/use-waypoint: waypoint }'),
    `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: default }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }`,
    `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside, namespace: default }
spec:
  hosts: [${HOST}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{ address: ${OUTSIDE} }]
  ports: [{ number: 80, name: http, protocol: HTTP }]`,
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: readers, namespace: default }
spec:
  targetRefs: [{ group: networking.istio.io, kind: ServiceEntry, name: outside }]
  action: ALLOW
  rules: [{ to: [{ operation: { methods: [GET], paths: [/get] } }] }]`,
    podYaml('client', [['sleep', 'infinity']]),
    podYaml('plain', [['sleep', 'infinity']], { labels: UNCAPTURED }),
    podYaml('internet', [['nginx', '-c', nginx]], { annotations: `ambit.dev/outside: ${OUTSIDE}/24` }),
  ].join('\n---\n');
}
