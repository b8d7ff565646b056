import { createHash, randomInt, randomUUID } from 'node:crypto';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { objectKey } from '@ambit/controlplane/collections/object';
import type { ObjectStore } from '@ambit/controlplane/collections/object-store';
import type { ObjectWriter } from '@ambit/controlplane/collections/object-writer';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { asMeshError } from '@ambit/common/errors';
import { podDefaults } from './admission.ts';
import { number, record, textMap } from './fields.ts';
import { planRollout } from './rollout.ts';
import { isServing } from './services/cluster-service.ts';

export interface ReconcilerOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  /** Ends a pod gracefully and removes its object. */
  readonly removePod: (namespace: string, name: string) => Promise<void>;
  readonly log: ScopedLogger;
}

/** Kubernetes' alphabet for generated names: no vowels, so no words. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** Makes the pods of Deployments, replaces them when their template changes, and writes the Deployments' status. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** Names of the pods made for each Deployment. */
  readonly #made = new Map<string, Set<string>>();
  #unsubscribe: () => void = () => {};
  #scheduled = false;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unsubscribe = this.#options.store.subscribe((changes) => {
      if (changes.some(({ kind }) => kind === 'Deployment' || kind === 'Pod' || kind === 'Namespace')) this.#schedule();
    });
    this.#reconcile();
  }

  /** From now on pods that go are not replaced. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
  }

  /** Not inside the store's notification: other listeners must see changes in their order. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#reconcile();
    });
  }

  #reconcile(): void {
    if (this.#closed) return;
    const { store } = this.#options;
    const wanted = new Map<string, KubeObject>();
    for (const deployment of store.list('Deployment'))
      wanted.set(objectKey('Deployment', deployment.metadata.namespace, deployment.metadata.name), deployment);
    const created: KubeObject[] = [...this.#serviceAccounts()];
    for (const [key, deployment] of wanted) created.push(...this.#roll(key, deployment));
    for (const [key, names] of this.#made) if (!wanted.has(key)) this.#abandon(key, names);
    if (created.length > 0) store.apply(created);
  }

  #roll(key: string, deployment: KubeObject): KubeObject[] {
    const namespace = deployment.metadata.namespace ?? 'default';
    const names = this.#made.get(key) ?? new Set<string>();
    this.#made.set(key, names);
    const pods = [...names].flatMap((name) => this.#options.store.get('Pod', namespace, name) ?? []);
    for (const name of names) if (!pods.some((pod) => pod.metadata.name === name)) names.delete(name);
    const hash = templateHash(deployment);
    const spec = record(deployment.spec);
    const plan = planRollout({
      replicas: number(spec['replicas']) ?? 1,
      recreate: record(spec['strategy'])['type'] === 'Recreate',
      pods: pods.map((pod) => ({
        name: pod.metadata.name,
        current: pod.metadata.labels?.['pod-template-hash'] === hash,
        ready: isServing(pod),
        ending: pod.metadata.deletionTimestamp !== undefined,
      })),
    });
    for (const name of plan.remove) this.#remove(namespace, name);
    const created = Array.from({ length: plan.create }, () => this.#pod(deployment, hash));
    for (const pod of created) names.add(pod.metadata.name);
    this.#writeStatus(deployment, pods, hash);
    return created;
  }

  #abandon(key: string, names: ReadonlySet<string>): void {
    this.#made.delete(key);
    for (const name of names) this.#remove(key.split('/')[1] ?? '', name);
  }

  #remove(namespace: string, name: string): void {
    this.#options
      .removePod(namespace, name)
      .catch((error: unknown) =>
        this.#options.log.warn('pod not removed', { pod: `${namespace}/${name}`, error: asMeshError(error).message }),
      );
  }

  #pod(deployment: KubeObject, hash: string): KubeObject {
    const namespace = deployment.metadata.namespace ?? 'default';
    const template = record(record(deployment.spec)['template']);
    const metadata = record(template['metadata']);
    const replicaSet = `${deployment.metadata.name}-${hash}`;
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${replicaSet}-${this.#suffix(namespace, replicaSet)}`,
        generateName: `${replicaSet}-`,
        namespace,
        uid: randomUUID(),
        creationTimestamp: new Date().toISOString(),
        labels: { ...textMap(metadata['labels']), 'pod-template-hash': hash },
        annotations: textMap(metadata['annotations']),
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'ReplicaSet',
            name: replicaSet,
            uid: nameUid(namespace, replicaSet),
            controller: true,
          },
        ],
      },
      spec: podDefaults(template['spec']),
    };
  }

  #suffix(namespace: string, replicaSet: string): string {
    for (;;) {
      const suffix = Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
      if (this.#options.store.get('Pod', namespace, `${replicaSet}-${suffix}`) === undefined) return suffix;
    }
  }

  #writeStatus(deployment: KubeObject, pods: readonly KubeObject[], hash: string): void {
    const { metadata } = deployment;
    const alive = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined);
    const ready = alive.filter(isServing).length;
    const replicas = number(record(deployment.spec)['replicas']) ?? 1;
    const available = ready >= replicas;
    const status = {
      observedGeneration: metadata.generation ?? 1,
      replicas: alive.length,
      updatedReplicas: alive.filter((pod) => pod.metadata.labels?.['pod-template-hash'] === hash).length,
      readyReplicas: ready,
      availableReplicas: ready,
      unavailableReplicas: Math.max(0, replicas - ready),
      conditions: [
        {
          type: 'Available',
          status: available ? 'True' : 'False',
          reason: available ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
        },
      ],
    };
    this.#options.writer
      .patchStatus('Deployment', metadata.namespace, metadata.name, status)
      .catch((error: unknown) =>
        this.#options.log.warn('status not written', { deployment: metadata.name, error: asMeshError(error).message }),
      );
  }

  /** Every namespace has the service account `default`. */
  *#serviceAccounts(): Iterable<KubeObject> {
    for (const { metadata } of this.#options.store.list('Namespace')) {
      if (this.#options.store.get('ServiceAccount', metadata.name, 'default') !== undefined) continue;
      yield {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: {
          name: 'default',
          namespace: metadata.name,
          uid: nameUid(metadata.name, 'default'),
          creationTimestamp: new Date().toISOString(),
        },
      };
    }
  }
}

/** Names a version of a pod template, as Kubernetes' `pod-template-hash` does. */
export function templateHash(deployment: KubeObject): string {
  const digest = createHash('sha256')
    .update(stableJson(record(deployment.spec)['template']))
    .digest();
  return Array.from(digest.subarray(0, 10), (byte) => ALPHABET[byte % ALPHABET.length]).join('');
}

/** The order of keys in YAML means nothing. */
function stableJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${stableJson(item)}`).join(',')}}`;
}

/** A uid that is the same for the same name: replica sets exist in names only. */
function nameUid(namespace: string, name: string): string {
  const hex = createHash('sha256').update(`${namespace}/${name}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
