import type { KubeObject } from '@ambit/controlplane/collections/object';
import type { ObjectStore } from '@ambit/controlplane/collections/object-store';
import type { FolderSource } from '@ambit/controlplane/files/folder-source';
import type { MeshStatus, PodTrouble, ProgramStatus, SourceStatus } from './api/contract.ts';
import type { MeshConfig } from './config.ts';
import { isEnrolled } from './enrolled-pods.ts';
import { record, records, text } from './fields.ts';
import { lockedPid } from './lock.ts';
import type { ContainerStatus } from './pod/container.ts';
import type { Pod } from './pod/pod.ts';
import { ZTUNNEL } from './programs.ts';
import { isServing } from './services/cluster-service.ts';
import type { Supervisor } from './supervisor.ts';

export interface MeshReportOptions {
  readonly config: MeshConfig;
  readonly store: ObjectStore;
  readonly source: Pick<FolderSource, 'errors' | 'warnings'>;
  readonly supervisor: Supervisor;
  /** Agents and waypoints connected to the control plane. */
  readonly clients: () => number;
  /** What is wrong or without effect in the mesh configuration, as the control plane reads it. */
  readonly configProblems: () => readonly string[];
}

/** A pod that is not ready for so long is no longer waited for: it is in trouble. */
const PATIENCE_MS = 30_000;
const LAST_LINES = 5;
const MAX_NOTES = 50;

/** The state of the mesh as a whole, computed when somebody asks. */
export class MeshReport {
  readonly #options: MeshReportOptions;
  readonly #startedAt = new Date();

  constructor(options: MeshReportOptions) {
    this.#options = options;
  }

  status(): MeshStatus {
    const { config, supervisor } = this.#options;
    const pods = [...supervisor.pods].filter((pod) => !pod.stopping);
    const programs = this.#programs(pods);
    const waitingFor = [
      ...programs.filter((one) => !one.ready).map((one) => one.name),
      ...pods.filter((pod) => !isAgent(pod) && !this.#isSettled(pod)).map((pod) => `pod ${podName(pod.object)}`),
      ...this.#missingPods(),
    ];
    return {
      version: config.version,
      // the id outside of these namespaces, which `ambit up` has written down
      pid: lockedPid(config.stateDir) ?? process.pid,
      startedAt: this.#startedAt.toISOString(),
      rootless: config.rootless,
      stateDir: config.stateDir,
      settled: waitingFor.length === 0,
      waitingFor,
      sources: this.#sources(),
      programs,
      pods: { total: pods.length, ready: pods.filter((pod) => isWell(pod.object)).length },
      trouble: pods.filter((pod) => !isWell(pod.object) && this.#isSettled(pod)).map((pod) => this.#trouble(pod)),
      notes: this.#notes(pods),
    };
  }

  #programs(pods: readonly Pod[]): ProgramStatus[] {
    const agent = pods.find(isAgent);
    const status = agent?.containers.get('istio-proxy')?.status;
    return [
      { name: 'control plane', ready: true, restarts: 0, detail: `${this.#options.clients()} connected` },
      {
        name: 'ztunnel',
        ready: status?.ready === true,
        restarts: status?.restarts ?? 0,
        detail:
          status === undefined || status.ready
            ? ''
            : status.unready || (status.state.kind === 'waiting' ? status.state.message : ''),
      },
    ];
  }

  #sources(): SourceStatus[] {
    const errors = this.#options.source.errors();
    const { folders, stateDir } = this.#options.config;
    const under = (folder: string): SourceStatus => ({
      folder,
      errors: errors.filter((one) => one.file.startsWith(folder)),
    });
    const known = [...folders, stateDir].map(under).filter((one) => one.folder !== stateDir || one.errors.length > 0);
    const others = errors.filter((one) => !known.some((source) => source.errors.includes(one)));
    return others.length === 0 ? known : [...known, { folder: '', errors: others }];
  }

