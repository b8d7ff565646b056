/**
 * L7: one waypoint on one worker, HBONE in, plain HTTP/1.1 out, method and path policy, access log; ours and Envoy 1.39
 * in turn with the same load, the same backend and the same certificates. `node bench/l7.ts [rounds] [seconds]`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIp } from '@ambit/common/address/ip';
import { hboneLoad, type LoadResult } from './hbone-load.ts';
import { startEnvoy, waypointConfig } from './peers/envoy.ts';
import { type WaypointUnderTest, startWaypoint } from './waypoint-under-test.ts';

const BACKEND = 19_080;
const OURS = 19_008;
const ENVOY = 19_108;
const CONNECTIONS = [1, 32];

interface Peer {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

const [rounds = 2, seconds = 5] = process.argv.slice(2).map(Number);
const abort = new AbortController();
try {
  await main();
} finally {
  abort.abort();
}
process.exit(0);

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-bench-'));
  startBackend(folder);
  const ours = await startWaypoint({ port: OURS, backendPort: BACKEND, signal: abort.signal });
  const peers: Peer[] = [
    { name: 'ambit', port: OURS, pid: ours.process.pid ?? 0 },
    { name: 'envoy', port: ENVOY, pid: await startPeer(folder, ours) },
  ];
  console.log(
    `load average before: ${loadavg()[0]?.toFixed(2)}; ${rounds} rounds of ${seconds} s, one after the other`,
  );
  console.log('| peer | connections | requests/s | p50 ms | p99 ms | CPU ms per 1000 | RSS MB | errors |');
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const connections of CONNECTIONS) {
    for (const peer of peers) await measure(peer, ours, { connections, seconds: 1 });
    for (let round = 0; round < rounds; round++)
      for (const peer of peers) print(peer, connections, await measure(peer, ours, { connections, seconds }));
  }
}

async function measure(
  peer: Peer,
  ours: WaypointUnderTest,
  run: { connections: number; seconds: number },
): Promise<LoadResult & { cpu: number }> {
  const ip = parseIp('127.0.0.1');
  if (ip === undefined) throw new Error('unreachable');
  const before = cpuMs(peer.pid);
  const result = await hboneLoad({
    credentials: ours.client,
    accept: ours.identity,
    proxy: { ip, port: peer.port },
    authority: ours.authority,
    path: '/get',
    ...run,
  });
  return { ...result, cpu: cpuMs(peer.pid) - before };
}

function print(peer: Peer, connections: number, result: LoadResult & { cpu: number }): void {
  const per1000 = (result.cpu / (result.requestsPerSecond * seconds)) * 1000;
  console.log(
    `| ${peer.name} | ${connections} | ${result.requestsPerSecond.toFixed(0)} | ${result.p50.toFixed(3)} | ${result.p99.toFixed(2)} | ${per1000.toFixed(0)} | ${rssMb(peer.pid)} | ${result.errors} |`,
  );
}

async function startPeer(folder: string, ours: WaypointUnderTest): Promise<number> {
  const { server } = ours;
  const identity = { certificate: server.certificateChain, key: server.privateKey, root: server.roots.join('\n') };
  const child = startEnvoy(
    folder,
    'waypoint',
    waypointConfig({ port: ENVOY, backend: BACKEND, identity, log: join(folder, 'access.log') }),
  );
  abort.signal.addEventListener('abort', () => child.kill('SIGKILL'));
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return child.pid ?? 0;
}

/** nginx with one worker that answers 11 bytes (Debian package nginx-light). */
function startBackend(folder: string): void {
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${BACKEND}; location / { return 200 "hello world"; } } }`,
  );
  execFileSync('nginx', ['-t', '-q', '-c', config], { stdio: 'inherit' });
  const child = spawn('nginx', ['-c', config], { stdio: 'inherit' });
  abort.signal.addEventListener('abort', () => child.kill('SIGTERM'));
}

/** User and system time of a process. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssMb(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);
}
