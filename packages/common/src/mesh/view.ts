import type { IpAddress } from '../address/ip.ts';
import type { Policy } from '../model/policy.ts';
import type { PortMap, Workload, WorkloadUid } from '../model/workload.ts';
import type { Service } from '../model/service.ts';

/** One workload as a member of one service. */
export interface Endpoint {
  readonly workload: Workload;
  readonly ports: PortMap;
}

/** Read-only lookups over the mesh as this program knows it now. Entries are frozen and replaced whole; `version` grows with every change. */
export interface MeshView {
  readonly version: number;
  workload(uid: WorkloadUid): Workload | undefined;
  /** By address in a network; a pod beats others on a collision, HBONE beats TCP; host-network workloads are never found. */
  workloadByAddress(network: string, ip: IpAddress): Workload | undefined;
  workloads(): Iterable<Workload>;
  /** Exactly this namespace's service. */
  service(namespace: string, hostname: string): Service | undefined;
  /** The service a client in `namespace` means by a host name: visible, same namespace, then canonical, then `preferredNamespace`, then first seen. */
  serviceByHostname(hostname: string, namespace: string | undefined, preferredNamespace?: string): Service | undefined;
  /** The service that owns a VIP (exact before CIDR, longest prefix) for a client in `namespace`. */
  serviceByAddress(network: string, ip: IpAddress, namespace: string | undefined): Service | undefined;
  services(): Iterable<Service>;
  /** Endpoints that health policy lets in. */
  endpoints(service: Service): Iterable<Endpoint>;
  policy(key: string): Policy | undefined;
  policies(): Iterable<Policy>;
  /** Global and namespace policies, and those that select the workload, in the order of evaluation. */
  policiesFor(workload: Workload): readonly Policy[];
}