  /** Runs, is done, or has been given a verdict: nothing is to be expected of waiting longer. */
  #isSettled(pod: Pod): boolean {
    const status = record(pod.object.status);
    if (isWell(pod.object) || status['phase'] === 'Failed' || status['reason'] !== undefined) return true;
    if ([...pod.containers.values()].some(({ status: one }) => one.restarts > 0 || isWaitingForRepair(one.state)))
      return true;
    return Date.now() - Date.parse(text(status['startTime']) ?? '') > PATIENCE_MS;
  }

  /** Deployments whose pods are not even made yet. */
  #missingPods(): string[] {
    return [...this.#options.store.list('Deployment')]
      .filter((deployment) => {
        const wanted = Number(record(deployment.spec)['replicas'] ?? 1);
        return Number(record(deployment.status)['replicas'] ?? 0) < wanted;
      })
      .map((deployment) => `deployment ${podName(deployment)}`);
  }

  #trouble(pod: Pod): PodTrouble {
    const { reason, message, container } = worst(pod);
    const lines = pod.containers.get(container)?.log.lastLines() ?? [];
    return {
      namespace: pod.object.metadata.namespace ?? '',
      name: pod.object.metadata.name,
      reason,
      message: this.#captureProblem(pod) ?? message,
      lastLines: lines.slice(-LAST_LINES),
    };
  }

  #captureProblem(pod: Pod): string | undefined {
    const { store } = this.#options;
    const { metadata, status } = pod.object;
    const enrolled = isEnrolled(pod.object, store.get('Namespace', undefined, metadata.namespace ?? ''));
    const waits =
      enrolled &&
      record(status)['phase'] === 'Pending' &&
      metadata.annotations?.['ambient.istio.io/redirection'] !== 'enabled';
    return waits && pod.network !== undefined
      ? 'waits for the node agent to capture it: see the log of ztunnel'
      : undefined;
  }

  #notes(pods: readonly Pod[]): string[] {
    const ofPods = pods.flatMap((pod) => pod.spec.notes.map((note) => `pod ${podName(pod.object)}: ${note}`));
    const ofFiles = this.#options.source
      .warnings()
      .map((one) => `${one.file}:${one.line}: ${one.field}: ${one.message}`);
    const ofConfig = this.#options.configProblems().map((one) => `ConfigMap istio-system/istio: ${one}`);
    return [...this.#options.config.notes, ...ofConfig, ...ofFiles, ...ofPods].slice(0, MAX_NOTES);
  }
}

const podName = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

const isAgent = (pod: Pod): boolean =>
  pod.object.metadata.name === ZTUNNEL.name && pod.object.metadata.namespace === ZTUNNEL.namespace;

const isWell = (pod: KubeObject): boolean => isServing(pod) || record(pod.status)['phase'] === 'Succeeded';

const isWaitingForRepair = (state: { readonly kind: string; readonly reason?: string }): boolean =>
  state.kind === 'waiting' && (state.reason === 'CrashLoopBackOff' || state.reason === 'CreateContainerConfigError');

interface Complaint {
  readonly reason: string;
  readonly message: string;
  readonly container: string;
}

/** What tells most about why the pod is not well: its verdict, else its first container that is not well. */
function worst(pod: Pod): Complaint {
  const container = pod.spec.containers[0]?.name ?? '';
  const status = record(pod.object.status);
  const reason = text(status['reason']);
  if (reason !== undefined) return { reason, message: text(status['message']) ?? '', container };
  for (const one of pod.containers.values()) {
    const complaint = containerComplaint(one.status);
    if (complaint !== undefined) return { ...complaint, container: one.spec.name };
  }
  const condition = records(status['conditions']).find((one) => one['type'] === 'Ready');
  return { reason: text(condition?.['reason']) ?? 'NotReady', message: text(condition?.['message']) ?? '', container };
}

function containerComplaint({
  spec,
  state,
  lastState,
  ready,
  unready,
}: ContainerStatus): Omit<Complaint, 'container'> | undefined {
  switch (state.kind) {
    case 'terminated':
      if (state.exitCode === 0) return undefined;
      return { reason: state.reason, message: `container ${spec.name} exited with ${state.exitCode}` };
    case 'running':
      return ready ? undefined : { reason: 'NotReady', message: unready };
    case 'waiting': {
      if (state.reason === 'ContainerCreating') return undefined;
      const ended = lastState?.kind === 'terminated' ? `; it exited with ${lastState.exitCode}` : '';
      return { reason: state.reason, message: `${state.message}${ended}` };
    }
    default:
      return state satisfies never;
  }
}
