import type { BackendPort } from '@ambit/common/model/backend';

/** What balancing keeps of one endpoint while its cluster lists it. */
export interface EndpointLoad {
  /** Requests and connections under way. */
  active: number;
  /** Smooth round robin: grows by its weight each turn; the greatest is taken and pays the total back. */
  credit: number;
}

/** An endpoint as balancing sees it. */
export interface Balanced {
  /** 0 is never chosen. */
  readonly weight: number;
  readonly load: EndpointLoad;
}

type Policy = BackendPort['loadBalancer'];

/** Chooses one; undefined when nothing has weight. `random` gives numbers in [0, 1). */
export function choose<T extends Balanced>(policy: Policy, all: readonly T[], random: () => number): T | undefined {
  if (all.length === 1) return all[0] !== undefined && all[0].weight > 0 ? all[0] : undefined;
  const total = totalWeight(all);
  if (total <= 0) return undefined;
  switch (policy) {
    case 'ROUND_ROBIN':
      return inTurn(all, total);
    case 'RANDOM':
    case 'PASSTHROUGH':
      return byWeight(all, total, random);
    case 'LEAST_REQUEST':
      return lessLoaded(byWeight(all, total, random), byWeight(all, total, random));
  }
  return undefined;
}

/** The power of two choices: nearly as even as looking at all, and no herd toward the one that just became idle. */
function lessLoaded<T extends Balanced>(first: T | undefined, second: T | undefined): T | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return second.load.active * first.weight < first.load.active * second.weight ? second : first;
}

function byWeight<T extends Balanced>(all: readonly T[], total: number, random: () => number): T | undefined {
  let left = random() * total;
  for (const one of all) {
    left -= one.weight;
    if (left < 0) return one;
  }
  // Only rounding gets here.
  return all.findLast((one) => one.weight > 0);
}

function inTurn<T extends Balanced>(all: readonly T[], total: number): T | undefined {
  let best: T | undefined;
  for (const one of all) {
    if (one.weight <= 0) continue;
    one.load.credit += one.weight;
    if (best === undefined || one.load.credit > best.load.credit) best = one;
  }
  if (best !== undefined) best.load.credit -= total;
  return best;
}

function totalWeight(all: readonly Balanced[]): number {
  let total = 0;
  for (const one of all) total += Math.max(0, one.weight);
  return total;
}
