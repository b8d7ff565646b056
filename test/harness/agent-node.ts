/** One node with real parts: pods on a bridge, redirect rules, a gRPC control plane, and the node agent. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatHostPort } from '@ambit/common/address/host-port';
import { type IpAddress, parseIp } from '@ambit/common/address/ip';
import { credentialsFromChain } from '@ambit/common/identity/certificate';
import type { Credentials } from '@ambit/common/identity/credentials';
import { createSigningRequest } from '@ambit/common/identity/csr';
import { parseSpiffe } from '@ambit/common/identity/spiffe';
import { connectSocket, listenIn, socketIn } from '@ambit/common/linux/sockets';
import type { Workload } from '@ambit/common/model/workload';
import { createLogger } from '@ambit/common/telemetry/log';
import { type EnrolmentPod, startEnrolment } from '@ambit/cni/enrolment';
import { tokenAuthenticator } from '@ambit/controlplane/serve/authenticate';
import { CertificateAuthority } from '@ambit/controlplane/serve/ca';
import { startGrpcServer } from '@ambit/controlplane/serve/grpc-server';
import { ResourceStore } from '@ambit/controlplane/serve/resources';
import { TokenIssuer } from '@ambit/controlplane/serve/tokens';
import { type Agent, startAgent } from '@ambit/ztunnel/agent';
import { readConfig } from '@ambit/ztunnel/config';
import { makeBridge, makePod, type TestPod } from './netns.ts';

export const NODE = 'local';

export interface AgentNode {
  readonly resources: ResourceStore;
  readonly agent: Agent;
  /** Lines of the agent's log. */
  readonly log: string[];
  pod(name: string): TestPod;
  /** A certificate of the mesh, for a peer that the test plays. */
  issue(uri: string): Credentials;
  /** Changes which pods are enrolled; resolves when the agent has followed. */
  enrol(names: readonly string[]): Promise<void>;
  /** Resolves with the first line, present or future, that has all parts; rejects after a while. */
  line(...parts: string[]): Promise<string>;
  stop(): Promise<void>;
}

export interface AgentNodeOptions {
  /** Pods to make, numbered from 10 in their order: 10.244.0.10, fd00:10:244::10. */
  readonly pods: readonly string[];
  readonly enrolled: readonly string[];
  readonly resources: (store: ResourceStore, pod: (name: string) => TestPod) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** Name servers of the node. */
  readonly nameServer?: string;
}

