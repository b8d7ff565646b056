import type { KubeObject } from '@ambit/controlplane/collections/object';
import { objectKey } from '@ambit/controlplane/collections/object';
import type { ObjectChange, ObjectStore } from '@ambit/controlplane/collections/object-store';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { isServing } from './services/cluster-service.ts';
import { Pod, type PodDeps } from './pod/pod.ts';
import type { ContainerRoomDeps } from './pod/room.ts';

export interface SupervisorOptions extends Omit<PodDeps, 'object' | 'onChange'> {
  readonly store: ObjectStore;
}

/** The mesh needs this long to hear that a pod is going; until then it still gets new connections and must be there to answer. */
const TRAFFIC_LEAVES_MS = 300;

/** Runs every Pod object of the store, and writes what becomes of it into the object's status. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #pods = new Map<string, Pod>();
  readonly #ending = new Set<Promise<void>>();
  readonly #dirty = new Set<string>();
  #unsubscribe: () => void = () => {};
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Starts the pods that are in the store, and from then on those that come. */
  start(): void {
    this.#unsubscribe = this.#options.store.subscribe((changes) => this.#onChanges(changes));
    for (const object of this.#options.store.list('Pod')) this.#onPod(keyOf(object), object);
  }

  /** What containers are started with. */
  get room(): ContainerRoomDeps {
    return this.#options;
  }

  get pods(): Iterable<Pod> {
    return this.#pods.values();
  }

  find(namespace: string, name: string): Pod | undefined {
    return this.#pods.get(objectKey('Pod', namespace, name));
  }

  /** Ends a pod as Kubernetes does: it is marked as ending, loses its traffic, ends within its grace period, and then its object goes. */
  async remove(namespace: string, name: string): Promise<void> {
    const key = objectKey('Pod', namespace, name);
    const pod = this.#pods.get(key);
    if (pod === undefined || pod.stopping) return;
    const current = this.#options.store.get('Pod', namespace, name);
    if (current?.metadata.deletionTimestamp !== undefined) return;
    if (current !== undefined)
      this.#options.store.apply([
        { ...current, metadata: { ...current.metadata, deletionTimestamp: new Date().toISOString() } },
      ]);
    if (current !== undefined && wasServing(current)) await sleep(TRAFFIC_LEAVES_MS);
    await this.#stop(pod);
    if (this.#pods.get(key) !== pod) return;
    this.#pods.delete(key);
    this.#options.store.apply([], [key]);
  }

  /** Ends everything; `graceMs` bounds every pod's grace period. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    for (const pod of this.#pods.values()) void this.#stop(pod, graceMs);
    await Promise.all(this.#ending);
    this.#pods.clear();
  }

  #onChanges(changes: readonly ObjectChange[]): void {
    const dataOf = new Set<string>();
    for (const change of changes) {
      if (change.kind === 'Pod') this.#onPod(change.key, change.object);
      if (change.kind === 'ConfigMap' || change.kind === 'Secret')
        dataOf.add((change.object ?? change.previous)?.metadata.namespace ?? '');
    }
    if (dataOf.size === 0) return;
    for (const pod of this.#pods.values()) if (dataOf.has(pod.object.metadata.namespace ?? '')) pod.refreshVolumes();
  }

  #onPod(key: string, object: KubeObject | undefined): void {
    if (this.#closed) return;
    const pod = this.#pods.get(key);
    if (object === undefined) {
      this.#pods.delete(key);
      if (pod !== undefined) void this.#stop(pod);
      return;
    }
    const sameSpec =
      pod !== undefined &&
      isDeepStrictEqual(pod.object.spec, object.spec) &&
      pod.object.metadata.uid === object.metadata.uid;
    if (sameSpec) return pod.adopt(object);
    if (pod === undefined) this.#run(key, object);
    else if (!pod.stopping) void this.#stop(pod).then(() => this.#runAgain(key, pod));
  }

  /** The pod's object was changed in a way that a running pod cannot follow: it has ended, and the store says what comes next. */
  #runAgain(key: string, before: Pod): void {
    if (this.#closed || this.#pods.get(key) !== before) return;
    this.#pods.delete(key);
    const { namespace, name } = before.object.metadata;
    const object = this.#options.store.get('Pod', namespace, name);
    if (object !== undefined) this.#run(key, object);
  }

  #run(key: string, object: KubeObject): void {
    const pod: Pod = new Pod({ ...this.#options, object, onChange: (changed) => this.#publish(key, changed) });
    this.#pods.set(key, pod);
    this.#publish(key, pod);
    void pod.start();
  }

  /** Statuses are written together and later: not while the store is still telling its listeners about another change. */
  #publish(key: string, pod: Pod): void {
    if (this.#pods.get(key) !== pod) return;
    if (this.#dirty.size === 0) queueMicrotask(() => this.#flush());
    this.#dirty.add(key);
  }

  #flush(): void {
    const objects = [...this.#dirty].flatMap((key) => {
      const pod = this.#pods.get(key);
      if (pod === undefined) return [];
      const { namespace, name } = pod.object.metadata;
      const current = this.#options.store.get('Pod', namespace, name);
      const same = current === undefined || isDeepStrictEqual(current.status, pod.object.status);
      return same ? [] : [{ ...current, status: pod.object.status ?? {} }];
    });
    this.#dirty.clear();
    if (objects.length > 0) this.#options.store.apply(objects);
  }

  #stop(pod: Pod, graceMs?: number): Promise<void> {
    const ended = pod.stop(graceMs).finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
    return ended;
  }
}

const keyOf = (object: KubeObject): string => objectKey('Pod', object.metadata.namespace, object.metadata.name);

const wasServing = (pod: KubeObject): boolean => isServing({ ...pod, metadata: { name: pod.metadata.name } });
