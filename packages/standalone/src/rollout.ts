/** A pod of a Deployment as the rollout sees it. */
export interface RolloutPod {
  readonly name: string;
  /** Made from the template that is in force. */
  readonly current: boolean;
  readonly ready: boolean;
  readonly ending: boolean;
}

export interface RolloutState {
  readonly replicas: number;
  /** Strategy `Recreate`: nothing new before everything old is gone. */
  readonly recreate: boolean;
  readonly pods: readonly RolloutPod[];
}

export interface RolloutPlan {
  readonly create: number;
  readonly remove: readonly string[];
}

/**
 * What to do next for a Deployment. New pods are made beside old ones; an old pod goes when enough pods are ready without it, those
 * that are not ready first. Surplus pods of the current template go the same way.
 */
export function planRollout({ replicas, recreate, pods }: RolloutState): RolloutPlan {
  const alive = pods.filter((pod) => !pod.ending);
  const current = alive.filter((pod) => pod.current).sort(unreadyFirst);
  const old = alive.filter((pod) => !pod.current).sort(unreadyFirst);
  const surplus = current.slice(0, Math.max(0, current.length - replicas));
  if (recreate && old.length > 0) return { create: 0, remove: [...old, ...surplus].map(({ name }) => name) };
  const blocked = recreate && pods.some((pod) => !pod.current);
  const create = blocked ? 0 : Math.max(0, replicas - current.length);
  const keptReady = current.filter((pod) => pod.ready && !surplus.includes(pod)).length;
  const needed = Math.max(0, replicas - keptReady);
  const readyOld = old.filter((pod) => pod.ready);
  const goingOld = [...old.filter((pod) => !pod.ready), ...readyOld.slice(0, Math.max(0, readyOld.length - needed))];
  return { create, remove: [...surplus, ...goingOld].map(({ name }) => name) };
}

const unreadyFirst = (a: RolloutPod, b: RolloutPod): number => Number(a.ready) - Number(b.ready);
