import type { IpAddress } from '@ambit/common/address/ip';
import type { Workload } from '@ambit/common/model/workload';
import type { Fetched, Need } from './decision.ts';
import type { Fetch } from './pod-context.ts';

/** Where what decisions lack comes from. */
export interface FetchSources {
  /** Addresses of a host name, from this node's name servers. */
  readonly resolve: (hostname: string) => Promise<readonly IpAddress[]>;
  /** Asks the control plane for an address; resolves when it has answered. */
  readonly demand: (key: string) => Promise<void>;
  /** Counts a use of a resolution, remembered ones included. */
  readonly resolved: (hostname: string, source: Workload) => void;
}

const DEMAND_TIMEOUT_MS = 5000;

/** Fetches one thing at a time. Never rejects: what cannot be had is recorded as missing, and the decision says so. */
export function createFetch(sources: FetchSources): Fetch {
  return async (need: Need, before: Fetched, source: Workload) => {
    if (need.what === 'address') {
      await Promise.race([sources.demand(need.key), expiry()]);
      return { ...before, asked: new Set([...(before.asked ?? []), need.key]) };
    }
    sources.resolved(need.hostname, source);
    return { ...before, resolved: new Map([...before.resolved, [need.hostname, await addressesOf(sources, need)]]) };
  };
}

async function addressesOf(sources: FetchSources, need: Extract<Need, { what: 'dns' }>): Promise<readonly IpAddress[]> {
  try {
    return await sources.resolve(need.hostname);
  } catch {
    // No name server answered: the decision refuses the connection and names the workload.
    return [];
  }
}

function expiry(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, DEMAND_TIMEOUT_MS).unref();
  return promise;
}
