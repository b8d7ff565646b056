import type { IpAddress } from '../address/ip.ts';
import type { AddressResource } from '../codec/address.ts';
import { type Policy, policyKey } from '../model/policy.ts';
import { type Service, serviceKey } from '../model/service.ts';
import type { Workload, WorkloadUid } from '../model/workload.ts';
import { EndpointIndex } from './endpoint-index.ts';
import { PolicyIndex } from './policy-index.ts';
import { ServiceIndex } from './service-index.ts';
import type { Endpoint, MeshView } from './view.ts';
import { WorkloadIndex } from './workload-index.ts';

/** What one batch changed; an updated workload is in `upserted` only. */
export interface MeshChange {
  readonly upserted: readonly Workload[];
  readonly removed: readonly Workload[];
  /** Keys of services that were added, changed or removed. */
  readonly services: readonly string[];
  /** Keys of policies that were added, changed or removed. */
  readonly policies: readonly string[];
}

/** The mesh as this program knows it: fed from xDS, read through MeshView. Changes are applied in one turn, so a reader never sees half a batch. */
export class MeshStore implements MeshView {
  readonly #workloads = new WorkloadIndex();
  readonly #services = new ServiceIndex();
  readonly #endpoints = new EndpointIndex();
  readonly #policies = new PolicyIndex();
  readonly #listeners = new Set<(change: MeshChange) => void>();
  #version = 0;

  get version(): number {
    return this.#version;
  }

  /** Applies upserts in their order, then removals by resource name: a workload's uid or a service's `namespace/hostname`. */
  applyAddresses(upserts: Iterable<AddressResource>, removals: Iterable<string>): void {
    const upserted: Workload[] = [];
    const removed: Workload[] = [];
    const services: string[] = [];
    for (const upsert of upserts) {
      if (upsert.kind === 'workload') upserted.push(this.#upsertWorkload(upsert.workload));
      else services.push(this.#upsertService(upsert.service));
    }
    for (const name of removals) {
      const workload = this.#removeWorkload(name);
      if (workload !== undefined) removed.push(workload);
      else if (this.#removeService(name)) services.push(name);
    }
    this.#changed({ upserted, removed, services, policies: [] });
  }

  /** Applies upserts, then removals by `namespace/name`. */
  applyPolicies(upserts: Iterable<Policy>, removals: Iterable<string>): void {
    const policies: string[] = [];
    for (const policy of upserts) {
      this.#policies.upsert(policy);
      policies.push(policyKey(policy));
    }
    for (const key of removals) if (this.#policies.remove(key) !== undefined) policies.push(key);
    this.#changed({ upserted: [], removed: [], services: [], policies });
  }

  /** Calls `listener` after every batch that changed something. @returns the function that ends the subscription. */
  onChange(listener: (change: MeshChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  workload(uid: WorkloadUid): Workload | undefined {
    return this.#workloads.get(uid);
  }

  workloadByAddress(network: string, ip: IpAddress): Workload | undefined {
    return this.#workloads.byAddress(network, ip);
  }

  /** All workloads of that namespace and name. */
  workloadsNamed(namespace: string, name: string): readonly Workload[] {
    return this.#workloads.named(namespace, name);
  }

  workloads(): Iterable<Workload> {
    return this.#workloads.all();
  }

  service(namespace: string, hostname: string): Service | undefined {
    return this.#services.get(namespace, hostname);
  }

  serviceByHostname(hostname: string, namespace: string | undefined, preferredNamespace?: string): Service | undefined {
    return this.#services.byHostname(hostname, namespace, preferredNamespace);
  }

  serviceByAddress(network: string, ip: IpAddress, namespace: string | undefined): Service | undefined {
    return this.#services.byAddress(network, ip, namespace);
  }

  services(): Iterable<Service> {
    return this.#services.all();
  }

  endpoints(service: Service): readonly Endpoint[] {
    return this.#endpoints.of(service);
  }

  /** Endpoints of services that are not known yet, by service key: for dumps. */
  staged(): Iterable<readonly [key: string, endpoints: readonly Endpoint[]]> {
    return this.#endpoints.staged((key) => this.#services.has(key));
  }

  policy(key: string): Policy | undefined {
    return this.#policies.get(key);
  }

  policies(): Iterable<Policy> {
    return this.#policies.all();
  }

  policiesFor(workload: Workload): readonly Policy[] {
    return this.#policies.forWorkload(workload);
  }

  #upsertWorkload(workload: Workload): Workload {
    this.#removeWorkload(workload.uid);
    this.#workloads.insert(workload);
    this.#endpoints.insert(workload);
    return workload;
  }

  #removeWorkload(uid: string): Workload | undefined {
    const workload = this.#workloads.remove(uid);
    if (workload !== undefined) this.#endpoints.remove(workload);
    return workload;
  }

  #upsertService(service: Service): string {
    this.#services.upsert(service);
    return serviceKey(service.namespace, service.hostname);
  }

  #removeService(key: string): boolean {
    if (!/^[^/]*\/[^/]*$/.test(key)) return false;
    this.#endpoints.removeService(key);
    return this.#services.remove(key) !== undefined;
  }

  #changed(change: MeshChange): void {
    const count = change.upserted.length + change.removed.length + change.services.length + change.policies.length;
    if (count === 0) return;
    this.#version += 1;
    for (const listener of this.#listeners) listener(change);
  }
}
