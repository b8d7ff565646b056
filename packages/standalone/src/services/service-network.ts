import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { asMeshError } from '@ambit/common/errors';
import type { ObjectStore } from '@ambit/controlplane/collections/object-store';
import { POD_RANGE, SERVICE_RANGE } from '../address-pool.ts';
import { hasIpv6 } from '../cluster.ts';
import { loadRules } from '../run-command.ts';
import { clusterServices, serviceVips } from './cluster-service.ts';
import { ClusterZone } from './cluster-zone.ts';
import { serviceRules } from './service-vips.ts';

const KINDS = new Set(['Service', 'Pod', 'EndpointSlice']);
const GATHER_MS = 20;

/** Keeps the node's Service rules and the cluster's DNS zone equal to the store. */
export class ServiceNetwork {
  readonly #store: ObjectStore;
  readonly #domain: string;
  readonly #log: ScopedLogger;
  readonly #unsubscribe: () => void;
  #zone: ClusterZone | undefined;
  #loaded = '';
  #timer: NodeJS.Timeout | undefined;
  #loading: Promise<void> = Promise.resolve();

  constructor(store: ObjectStore, domain: string, log: ScopedLogger) {
    this.#store = store;
    this.#domain = domain;
    this.#log = log;
    this.#unsubscribe = store.subscribe((changes) => {
      if (changes.some((change) => KINDS.has(change.kind))) this.#onChange();
    });
  }

  /** The zone of this moment, built at the first question after a change. */
  zone(): ClusterZone {
    this.#zone ??= new ClusterZone(this.#domain, this.#services());
    return this.#zone;
  }

  /** Loads the rules of this moment; rejects when the kernel refuses them. */
  async load(): Promise<void> {
    const rules = serviceRules(
      serviceVips(this.#services()),
      { pods: `${POD_RANGE.v4Base}/16`, services: `${SERVICE_RANGE.v4Base}/16` },
      hasIpv6() ? { pods: `${POD_RANGE.v6Base}/64`, services: `${SERVICE_RANGE.v6Base}/112` } : undefined,
    );
    if (rules === this.#loaded) return;
    await loadRules(rules);
    this.#loaded = rules;
  }

  close(): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
  }

  #services(): ReturnType<typeof clusterServices> {
    return clusterServices(this.#store.list('Service'), this.#store.list('Pod'), this.#store.list('EndpointSlice'));
  }

  #onChange(): void {
    this.#zone = undefined;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // one after another: two loads at once could end in the older state
      this.#loading = this.#loading
        .then(() => this.load())
        .catch((error: unknown) => this.#log.error('service rules not loaded', { error: asMeshError(error).message }));
    }, GATHER_MS);
  }
}
