import { flushCompileCache } from 'node:module';
import { asMeshError } from '@ambit/common/errors';
import { createLogger } from '@ambit/common/telemetry/log';
import { readConfig, type WaypointConfig } from './config.ts';
import { startWaypoint } from './waypoint.ts';

/** Exit code of sysexits.h for a configuration error. */
const EX_CONFIG = 78;

async function run(config: WaypointConfig): Promise<void> {
  const log = createLogger({ level: config.rustLog, format: config.logFormat });
  const own = log.scope('waypoint');
  const waypoint = await startWaypoint(config, log);
  own.info('listening', { port: waypoint.port, gateway: `${config.podNamespace}/${config.gatewayName}` });
  const stop = (signal: NodeJS.Signals): void => {
    own.info('draining', { signal, seconds: config.drainSeconds });
    void waypoint.stop().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  await waypoint.ready;
  own.info('ready');
  // With NODE_COMPILE_CACHE set, the next start needs 30 MB less, also if this process is killed.
  flushCompileCache();
}

try {
  await run(readConfig());
} catch (error) {
  const { code, message } = asMeshError(error);
  process.stderr.write(`waypoint: ${message}\n`);
  process.exit(code === 'CONFIG' ? EX_CONFIG : 1);
}
