import type { CredentialSource } from '@ambit/common/identity/credentials';
import type { Drain } from '@ambit/common/lifecycle/drain';
import type { MeshView } from '@ambit/common/mesh/view';
import type { Workload } from '@ambit/common/model/workload';
import type { HbonePool } from '@ambit/hbone/index';
import type { Guard } from './authorize/guard.ts';
import type { PodSockets } from './capture/pod-sockets.ts';
import type { Config } from './config.ts';
import type { Fetched, Need } from './decision.ts';
import type { LiveConnections } from './live-connections.ts';
import type { LocalWorkload, PodInfo } from './local-workload.ts';
import type { ConnectionTelemetry } from './telemetry/connection-record.ts';

/** The part of the configuration that the handlers of connections read. */
export type PodConfig = Pick<
  Config,
  | 'network'
  | 'responseBaggage'
  | 'localhostAppTunnel'
  | 'socks5'
  | 'streamWindow'
  | 'connectionWindow'
  | 'frameSize'
  | 'onDemand'
>;

/** Fetches what a decision about a connection of `source` needs; gives what is fetched then. */
export type Fetch = (need: Need, before: Fetched, source: Workload) => Promise<Fetched>;

/** All that the handlers of one pod's connections may reach. */
export interface PodContext {
  readonly pod: PodInfo;
  readonly config: PodConfig;
  readonly view: MeshView;
  readonly local: LocalWorkload;
  readonly credentials: CredentialSource;
  readonly guard: Guard;
  readonly telemetry: ConnectionTelemetry;
  readonly sockets: PodSockets;
  readonly pool: Pick<HbonePool, 'open'>;
  readonly fetch: Fetch;
  readonly connections: LiveConnections;
  readonly drain: Drain;
  /** Ports of this program in the pod: connections to them would loop. */
  readonly ownPorts: ReadonlySet<number>;
}
