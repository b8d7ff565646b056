/**
 * L4: pod → agent → HBONE → agent → pod in the standalone mesh, beside the same load between uncaptured pods and through a pair of Envoys
 * that tunnel in the same way, one after the other. `node bench/l4.ts [rounds] [seconds] [load] [way]`,
 * where the last two are a part of a name; needs root, wrk, iperf3 and nginx.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestAuthority } from '../test/harness/certificates.ts';
import {
  AMBIENT_NAMESPACE,
  MeshBed,
  UNCAPTURED,
  fail,
  machineLine,
  median,
  needTools,
  nginxConfig,
  parseIperf,
  parseWrk,
  podYaml,
} from './mesh-bed.ts';
import { type TunnelPort, envoyCommand, tunnelClientConfig, tunnelServerConfig } from './peers/envoy.ts';
import { cpuMsOf, memoryOf } from './processes.ts';

const HTTP = 8080;
const IPERF = 5201;
const TUNNELS: readonly TunnelPort[] = [
  { port: 9080, tunnel: 15_018, backend: HTTP },
  { port: 9201, tunnel: 15_019, backend: IPERF },
];

interface Way {
  readonly name: 'direct' | 'ambit' | 'envoy';
  /** Pod that runs the load. */
  readonly client: string;
  readonly host: string;
  readonly httpPort: number;
  readonly iperfPort: number;
  readonly pids: readonly number[];
}

interface Figure {
  /** Gbit/s or requests/s. */
  readonly rate: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly errors?: string;
  readonly cpuSeconds: number;
}

interface Load {
  readonly name: string;
  readonly unit: 'Gbit/s' | 'requests/s';
  readonly command: (way: Way) => readonly string[];
}

const [rounds = 2, seconds = 5] = process.argv.slice(2, 4).map(Number);
const [onlyLoad = '', onlyWay = ''] = process.argv.slice(4);
const wrk =
  (connections: number, ...more: readonly string[]) =>
  (way: Way): string[] => {
    const url = `http://${way.host}:${way.httpPort}/`;
    return ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...more, url];
  };
const iperf =
  (streams: number) =>
  (way: Way): string[] =>
    `iperf3 --json -c ${way.host} -p ${way.iperfPort} -t ${seconds} -P ${streams}`.split(' ');
const LOADS: readonly Load[] = [
  { name: '1 stream', unit: 'Gbit/s', command: iperf(1) },
  { name: '8 streams', unit: 'Gbit/s', command: iperf(8) },
  { name: '32 connections', unit: 'requests/s', command: wrk(32) },
  { name: '1 connection', unit: 'requests/s', command: wrk(1) },
  { name: 'new connection each, 16', unit: 'requests/s', command: wrk(16, '-H', 'Connection: close') },
];

const authority = createTestAuthority();
needTools('wrk', 'iperf3', 'nginx');
const folder = mkdtempSync(join(tmpdir(), 'ambit-bench-'));
const bed = await MeshBed.start(writePods(folder));
try {
  await main();
} finally {
  await bed.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);

async function main(): Promise<void> {
  const ways = (await findWays()).filter(({ name }) => name.includes(onlyWay));
  console.log(`${machineLine()}; median of ${rounds} rounds of ${seconds} s, the ways in turn\n`);
  console.log('| load | way | rate | × direct | × Envoy | p50 ms | p99 ms | CPU s | CPU s per GB | RSS MB |');
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const load of LOADS.filter(({ name }) => name.includes(onlyLoad))) {
    const figures = new Map<Way, Figure[]>(ways.map((way) => [way, []]));
    for (const way of ways) await measure(load, way);
    for (let round = 0; round < rounds; round++) for (const [way, list] of figures) list.push(await measure(load, way));
    const rate = (name: string): number => median(figuresOf(figures, name).map((figure) => figure.rate));
    for (const [way, list] of figures) printRow(load, way, list, { direct: rate('direct'), envoy: rate('envoy') });
  }
}

function figuresOf(figures: ReadonlyMap<Way, readonly Figure[]>, name: string): readonly Figure[] {
  return [...figures].find(([way]) => way.name === name)?.[1] ?? [];
}

async function measure(load: Load, way: Way): Promise<Figure> {
  const cpu = (): number => way.pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0) / 1000;
  const before = cpu();
  const text = await bed.exec(way.client, patiently(load.command(way)));
  const cpuSeconds = cpu() - before;
  if (load.unit === 'Gbit/s') return { rate: parseIperf(text), cpuSeconds };
  const { requestsPerSecond, ...rest } = parseWrk(text);
  return { rate: requestsPerSecond, ...rest, cpuSeconds };
}