export async function startAgentNode(options: AgentNodeOptions): Promise<AgentNode> {
  const dir = mkdtempSync(join(tmpdir(), 'ambit-agent-'));
  const abort = new AbortController();
  const log: string[] = [];
  const pods = new Map<string, TestPod>();
  makeBridge();
  options.pods.forEach((name, index) => pods.set(name, makePod(name, 10 + index)));
  const pod = (name: string): TestPod => {
    const found = pods.get(name);
    if (found === undefined) throw new Error(`there is no pod ${name}`);
    return found;
  };

  const quiet = createLogger({ level: 'warn', format: 'plain', write: (line) => log.push(`[other] ${line}`) });
  const ca = CertificateAuthority.load(join(dir, 'ca'), { trustDomain: 'cluster.local', clock: Date.now });
  const issuer = TokenIssuer.load(join(dir, 'ca'));
  const resources = new ResourceStore();
  options.resources(resources, pod);
  resources.commit();
  const server = await startGrpcServer({
    hosts: ['127.0.0.1'],
    port: 0,
    resources,
    ca,
    authenticate: tokenAuthenticator(issuer, 'cluster.local'),
    trustedNodeAccounts: ['istio-system/ztunnel'],
    mayImpersonate: () => true,
    push: { quietMs: 5, maxMs: 50 },
    log: quiet.scope('serve'),
    signal: abort.signal,
  });

  let enrolled = new Set(options.enrolled);
  let look: () => void = () => undefined;
  const socketPath = join(dir, 'zds.sock');
  const enrolment = startEnrolment({
    pods: () => [...pods.values()].map((one) => enrolmentPod(one, enrolled.has(one.name))),
    onChange: (fn) => {
      look = fn;
      return () => undefined;
    },
    socketPath,
    onEnrolled: () => undefined,
    log: quiet.scope('cni'),
    signal: abort.signal,
  });

  const resolvConf = join(dir, 'resolv.conf');
  writeFileSync(resolvConf, `nameserver ${options.nameServer ?? '10.244.0.1'}\noptions timeout:1 attempts:1\n`);
  const rootFile = join(dir, 'root.pem');
  writeFileSync(rootFile, ca.roots);
  const config = readConfig({
    XDS_ADDRESS: `127.0.0.1:${server.port}`,
    CA_ADDRESS: `127.0.0.1:${server.port}`,
    XDS_ROOT_CA: rootFile,
    CA_ROOT_CA: rootFile,
    AUTH_TOKEN: issuer.issue({
      namespace: 'istio-system',
      serviceAccount: 'ztunnel',
      podName: 'ztunnel',
      podUid: 'z',
      audience: 'istio-ca',
    }),
    NODE_NAME: NODE,
    INPOD_UDS: socketPath,
    ...options.env,
  });
  const agent = await startAgent({
    config: { ...config, resolvConf },
    logger: createLogger({
      level: 'info,access=debug,dns=debug',
      format: 'plain',
      write: (line) => log.push(line),
    }),
    version: 'test',
    defaultLevel: 'info',
    onQuit: () => undefined,
    onFatal: (error) => log.push(`FATAL ${error.message}`),
  });
  await agent.serving;

  const line = async (...parts: string[]): Promise<string> => {
    const deadline = Date.now() + 5000;
    for (;;) {
      const found = log.find((one) => parts.every((part) => one.includes(part)));
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`no line with ${parts.join(' and ')} in:\n${log.join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const settle = async (): Promise<void> => {
    const deadline = Date.now() + 5000;
    const done = (): boolean =>
      [...pods.keys()].every((name) => enrolment.state(name) === (enrolled.has(name) ? 'enabled' : undefined));
    while (!done()) {
      if (Date.now() > deadline) throw new Error(`pods were not enrolled:\n${log.join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await settle();
  return {
    resources,
    agent,
    log,
    pod,
    issue: (uri) => {
      const identity = parseSpiffe(uri);
      if (identity === undefined) throw new Error(`${uri} is no SPIFFE id`);
      const { csr, privateKey } = createSigningRequest(identity);
      return credentialsFromChain(identity, privateKey, ca.sign(csr, identity, 3600));
    },
    line,
    enrol: async (names) => {
      enrolled = new Set(names);
      look();
      await settle();
    },
    stop: async () => {
      await agent.stop();
      abort.abort();
      await enrolment.closed;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const enrolmentPod = (pod: TestPod, enrol: boolean): EnrolmentPod => ({
  uid: pod.name,
  name: pod.name,
  namespace: 'default',
  serviceAccount: pod.name,
  netnsPath: pod.path,
  enrol,
  dnsCapture: true,
  bypassInbound: false,
  ipv6: true,
});

/** Serves a resource under the name that the wire gives it. */
export function serveWorkload(store: ResourceStore, workload: Workload): void {
  store.set('workload', workload.uid, workload);
}

/** An application in a pod: tells each client its address as the application sees it, then echoes. */
export function startEcho(pod: TestPod, port: number): Server {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.write(`from ${address(socket.remoteAddress)}\n`);
    socket.pipe(socket);
  });
  return server.listen({ fd: listenIn(pod.netns, { host: '::', port, backlog: 16 }) });
}

function address(text: string | undefined): IpAddress | undefined {
  return text === undefined ? undefined : parseIp(text);
}

/** Connects from inside a pod, as an application does. */
export function connectFrom(pod: TestPod, ip: string, port: number): Socket {
  const parsed = parseIp(ip);
  if (parsed === undefined) throw new Error(`${ip} is no address`);
  const socket = connectSocket(socketIn(pod.netns, { family: ip.includes(':') ? 6 : 4 }), { ip: parsed, port });
  socket.setTimeout(5000, () => socket.destroy(new Error(`nothing happened on ${formatHostPort(parsed, port)}`)));
  return socket;
}

/** Sends a text, half-closes, and gives everything that comes back, or the error code the connection ended with. */
export async function talk(pod: TestPod, ip: string, port: number, text: string): Promise<string> {
  const socket = connectFrom(pod, ip, port);
  let received = '';
  socket.on('data', (chunk) => (received += String(chunk)));
  try {
    socket.end(text);
    await once(socket, 'close');
    return received;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}
