import type { AdminHandler } from '@ambit/common/admin/server';
import { asMeshError } from '@ambit/common/errors';
import type { Readiness } from '@ambit/common/lifecycle/readiness';
import type { Logger } from '@ambit/common/telemetry/log';
import type { Registry } from '@ambit/common/telemetry/metrics';

type Routes = Readonly<Record<string, AdminHandler>>;

const QUIT_DELAY_MS = 50;

const LOGGING_HELP = `usage: POST /logging\t\t\t\t\t\t(To list current level)
usage: POST /logging?level=<level>\t\t\t\t(To change global levels)
usage: POST /logging?level={mod1}={level1},{mod2}={level2}\t(To change specific mods' logging level)

hint: loglevel:\terror|warn|info|debug|trace|off
`;

/** 15000: for the operator on this machine. */
export function adminRoutes(part: {
  readonly dump: () => string;
  readonly logger: Logger;
  readonly defaultLevel: string;
  readonly quit: () => void;
}): Routes {
  return {
    '/': () => ({ status: 200, contentType: 'text/html; charset=utf-8', body: DASHBOARD }),
    '/config_dump': () => ({ status: 200, contentType: 'application/json', body: part.dump() }),
    '/logging': ({ method, query }) => {
      if (method !== 'POST') return { status: 405, body: `Invalid HTTP method\n\n${LOGGING_HELP}` };
      return logging(part.logger, part.defaultLevel, query);
    },
    '/quitquitquit': ({ method }) => {
      if (method !== 'POST') return { status: 405, body: 'Invalid HTTP method\n' };
      // The answer goes out first: shutting down closes this very server.
      setTimeout(part.quit, QUIT_DELAY_MS);
      return { status: 200, body: 'shutdown now\n' };
    },
  };
}

/** Without a query tells the level; `level` adds directives, `reset` starts from the default. */
function logging(logger: Logger, defaultLevel: string, query: URLSearchParams): { status: number; body: string } {
  const level = query.get('level');
  const reset = query.has('reset');
  if (level !== null || reset) {
    const base = reset ? defaultLevel : logger.level();
    try {
      logger.setLevel(level === null || level === '' ? base : `${base},${level}`);
    } catch (error) {
      return {
        status: 400,
        body: `Invalid level provided: ${level ?? ''}\n${asMeshError(error).message}\n\n${LOGGING_HELP}`,
      };
    }
  }
  return { status: 200, body: `current log level is ${logger.level()}\n` };
}

/** 15020: for Prometheus. */
export function metricsRoutes(registry: Registry): Routes {
  const metrics: AdminHandler = ({ accept }) => ({
    status: 200,
    contentType: accept.includes('application/openmetrics-text')
      ? 'application/openmetrics-text;charset=utf-8;version=1.0.0'
      : 'text/plain; charset=utf-8',
    body: registry.render(),
  });
  return { '/metrics': metrics, '/stats/prometheus': metrics };
}

/** 15021: for the kubelet. */
export function readinessRoutes(readiness: Readiness): Routes {
  return {
    '/healthz/ready': ({ method }) => {
      if (method !== 'GET') return { status: 405, body: '' };
      if (readiness.ready) return { status: 200, body: 'ready\n' };
      return { status: 500, body: `not ready, pending: ${readiness.pending().join(', ')}\n` };
    },
  };
}

const DASHBOARD = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ztunnel</title></head><body>
<h1>Node agent</h1><ul>
<li><a href="/config_dump">config_dump</a>: everything this agent knows</li>
<li>POST /logging: log levels</li>
<li>POST /quitquitquit: shut down</li>
</ul></body></html>
`;