/** iperf3's server takes one test at a time, and may still be ending the last one. */
function patiently(command: readonly string[]): readonly string[] {
  return command[0] === 'iperf3'
    ? ['sh', '-c', 'for i in 1 2 3 4 5; do "$@" && exit 0; sleep 1; done; exit 1', 'sh', ...command]
    : command;
}

function printRow(
  load: Load,
  way: Way,
  figures: readonly Figure[],
  against: { readonly direct: number; readonly envoy: number },
): void {
  const of = (pick: (figure: Figure) => number | undefined): number =>
    median(figures.map(pick).filter((value) => value !== undefined));
  const rate = of((figure) => figure.rate);
  const cpu = of((figure) => figure.cpuSeconds);
  const isHttp = load.unit === 'requests/s';
  const rss = way.pids.map((pid) => memoryOf(pid).rss.toFixed(0)).join(' + ');
  const gigabytes = (rate * seconds) / 8;
  const cells = [
    load.name,
    way.name,
    isHttp ? rate.toFixed(0) : `${rate.toFixed(2)} Gbit/s`,
    (rate / against.direct).toFixed(2),
    (rate / against.envoy).toFixed(2),
    isHttp ? of((figure) => figure.p50).toFixed(3) : '',
    isHttp ? of((figure) => figure.p99).toFixed(2) : '',
    way.pids.length > 0 ? cpu.toFixed(2) : '',
    !isHttp && way.pids.length > 0 ? (cpu / gigabytes).toFixed(2) : '',
    rss,
  ];
  console.log(`| ${cells.join(' | ')} |`);
  const errors = figures.map((figure) => figure.errors ?? '').filter((text) => text !== '');
  if (errors.length > 0) console.log(`  ${errors.join('; ')}`);
}

async function findWays(): Promise<Way[]> {
  await bed.captured('client', 'server');
  const [server, plain, tunnel] = await Promise.all(
    ['server', 'plain-server', 'envoy-server'].map((name) => bed.podAddress(name)),
  );
  const far = envoyPids('far.json');
  writeFileSync(
    join(folder, 'near.json'),
    JSON.stringify(tunnelClientConfig(tunnel ?? fail('no address'), TUNNELS, identity('client'))),
  );
  const near = await envoyStarted('near.json');
  const ports = { httpPort: HTTP, iperfPort: IPERF };
  return [
    { name: 'direct', client: 'plain-client', host: plain ?? '', ...ports, pids: [] },
    { name: 'ambit', client: 'client', host: server ?? '', ...ports, pids: [bed.pidOf('ztunnel')] },
    {
      name: 'envoy',
      client: 'envoy-client',
      host: '127.0.0.1',
      httpPort: 9080,
      iperfPort: 9201,
      pids: [...far, ...near],
    },
  ];
}

function envoyPids(file: string): number[] {
  return bed.pidsOf(envoyCommand(join(folder, file)));
}

/** The near end waits for its configuration, as that names the far end's address. */
async function envoyStarted(file: string): Promise<number[]> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const pids = envoyPids(file);
    if (pids.length > 0) {
      await bed.exec('envoy-client', ['sh', '-c', 'until curl -sf -m 1 http://127.0.0.1:9080/; do sleep 0.2; done']);
      return pids;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return fail('Envoy did not start');
}

/** The pods of all ways; the files their programs read go to `folder`. */
function writePods(folder: string): string {
  const nginx = join(folder, 'nginx.conf');
  writeFileSync(nginx, nginxConfig(folder, HTTP));
  writeFileSync(join(folder, 'far.json'), JSON.stringify(tunnelServerConfig(TUNNELS, identity('server'))));
  const server = [
    ['nginx', '-c', nginx],
    ['iperf3', '-s', '-p', String(IPERF)],
  ];
  const idle = ['sleep', 'infinity'];
  const near = join(folder, 'near.json');
  const waiting = ['sh', '-c', `until [ -s ${near} ]; do sleep 0.1; done; exec "$@"`, 'sh', ...envoyCommand(near)];
  const plain = { labels: UNCAPTURED };
  return [
    AMBIENT_NAMESPACE,
    podYaml('client', [idle]),
    podYaml('server', server),
    podYaml('plain-client', [idle], plain),
    podYaml('plain-server', server, plain),
    podYaml('envoy-client', [idle, waiting], plain),
    podYaml('envoy-server', [...server, envoyCommand(join(folder, 'far.json'))], plain),
  ].join('\n---\n');
}

function identity(account: string): { certificate: string; key: string; root: string } {
  const { certificateChain, privateKey, roots } = authority.issue(`spiffe://cluster.local/ns/default/sa/${account}`);
  return { certificate: certificateChain, key: privateKey, root: roots.join('\n') };
}
