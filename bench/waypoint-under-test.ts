/** Our waypoint as a process of its own, with a real control plane port in this process: one service, one policy. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSigningRequest } from '@ambit/common/identity/csr';
import { credentialsFromChain } from '@ambit/common/identity/certificate';
import type { Credentials } from '@ambit/common/identity/credentials';
import { type SpiffeId, spiffeId } from '@ambit/common/identity/spiffe';
import { parseIp, type IpAddress } from '@ambit/common/address/ip';
import { createLogger } from '@ambit/common/telemetry/log';
import { CertificateAuthority } from '@ambit/controlplane/serve/ca';
import { tokenAuthenticator } from '@ambit/controlplane/serve/authenticate';
import { startGrpcServer } from '@ambit/controlplane/serve/grpc-server';
import { type ResourceModels, ResourceStore } from '@ambit/controlplane/serve/resources';
import { TokenIssuer } from '@ambit/controlplane/serve/tokens';
import type { ValueMatcher } from '@ambit/common/model/policy';
import { PROGRAMS } from '@ambit/standalone/programs';
import { STANDARD_LOAD_BALANCING } from '@ambit/common/model/service';

const LOOPBACK: IpAddress = parseIp('127.0.0.1') ?? fail('127.0.0.1');
const VIP: IpAddress = parseIp('240.240.0.2') ?? fail('240.240.0.2');
const HOST = 'bench.example';
const GATEWAY = 'egress/waypoint';
const SERVICE_PORT = 80;

/** What the load needs to know of it. */
export interface WaypointUnderTest {
  readonly process: ChildProcess;
  readonly port: number;
  readonly authority: string;
  readonly client: Credentials;
  readonly identity: SpiffeId;
  /** Credentials of the waypoint's identity, for the peer that plays it. */
  readonly server: Credentials;
}

/** Starts it in front of a plain backend on loopback; resolves when it is ready. */
export async function startWaypoint(options: {
  port: number;
  backendPort: number;
  signal: AbortSignal;
}): Promise<WaypointUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-bench-'));
  const ca = CertificateAuthority.load(join(folder, 'ca'), { trustDomain: 'cluster.local', clock: Date.now });
  const tokens = TokenIssuer.load(join(folder, 'tokens'));
  const resources = describe(options.backendPort);
  const log = createLogger({ level: 'error', format: 'plain' }).scope('bench');
  const { port: xdsPort } = await startGrpcServer({
    hosts: ['127.0.0.1'],
    port: 0,
    resources,
    ca,
    authenticate: tokenAuthenticator(tokens, 'cluster.local'),
    trustedNodeAccounts: [],
    mayImpersonate: () => false,
    log,
    signal: options.signal,
  });
  const identity = spiffeId('cluster.local', 'egress', 'waypoint');
  const [program = '', ...words] = PROGRAMS.waypoint;
  const child = spawn(program, words, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...environment(
        folder,
        ca.roots,
        tokens.issue({
          namespace: 'egress',
          serviceAccount: 'waypoint',
          podName: 'w',
          podUid: 'w',
          audience: 'istio-ca',
        }),
      ),
      XDS_ADDRESS: `https://127.0.0.1:${xdsPort}`,
      HBONE_PORT: String(options.port),
      METRICS_PORT: String(options.port + 1),
      READY_PORT: String(options.port + 2),
      ADMIN_PORT: String(options.port + 3),
      ENVOY_PROMETHEUS_PORT: String(options.port + 4),
    },
  });
  options.signal.addEventListener('abort', () => child.kill('SIGKILL'));
  await ready(options.port + 2);
  const own = (id: SpiffeId): Credentials => {
    const request = createSigningRequest(id);
    return credentialsFromChain(id, request.privateKey, ca.sign(request.csr, id, 3600));
  };
  return {
    process: child,
    port: options.port,
    authority: `${VIP}:${SERVICE_PORT}`,
    client: own(spiffeId('cluster.local', 'default', 'curl')),
    identity,
    server: own(identity),
  };
}

function environment(folder: string, roots: string, token: string): NodeJS.ProcessEnv {
  writeFileSync(join(folder, 'root.pem'), roots);
  writeFileSync(join(folder, 'token'), token, { mode: 0o600 });
  return {
    ...process.env,
    XDS_ROOT_CA: join(folder, 'root.pem'),
    CA_ROOT_CA: join(folder, 'root.pem'),
    AUTH_TOKEN: join(folder, 'token'),
    POD_NAME: 'w',
    POD_NAMESPACE: 'egress',
    INSTANCE_IP: '127.0.0.1',
    SERVICE_ACCOUNT: 'waypoint',
    GATEWAY_NAME: 'waypoint',
  };
}

