import { rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { asMeshError } from '@ambit/common/errors';
import { Scope } from '@ambit/common/lifecycle/scope';
import { createLogger } from '@ambit/common/telemetry/log';
import { decodeMeshConfig, readMachineEnv } from './config.ts';
import { meshLogWriter } from './mesh-log.ts';
import { startStandalone } from './mesh.ts';

/** Descriptor on which `ambit up` holds the other end. */
const LIFELINE_FD = 3;
/** `ambit down` ends everything the hard way a little later. */
const STOP_DEADLINE_MS = 9000;

const config = decodeMeshConfig(process.argv[2]);
const { path } = readMachineEnv();
const log = createLogger({ level: config.logLevel, format: 'plain', write: meshLogWriter() });
const scope = new Scope('mesh');
const own = log.scope('standalone');
let stopping = false;

process.on('SIGTERM', () => stop('SIGTERM'));
process.on('SIGINT', () => stop('SIGINT'));
process.on('uncaughtException', (error) => {
  own.error('a bug; please report it', { error: error.stack ?? error.message });
  process.exitCode = 70;
  stop('a bug');
});
if (config.lifeline) watchLifeline();

try {
  const started = performance.now();
  await startStandalone({ config, path, log, scope, stop: () => stop('ambit down') });
  own.info('mesh started', { folders: config.folders.join(' '), ms: Math.round(performance.now() - started) });
} catch (error) {
  own.error(`the mesh cannot start: ${asMeshError(error).message}`);
  process.exitCode = 1;
  stop('the failure');
}

/** Ends everything in order; at the deadline the process ends anyway, and with it the kernel ends the rest. */
function stop(why: string): void {
  if (stopping) return;
  stopping = true;
  own.info('stopping', { because: why });
  setTimeout(() => process.exit(), STOP_DEADLINE_MS).unref();
  scope[Symbol.asyncDispose]()
    .catch((error: unknown) => own.warn('not everything ended in order', { error: asMeshError(error).message }))
    .finally(() => {
      rmSync(join(config.stateDir, 'run'), { recursive: true, force: true });
      rmSync(join(config.stateDir, 'api.sock'), { force: true });
      process.exit();
    });
}

/** When whoever started the mesh in the foreground dies, however it dies, its end of the pipe closes. */
function watchLifeline(): void {
  const lifeline = new Socket({ fd: LIFELINE_FD });
  lifeline.on('close', () => stop('the end of ambit up'));
  // ECONNRESET means the same as a close, which follows
  lifeline.on('error', () => {});
  lifeline.resume();
}
