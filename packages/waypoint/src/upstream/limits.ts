import { MeshError } from '@ambit/common/errors';
import type { ConnectionPool } from '@ambit/common/model/backend';

/** Istio's default for every connectionPool limit. */
const UNLIMITED = 2 ** 32 - 1;

/** What one backend port uses of its connectionPool, over all its endpoints. */
export class PoolUsage {
  connections: number;
  pending: number;
  requests: number;

  constructor() {
    this.connections = 0;
    this.pending = 0;
    this.requests = 0;
  }
}

const limit = (value: number): number => (value === 0 ? UNLIMITED : value);

export const mayConnect = (usage: PoolUsage, pool: ConnectionPool): boolean =>
  usage.connections < limit(pool.maxConnections);

/** Undefined when one more connection fits. */
export function connectionOverflow(usage: PoolUsage, pool: ConnectionPool): MeshError | undefined {
  return mayConnect(usage, pool) ? undefined : full('connections', 'tcp.maxConnections', pool.maxConnections);
}

/** Undefined when one more request fits. */
export function overflow(usage: PoolUsage, pool: ConnectionPool, waits: boolean): MeshError | undefined {
  if (usage.requests >= limit(pool.maxRequests))
    return full('requests under way', 'http2MaxRequests', pool.maxRequests);
  if (waits && usage.pending >= limit(pool.maxPendingRequests)) {
    return full('requests waiting for a connection', 'http1MaxPendingRequests', pool.maxPendingRequests);
  }
  return undefined;
}

const full = (what: string, field: string, most: number): MeshError =>
  new MeshError('OVERFLOW', `${most} ${what}: the limit of connectionPool ${field}`);
