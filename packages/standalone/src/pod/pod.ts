import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IpAddress } from '@ambit/common/address/ip';
import { asMeshError } from '@ambit/common/errors';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import type { PodNetwork } from '../cluster.ts';
import { Container, type ContainerStatus } from './container.ts';
import { type ContainerRoomDeps, containerStarter, probeTarget } from './room.ts';
import { LogFile } from './log-file.ts';
import { podHosts } from './resolv-conf.ts';
import { type ContainerSpec, type PodSpec, readPodSpec } from './spec.ts';
import { type PodCondition, podStatus } from './status.ts';
import { fillVolumes } from './volumes.ts';

/** The network of one pod; the cluster decides what kind it is. */
export interface PodAttachment {
  /** Undefined for hostNetwork. */
  readonly network: PodNetwork | undefined;
  /** Addresses that are told in the pod's status: none for the world outside. */
  readonly addresses: readonly IpAddress[];
  readonly resolvConf: string;
  readonly release: () => Promise<void>;
}

export interface PodDeps extends ContainerRoomDeps {
  readonly object: KubeObject;
  readonly hostIp: IpAddress;
  /** Folder for files of running pods. */
  readonly runDir: string;
  readonly logDir: string;
  readonly attach: (pod: KubeObject, spec: PodSpec) => Promise<PodAttachment>;
  /** Resolves when the pod's network is as it must be before its first process: captured, if it is in the mesh. */
  readonly prepared: (pod: Pod) => Promise<void>;
  /** Called at every change of `object`. */
  readonly onChange: (pod: Pod) => void;
  readonly log: ScopedLogger;
}

const ATTACH_ATTEMPTS = 4;

/** One Pod: its network, its containers in order, its status. It is started once and stopped once. */
export class Pod {
  readonly spec: PodSpec;
  readonly folder: string;
  readonly #deps: PodDeps;
  readonly #startedAt = new Date().toISOString();
  readonly #containers = new Map<string, Container>();
  #object: KubeObject;
  #attachment: PodAttachment | undefined;
  #verdict: { reason: string; message: string } | undefined;
  #conditions: readonly PodCondition[] = [];
  #stopped: Promise<void> | undefined;
  #ended = false;

  constructor(deps: PodDeps) {
    this.#deps = deps;
    this.#object = deps.object;
    this.spec = readPodSpec(deps.object);
    this.folder = join(deps.runDir, `${deps.object.metadata.name}.${randomBytes(3).toString('hex')}`);
    for (const spec of [...this.spec.initContainers, ...this.spec.containers])
      this.#containers.set(spec.name, this.#container(spec));
    this.#updateStatus();
  }

  /** The Pod with its current status. */
  get object(): KubeObject {
    return this.#object;
  }

  get network(): PodNetwork | undefined {
    return this.#attachment?.network;
  }

  get containers(): ReadonlyMap<string, Container> {
    return this.#containers;
  }

  /** True from the moment it is told to end. */
  get stopping(): boolean {
    return this.#stopped !== undefined;
  }

  /** True when its last process has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Takes over metadata that changed in the store while the pod runs; its status stays the pod's own. */
  adopt(object: KubeObject): void {
    this.#object = { ...object, status: this.#object.status ?? {} };
  }

  /** Brings the pod up; resolves when its containers run or a verdict says why they cannot. Never rejects. */
  async start(): Promise<void> {
    const [problem] = this.spec.problems;
    if (problem !== undefined) return this.#decide('CreateContainerConfigError', problem);
    try {
      this.#attachment = await this.#attach();
      if (this.stopping) return await this.#attachment.release();
      this.#writeFiles();
      this.#changed();
      await this.#deps.prepared(this);
    } catch (error) {
      return this.#decide('FailedCreatePodSandBox', asMeshError(error).message);
    }
    await this.#runContainers();
  }

