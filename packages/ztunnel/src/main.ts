import { asMeshError, type MeshError } from '@ambit/common/errors';
import { settleLater } from '@ambit/common/lifecycle/settle';
import { createLogger, type Logger } from '@ambit/common/telemetry/log';
import { type Agent, startAgent } from './agent.ts';
import { type Config, describeConfig, readConfig } from './config.ts';

const VERSION = '0.1.0';

/** Lines of another program's library that users silence in Istio's agent; kept so that `/logging` reads the same. */
const BASE_DIRECTIVES = 'hickory_server::server=off,';

/** `proxy` (default), `version` or `help`; further arguments are ignored, as the chart passes some. */
async function main(command: string): Promise<void> {
  switch (command) {
    case 'proxy':
      return proxy();
    case 'version':
      console.log(`ztunnel ${VERSION} (node ${process.version})`);
      return;
    case 'help':
      console.log(`usage: ztunnel [proxy|version|help]\n\n${describeConfig()}`);
      return;
    default:
      console.error(`unknown command ${command}: expected proxy, version or help`);
      process.exitCode = 1;
  }
}

async function proxy(): Promise<void> {
  let config: Config;
  try {
    config = readConfig();
  } catch (error) {
    console.error(asMeshError(error).message);
    process.exitCode = 1;
    return;
  }
  const defaultLevel = `${BASE_DIRECTIVES}${config.rustLog}`;
  const logger = createLogger({ level: defaultLevel, format: config.logFormat });
  const quit = Promise.withResolvers<void>();
  try {
    const agent = await startAgent({
      config,
      logger,
      version: VERSION,
      defaultLevel,
      onQuit: () => quit.resolve(),
      onFatal: (error) => die(logger, error),
    });
    settleLater();
    await untilStopped(quit.promise);
    await drain(agent);
    process.exit(0);
  } catch (error) {
    die(logger, asMeshError(error));
  }
}

/** SIGTERM, SIGINT or `/quitquitquit`; a further signal ends the program at once. */
function untilStopped(quit: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let signalled = false;
  const onSignal = (): void => {
    if (signalled) process.exit(1);
    signalled = true;
    resolve();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  void quit.then(resolve);
  return promise;
}

const drain = (agent: Agent): Promise<void> => agent.stop();

function die(logger: Logger, error: MeshError): never {
  logger.scope('ztunnel::app').error('the node agent cannot go on', { error: error.message, hint: error.kind.hint });
  process.exit(1);
}

// Node raises the limit of open files to the hard limit by itself at start.
await main(process.argv[2] ?? 'proxy');
