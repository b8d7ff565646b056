import { type AdminReply, type AdminServer, startAdminServer } from '@ambit/common/admin/server';
import { asMeshError } from '@ambit/common/errors';
import type { CredentialCache } from '@ambit/common/identity/credential-cache';
import type { Readiness } from '@ambit/common/lifecycle/readiness';
import type { Logger } from '@ambit/common/telemetry/log';
import type { Registry } from '@ambit/common/telemetry/metrics';
import type { WaypointConfig } from './config.ts';
import { hasIpv6 } from './ip-families.ts';
import type { L7Tables } from './l7-tables.ts';

export interface AdminParts {
  readonly config: WaypointConfig;
  readonly log: Logger;
  readonly readiness: Readiness;
  readonly registry: Registry;
  readonly tables: L7Tables;
  readonly certificates: Pick<CredentialCache, 'state'>;
}

const OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const JSON_TYPE = 'application/json';

/** Starts the servers beside the traffic: metrics and readiness for everybody, administration for this machine. */
export function startAdmin(parts: AdminParts): Promise<AdminServer[]> {
  const { config, readiness, registry } = parts;
  const metrics = (): AdminReply => ({ status: 200, contentType: OPENMETRICS, body: registry.render() });
  // `::` takes IPv4 connections, too.
  const everywhere = hasIpv6() ? '::' : '0.0.0.0';
  const ready = (): AdminReply => {
    const pending = readiness.pending();
    if (pending.length === 0) return { status: 200, body: 'ready\n' };
    return { status: 503, body: `not ready, pending: ${pending.join(', ')}\n` };
  };
  return Promise.all([
    startAdminServer({
      host: everywhere,
      port: config.metricsPort,
      routes: { '/stats/prometheus': metrics, '/metrics': metrics },
    }),
    startAdminServer({ host: everywhere, port: config.envoyMetricsPort, routes: { '/stats/prometheus': metrics } }),
    startAdminServer({ host: everywhere, port: config.readyPort, routes: { '/healthz/ready': ready } }),
    startAdminServer({
      host: '127.0.0.1',
      port: config.adminPort,
      routes: {
        '/stats/prometheus': metrics,
        '/ready': ready,
        '/config_dump': () => configDump(parts),
        '/logging': ({ method, query }) => logging(parts.log, method, query.get('level')),
      },
    }),
  ]);
}

/** Everything in force; of certificates and credentials only what is public. */
function configDump({ tables, certificates }: AdminParts): AdminReply {
  const chain = certificates.state().map(({ identity, state, error, credentials, renewAt }) => ({
    identity: identity.uri,
    state,
    error,
    notAfter: credentials === undefined ? undefined : new Date(credentials.notAfter).toISOString(),
    renewAt: renewAt === undefined ? undefined : new Date(renewAt).toISOString(),
  }));
  const body = JSON.stringify({ ...tables.dump(), certificates: chain }, undefined, 2);
  return { status: 200, contentType: JSON_TYPE, body: `${body}\n` };
}

/** Shows the log levels; POST with `?level=` sets them. */
function logging(log: Logger, method: string, level: string | null): AdminReply {
  if (method !== 'POST' || level === null) return { status: 200, body: `${log.level()}\n` };
  try {
    log.setLevel(level);
    return { status: 200, body: `${log.level()}\n` };
  } catch (error) {
    return { status: 400, body: `${asMeshError(error).message}\n` };
  }
}
