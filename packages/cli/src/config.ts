import { join } from 'node:path';

/** What the environment says to the command line. */
export interface CliConfig {
  readonly stateDir: string;
  readonly colour: boolean;
}

/** Reads AMBIT_STATE, XDG_STATE_HOME, HOME, NO_COLOR and TERM; the only reader of the environment in this program. */
export function readConfig(env: NodeJS.ProcessEnv = process.env, uid: number = process.getuid?.() ?? 0): CliConfig {
  const home = env['XDG_STATE_HOME'] ?? join(env['HOME'] ?? '/tmp', '.local/state');
  return {
    stateDir: env['AMBIT_STATE'] ?? (uid === 0 ? '/var/lib/ambit' : join(home, 'ambit')),
    colour: (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
  };
}