/** One external service on the VIP, answered by the backend; one policy that allows GET under /get. */
function describe(backendPort: number): ResourceStore {
  const resources = new ResourceStore();
  const key = `egress/${HOST}`;
  resources.set('service', key, {
    name: 'bench',
    namespace: 'egress',
    hostname: HOST,
    vips: [{ network: '', ip: VIP }],
    cidrVips: [],
    ports: [{ servicePort: SERVICE_PORT, targetPort: backendPort, appProtocol: 'HTTP11' }],
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancing: STANDARD_LOAD_BALANCING,
    ipFamilies: 'AUTOMATIC',
    canonical: true,
    visibility: 'PUBLIC',
  });
  resources.set('workload', 'bench/endpoint', workload(key, backendPort));
  resources.set(
    'listener',
    key,
    {
      namespace: 'egress',
      hostname: HOST,
      name: 'bench',
      kind: 'ServiceEntry',
      addresses: [{ network: '', ip: VIP }],
      cidrAddresses: [],
      ports: [{ port: SERVICE_PORT, name: 'http', protocol: 'HTTP' }],
    },
    GATEWAY,
  );
  resources.set('backend', key, backend(backendPort), GATEWAY);
  resources.set('policy', 'egress/readers', policy(key), GATEWAY);
  resources.set(
    'proxy',
    GATEWAY,
    {
      namespace: 'egress',
      name: 'waypoint',
      trustDomain: 'cluster.local',
      trustDomainAliases: [],
      accessLog: 'TEXT',
      pathNormalization: 'BASE',
      serverHeader: 'istio-envoy',
    },
    GATEWAY,
  );
  resources.commit();
  return resources;
}

type Models = ResourceModels;

const uid = (text: string): Models['workload']['uid'] => text as Models['workload']['uid'];

function workload(service: string, port: number): Models['workload'] {
  return {
    uid: uid('bench/endpoint'),
    name: 'endpoint',
    namespace: 'egress',
    addresses: [LOOPBACK],
    hostname: '',
    network: '',
    protocol: 'TCP',
    trustDomain: 'cluster.local',
    serviceAccount: 'default',
    node: '',
    canonicalName: 'bench',
    canonicalRevision: 'latest',
    workloadType: 'pod',
    workloadName: 'bench',
    nativeTunnel: false,
    waypoint: undefined,
    networkGateway: undefined,
    applicationTunnel: undefined,
    authorizationPolicies: [],
    healthy: true,
    clusterId: 'Kubernetes',
    locality: { region: '', zone: '', subzone: '' },
    hostNetwork: false,
    capacity: 1,
    services: new Map([[service, new Map([[SERVICE_PORT, port]])]]),
  };
}

function backend(port: number): Models['backend'] {
  const pool = {
    maxConnections: 0,
    connectTimeoutMs: 0,
    maxPendingRequests: 0,
    maxRequests: 0,
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 0,
    h2Upgrade: 'DEFAULT',
  } as const;
  return {
    namespace: 'egress',
    hostname: HOST,
    resolution: 'STATIC',
    external: true,
    subjectAltNames: [],
    ports: [{ port: SERVICE_PORT, targetPort: port, tls: undefined, loadBalancer: 'LEAST_REQUEST', pool }],
  };
}

const text = (kind: 'exact' | 'prefix', value: string): ValueMatcher => ({ kind, value, ignoreCase: false });

function policy(listener: string): Models['policy'] {
  return {
    name: 'readers',
    namespace: 'egress',
    scope: 'TARGETED',
    action: 'ALLOW',
    dryRun: false,
    listeners: [listener],
    rules: [
      {
        clauses: [
          {
            origin: 'to',
            matches: [
              {
                conditions: [
                  { attribute: 'request.method', key: '', values: [text('exact', 'GET')], notValues: [] },
                  { attribute: 'request.path', key: '', values: [text('prefix', '/get')], notValues: [] },
                ],
              },
            ],
          },
        ],
      },
    ],
  };
}

async function ready(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz/ready`).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the waypoint was not ready in 10 s');
}

function fail(text: string): never {
  throw new Error(`${text} does not parse`);
}
