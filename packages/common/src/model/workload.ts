import type { IpAddress } from '../address/ip.ts';
import type { Locality } from './locality.ts';
import type { GatewayAddress } from './waypoint.ts';

export type WorkloadUid = string & { readonly __brand: 'WorkloadUid' };

/** Ports of one service at one endpoint: service port → target port; 0 means the service's named port is not known here. */
export type PortMap = ReadonlyMap<number, number>;

/** One endpoint that traffic can come from or go to: a pod, a WorkloadEntry, an inline ServiceEntry endpoint (`istio.workload.Workload`). */
export interface Workload {
  readonly uid: WorkloadUid;
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly IpAddress[];
  /** Resolved on demand when there are no addresses; empty otherwise. */
  readonly hostname: string;
  readonly network: string;
  readonly protocol: 'HBONE' | 'TCP';
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job';
  readonly workloadName: string;
  readonly nativeTunnel: boolean;
  readonly waypoint: GatewayAddress | undefined;
  readonly networkGateway: GatewayAddress | undefined;
  readonly applicationTunnel: ApplicationTunnel | undefined;
  /** Names (`namespace/name`) of the policies that select this workload. */
  readonly authorizationPolicies: readonly string[];
  readonly healthy: boolean;
  readonly clusterId: string;
  readonly locality: Locality;
  /** Host-network workloads share their node's address and are never looked up by it. */
  readonly hostNetwork: boolean;
  /** Weight among endpoints; 0 is never chosen. */
  readonly capacity: number;
  /** `namespace/hostname` of each service it belongs to, with its ports there. */
  readonly services: ReadonlyMap<string, PortMap>;
}

/** A waypoint in sandwich mode: the agent terminates HBONE and forwards to this port. */
export interface ApplicationTunnel {
  readonly protocol: 'NONE' | 'PROXY';
  /** 0 means the original port. */
  readonly port: number;
}