  /** What the kernel refuses for a moment, under load, is tried again; what is written wrongly is not. */
  async #attach(): Promise<PodAttachment> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#deps.attach(this.#object, this.spec);
      } catch (error) {
        if (attempt === ATTACH_ATTEMPTS || asMeshError(error).code === 'CONFIG' || this.stopping) throw error;
        this.#deps.log.warn('pod network not made, trying again', {
          pod: this.#name,
          error: asMeshError(error).message,
        });
        await sleep(attempt * 500);
      }
    }
  }

  /** Writes volumes again after a ConfigMap, Secret or token changed. */
  refreshVolumes(): void {
    if (this.#attachment === undefined || this.stopping) return;
    this.#fill();
    for (const container of this.#containers.values()) container.nudge();
  }

  /** Ends all containers and removes the network and files; `graceMs` shortens the pod's own grace period. */
  stop(graceMs: number = Number.POSITIVE_INFINITY): Promise<void> {
    this.#stopped ??= this.#stop(Math.min(graceMs, this.spec.terminationGraceMs));
    return this.#stopped;
  }

  async #stop(graceMs: number): Promise<void> {
    this.#object = {
      ...this.#object,
      metadata: { ...this.#object.metadata, deletionTimestamp: new Date().toISOString() },
    };
    this.#changed();
    await Promise.all([...this.#containers.values()].map((container) => container.stop(graceMs)));
    this.#ended = true;
    for (const container of this.#containers.values()) container.log.close();
    await this.#attachment
      ?.release()
      .catch((error: unknown) =>
        this.#deps.log.warn('pod network not removed', { pod: this.#name, error: asMeshError(error).message }),
      );
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #runContainers(): Promise<void> {
    for (const spec of this.spec.initContainers) {
      const container = this.#containers.get(spec.name);
      if (container === undefined || this.stopping) continue;
      container.run();
      if (spec.sidecar) continue;
      await container.finished;
      const { state } = container.status;
      if (state.kind !== 'terminated' || state.exitCode !== 0) return;
    }
    if (this.stopping) return;
    for (const spec of this.spec.containers) this.#containers.get(spec.name)?.run();
  }

  #container(spec: ContainerSpec): Container {
    const isInit = this.spec.initContainers.includes(spec) && !spec.sidecar;
    // an init container is repeated until it succeeds, unless the pod may never restart
    const initPolicy = this.spec.restartPolicy === 'Never' ? 'Never' : 'OnFailure';
    const log = new LogFile(
      join(
        this.#deps.logDir,
        `${this.#object.metadata.namespace ?? ''}_${this.#object.metadata.name}_${spec.name}.log`,
      ),
    );
    return new Container({
      spec,
      restartPolicy: spec.sidecar ? 'Always' : isInit ? initPolicy : this.spec.restartPolicy,
      log,
      start: () => {
        const missing = this.#fill();
        return missing[0] ?? containerStarter(this.#deps, this, spec)(log);
      },
      target: (process) => probeTarget(this.#deps, this, spec, process),
      onChange: () => this.#changed(),
    });
  }

  #fill(): string[] {
    return fillVolumes(this.#object, this.spec.volumes, join(this.folder, 'volumes'), this.#deps.volumes);
  }

  #writeFiles(): void {
    const etc = join(this.folder, 'etc');
    mkdirSync(etc, { recursive: true, mode: 0o700 });
    writeFileSync(join(etc, 'resolv.conf'), this.#attachment?.resolvConf ?? '');
    writeFileSync(
      join(etc, 'hosts'),
      podHosts(this.spec.hostname, this.#attachment?.addresses ?? [], this.spec.hostAliases),
    );
  }

  #decide(reason: string, message: string): void {
    this.#verdict = { reason, message };
    this.#deps.log.warn('pod cannot run', { pod: this.#name, reason, message });
    this.#changed();
  }

  #changed(): void {
    this.#updateStatus();
    this.#deps.onChange(this);
  }

  #updateStatus(): void {
    const statuses = (specs: readonly ContainerSpec[]): ContainerStatus[] =>
      specs.flatMap((spec) => this.#containers.get(spec.name)?.status ?? []);
    const status = podStatus(
      {
        spec: this.spec,
        addresses: this.#attachment?.addresses ?? [],
        hostIp: this.#deps.hostIp,
        startedAt: this.#startedAt,
        verdict: this.#verdict,
        initContainers: statuses(this.spec.initContainers),
        containers: statuses(this.spec.containers),
        now: new Date().toISOString(),
      },
      this.#conditions,
    );
    this.#conditions = status.conditions;
    this.#object = { ...this.#object, status: { ...status } };
  }

  get #name(): string {
    return `${this.#object.metadata.namespace ?? ''}/${this.#object.metadata.name}`;
  }
}
