import type { Server, Socket } from 'node:net';
import { type HostPort } from '@ambit/common/address/host-port';
import { parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import { Drain } from '@ambit/common/lifecycle/drain';
import type { Netns } from '@ambit/common/linux/netns';
import { type HboneConnection, HbonePool } from '@ambit/hbone/index';
import type { RunningPod } from './capture/enrollment.ts';
import { PodSockets, type PortRole } from './capture/pod-sockets.ts';
import { type Config, PORTS } from './config.ts';
import { acceptInbound } from './inbound.ts';
import { acceptPassthrough } from './inbound-passthrough.ts';
import { LiveConnections } from './live-connections.ts';
import type { PodInfo } from './local-workload.ts';
import { acceptOutbound } from './outbound.ts';
import type { PodContext } from './pod-context.ts';
import { type DnsService, type RunningDns, startPodDns } from './pod-dns.ts';
import { acceptSocks5 } from './socks5.ts';
import { podSocketOptions } from './pod-socket-options.ts';

/** What pods share: everything of a PodContext that is not the pod's own, and the DNS service. */
export interface PodEnvironment extends Pick<PodContext, 'view' | 'credentials' | 'guard' | 'telemetry' | 'fetch'> {
  readonly config: Config;
  readonly localWorkload: (pod: PodInfo) => PodContext['local'];
  readonly dns: DnsService;
}

/** One pod that is served: its listeners, its DNS, its tunnels; they end together. */
export class PodProxy implements RunningPod {
  readonly pod: PodInfo;
  readonly connections: LiveConnections = new LiveConnections();
  readonly #drain = new Drain();
  readonly #deadlineMs: number;
  readonly #servers: Server[] = [];
  readonly #hbone = new Set<HboneConnection>();
  readonly #pool: HbonePool;
  #dns: RunningDns | undefined;

  private constructor(pod: PodInfo, config: Config, sockets: PodSockets) {
    this.pod = pod;
    this.#deadlineMs = config.terminationDeadlineMs;
    this.#pool = new HbonePool({
      maxStreams: config.maxStreams,
      idleMs: config.poolIdleMs,
      streamWindow: config.streamWindow,
      connectionWindow: config.connectionWindow,
      frameSize: config.frameSize,
      dial: (address, _source, signal) =>
        sockets.dial(address, { signal, timeoutCode: 'HBONE_TIMEOUT', toAgent: true }),
    });
  }

  /**
   * Opens the ports of a pod and serves them.
   * @throws MeshError CONFIG when one of them cannot be opened; nothing is left open then.
   */
  static start(environment: PodEnvironment, pod: PodInfo, netns: Netns): Promise<PodProxy> {
    return PodProxy.#start(environment, pod, netns, 'everything');
  }

  /** Serves this program's own pod: tunnels to its ports, such as the metrics, on 15008 of its own namespace. */
  static startSelf(environment: PodEnvironment, pod: PodInfo): Promise<PodProxy> {
    return PodProxy.#start(environment, pod, undefined, 'tunnels');
  }

  /** Serves the one workload of dedicated mode, in our own namespace. */
  static startDedicated(environment: PodEnvironment, pod: PodInfo): Promise<PodProxy> {
    return PodProxy.#start(environment, pod, undefined, 'everything');
  }

  static async #start(
    environment: PodEnvironment,
    pod: PodInfo,
    netns: Netns | undefined,
    serve: 'everything' | 'tunnels',
  ): Promise<PodProxy> {
    const { config } = environment;
    const sockets = new PodSockets(podSocketOptions(config, netns));
    const proxy = new PodProxy(pod, config, sockets);
    try {
      proxy.#open(environment, sockets, serve === 'tunnels');
      return proxy;
    } catch (error) {
      await proxy.stop('immediate');
      throw error;
    }
  }

  /** Closes the listeners at once. Graceful: peers are told to go elsewhere and connections may finish until the deadline. */
  async stop(mode: 'immediate' | 'graceful'): Promise<void> {
    for (const server of this.#servers) server.close();
    this.#servers.length = 0;
    this.#dns?.close();
    for (const connection of this.#hbone) connection.drain();
    this.#pool.drain();
    await this.#drain.start(mode, this.#deadlineMs);
    this.connections.cutAll(new MeshError('DRAINING', 'connection closed due to connection drain'));
    for (const connection of this.#hbone) connection.destroy();
    await this.#pool[Symbol.asyncDispose]();
  }

  #open(environment: PodEnvironment, sockets: PodSockets, self: boolean): void {
    const { config } = environment;
    const local = environment.localWorkload(this.pod);
    const context: PodContext = {
      ...environment,
      pod: this.pod,
      local,
      sockets,
      pool: this.#pool,
      connections: this.connections,
      drain: this.#drain,
      ownPorts: ownPorts(config),
    };
    if (config.enableProxy) {
      this.#listen(sockets, PORTS.hbone, 'hbone', (socket) => {
        void acceptInbound(context, socket, (connection) => this.#follow(connection));
      });
    }
    if (self) return;
    if (config.enableProxy) {
      this.#listen(sockets, PORTS.outbound, 'outbound', (socket) => acceptOutbound(context, socket));
      this.#listen(sockets, PORTS.inboundPlaintext, 'inbound-plaintext', (socket) =>
        acceptPassthrough(context, socket),
      );
    }
    if (config.dnsEnabled)
      this.#dns = startPodDns({
        service: environment.dns,
        config,
        sockets,
        local,
        addresses: dnsAddresses(config),
      });
    if (config.enableProxy && config.socks5)
      this.#listen(sockets, PORTS.socks5, 'socks5', (socket) => {
        void acceptSocks5(context, socket, this.#dns?.resolve);
      });
  }

  #listen(sockets: PodSockets, port: number, role: PortRole, accept: (socket: Socket) => void): void {
    this.#servers.push(sockets.listen(port, role, accept));
  }

  #follow(connection: HboneConnection): void {
    this.#hbone.add(connection);
    if (this.#drain.draining.aborted) connection.drain();
    void connection.closed.then(() => this.#hbone.delete(connection));
  }
}

/** Ports that must not be reached through us: what arrives there would come back for ever. */
function ownPorts(config: Config): ReadonlySet<number> {
  const ports = [PORTS.outbound, PORTS.inboundPlaintext, PORTS.hbone];
  return new Set(config.socks5 ? [...ports, PORTS.socks5] : ports);
}

/** Loopback of both families, unless one address was configured. */
function dnsAddresses(config: Config): HostPort[] {
  if (config.dnsAddress !== undefined) return [config.dnsAddress];
  return ['127.0.0.1', ...(config.ipv6 ? ['::1'] : [])]
    .map((text) => parseIp(text))
    .filter((ip) => ip !== undefined)
    .map((ip) => ({ ip, port: config.dnsPort }));
}
