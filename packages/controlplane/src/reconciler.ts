import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { IpAddress } from '@ambit/common/address/ip';
import { asMeshError } from '@ambit/common/errors';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { ObjectStore } from './collections/object-store.ts';
import type { ObjectWriter } from './collections/object-writer.ts';
import { type Inputs, inputReader } from './derive/inputs.ts';
import { type Mesh, meshDeriver } from './derive/mesh.ts';
import { allocateVips, DEFAULT_VIP_RANGES, type VipRanges } from './derive/vip-allocation.ts';
import type { Provisioner } from './provision/provisioner.ts';
import type { Publisher } from './publish.ts';
import { gatewayStatuses, meshStatuses } from './status/statuses.ts';
import type { StatusWriter } from './status/writer.ts';

export interface ReconcilerOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  readonly publisher: Publisher;
  readonly provisioner: Provisioner;
  readonly statuses: StatusWriter;
  readonly clusterDomain: string;
  /** What the CA issues certificates for. */
  readonly trustDomain: string;
  readonly vipRanges?: VipRanges;
  readonly log: ScopedLogger;
}

/** A folder's writes complete at once: sockets and timers get their turn after so many. */
const WRITES_PER_TURN = 20;
/** Changes that come within this time are one round. */
const QUIET_MS = 10;

/**
 * One round after every batch of changes: objects → mesh → served resources, made objects, addresses, statuses. What a
 * round writes starts the next one, until nothing differs any more.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #unsubscribe: () => void;
  readonly #read: () => Inputs;
  readonly #derive: (inputs: Inputs) => Mesh = meshDeriver();
  readonly #retired = new Set<IpAddress>();
  #allocated: ReadonlySet<IpAddress> = new Set();
  #problems: readonly string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #mesh: Mesh | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#read = inputReader(options.store, options.clusterDomain, options.trustDomain);
    this.#unsubscribe = options.store.subscribe(() => this.wake());
  }

  /** The mesh as of the last round. */
  get mesh(): Mesh | undefined {
    return this.#mesh;
  }

  /** Runs rounds until one finds nothing that changed meanwhile. */
  run(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#rounds().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #rounds(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      await this.#round();
    }
  }

  stop(): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
    this.#again = false;
  }

  /** Something may differ: a round follows soon. */
  wake(): void {
    if (this.#running !== undefined) this.#again = true;
    else this.#timer ??= setTimeout(() => this.#start(), QUIET_MS);
  }

  #start(): void {
    this.#timer = undefined;
    this.run().catch((error: unknown) => {
      this.#options.log.error('reconciliation failed; the last good state is served', {
        error: asMeshError(error).message,
      });
    });
  }

  async #round(): Promise<void> {
    const { publisher, provisioner } = this.#options;
    const inputs = this.#read();
    this.#report(inputs);
    const mesh = this.#derive(inputs);
    this.#mesh = mesh;
    publisher.publish(mesh);
    await this.#allocate(inputs);
    await provisioner.reconcile(inputs);
    await this.#writeStatuses(mesh);
  }

  async #allocate(inputs: Inputs): Promise<void> {
    const { writer, vipRanges = DEFAULT_VIP_RANGES, log } = this.#options;
    const held = new Set(inputs.serviceEntries.flatMap((entry) => [...entry.allocated.values()].flat()));
    for (const ip of this.#allocated) if (!held.has(ip)) this.#retired.add(ip);
    for (const ip of held) this.#retired.delete(ip);
    this.#allocated = held;
    const { changes, exhausted } = allocateVips(inputs.serviceEntries, vipRanges, this.#retired);
    for (const { namespace, name } of exhausted)
      log.error('no address left for a ServiceEntry: its range is used up', { namespace, name });
    for (const [{ namespace, name }, addresses] of changes)
      await writer.patchStatus('ServiceEntry', namespace, name, {
        addresses: addresses.length === 0 ? null : addresses,
      });
  }

  async #writeStatuses(mesh: Mesh): Promise<void> {
    const { statuses, store } = this.#options;
    let written = 0;
    const findService = (namespace: string, name: string): ReturnType<ObjectStore['get']> =>
      store.get('Service', namespace, name);
    for (const wanted of [...meshStatuses(mesh), ...gatewayStatuses(mesh, findService, statuses)]) {
      const { kind, metadata } = wanted.object;
      // What this round has written itself, addresses above all, is part of the status now.
      const current = store.get(kind, metadata.namespace, metadata.name);
      if (current === undefined) continue;
      const wrote = await statuses.write({ ...wanted, object: current });
      if (wrote && ++written % WRITES_PER_TURN === 0) await setImmediate();
    }
  }

  #report({ mesh }: Inputs): void {
    if (isDeepStrictEqual(mesh.problems, this.#problems)) return;
    this.#problems = mesh.problems;
    for (const problem of mesh.problems)
      this.#options.log.warn('mesh configuration (ConfigMap istio-system/istio)', { problem });
  }
}
