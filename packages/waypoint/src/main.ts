import { asMeshError } from '@ambit/common/errors';
import { settleLater } from '@ambit/common/lifecycle/settle';
import { createLogger } from '@ambit/common/telemetry/log';
import { readConfig, type WaypointConfig } from './config.ts';
import { startWaypoint } from './waypoint.ts';

const VERSION = '0.1.0';
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
  settleLater();
}

try {
  if (process.argv[2] === 'version') console.log(`waypoint ${VERSION} (node ${process.version})`);
  else await run(readConfig());
} catch (error) {
  const { code, message } = asMeshError(error);
  process.stderr.write(`waypoint: ${message}\n`);
  process.exit(code === 'CONFIG' ? EX_CONFIG : 1);
}
