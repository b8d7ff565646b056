import type { IpAddress } from '@ambit/common/address/ip';
import type { ContainerState, ContainerStatus } from './container.ts';
import type { PodSpec } from './spec.ts';

/** Everything that a pod's status follows from. */
export interface PodSituation {
  readonly spec: PodSpec;
  readonly addresses: readonly IpAddress[];
  readonly hostIp: IpAddress;
  readonly startedAt: string;
  /** Why no container can run; empty when they can. */
  readonly verdict: { readonly reason: string; readonly message: string } | undefined;
  readonly initContainers: readonly ContainerStatus[];
  readonly containers: readonly ContainerStatus[];
  readonly now: string;
}

export interface PodCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime: string;
}

/** A Pod's `status`, of which only the conditions are read again here. */
export interface PodStatus {
  readonly conditions: readonly PodCondition[];
  readonly [key: string]: unknown;
}

/** A Pod's `status` as Kubernetes writes it. `before` gives the times of conditions that did not change. */
export function podStatus(situation: PodSituation, before: readonly PodCondition[]): PodStatus {
  const initialized = situation.initContainers.every(isInitialized);
  const unready = situation.containers.filter((one) => !one.ready);
  const ready = situation.verdict === undefined && situation.containers.length > 0 && unready.length === 0;
  const why = ready ? {} : { reason: 'ContainersNotReady', message: notReady(situation, unready) };
  const conditions = [
    condition('PodScheduled', true, {}),
    condition('Initialized', initialized, initialized ? {} : { reason: 'ContainersNotInitialized' }),
    condition('ContainersReady', ready, why),
    condition('Ready', ready, why),
  ].map((one) => ({ ...one, lastTransitionTime: transition(one, before) ?? situation.now }));
  return {
    phase: podPhase(situation),
    conditions,
    hostIP: situation.hostIp,
    ...(situation.addresses.length === 0
      ? {}
      : { podIP: situation.addresses[0], podIPs: situation.addresses.map((ip) => ({ ip })) }),
    startTime: situation.startedAt,
    ...(situation.verdict === undefined ? {} : situation.verdict),
    ...(situation.initContainers.length === 0
      ? {}
      : { initContainerStatuses: situation.initContainers.map(containerStatus) }),
    containerStatuses: situation.containers.map(containerStatus),
  };
}

/** Kubernetes' five phases, of which `Unknown` cannot happen here. */
export function podPhase(situation: PodSituation): 'Pending' | 'Running' | 'Succeeded' | 'Failed' {
  const { containers, initContainers, spec } = situation;
  const failedInit = initContainers.some(
    (one) => !one.spec.sidecar && spec.restartPolicy === 'Never' && exitCode(one) > 0,
  );
  if (failedInit) return 'Failed';
  if (situation.verdict !== undefined || !initContainers.every(isInitialized)) return 'Pending';
  if (containers.some((one) => one.state.kind === 'running' || one.restarts > 0 || one.lastState !== undefined))
    return 'Running';
  if (containers.length === 0 || containers.some((one) => one.state.kind === 'waiting')) return 'Pending';
  return containers.every((one) => exitCode(one) === 0) ? 'Succeeded' : 'Failed';
}

const isInitialized = (one: ContainerStatus): boolean => (one.spec.sidecar ? one.started : exitCode(one) === 0);

/** -1 while it has not ended. */
const exitCode = (one: ContainerStatus): number => (one.state.kind === 'terminated' ? one.state.exitCode : -1);

function notReady(situation: PodSituation, unready: readonly ContainerStatus[]): string {
  if (situation.verdict !== undefined) return situation.verdict.message;
  const details = unready.map((one) => {
    const why = one.unready || (one.state.kind === 'running' ? '' : one.state.message || one.state.reason);
    return why === '' ? one.spec.name : `${one.spec.name}: ${why}`;
  });
  return `containers with unready status: ${details.join('; ')}`;
}

const condition = (
  type: string,
  status: boolean,
  why: { reason?: string; message?: string },
): Omit<PodCondition, 'lastTransitionTime'> => ({
  type,
  status: status ? 'True' : 'False',
  ...why,
});

const transition = (
  one: Omit<PodCondition, 'lastTransitionTime'>,
  before: readonly PodCondition[],
): string | undefined =>
  before.find((earlier) => earlier.type === one.type && earlier.status === one.status)?.lastTransitionTime;

function containerStatus(one: ContainerStatus): Record<string, unknown> {
  return {
    name: one.spec.name,
    image: one.spec.image,
    imageID: '',
    ready: one.ready,
    started: one.started,
    restartCount: one.restarts,
    state: stateObject(one.state),
    lastState: one.lastState === undefined ? {} : stateObject(one.lastState),
  };
}

function stateObject(state: ContainerState): Record<string, unknown> {
  const { kind, ...rest } = state;
  const { message, ...short } = { message: '', ...rest };
  return { [kind]: message === '' ? short : { ...short, message } };
}
