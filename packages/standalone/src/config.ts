import { list, record, text, texts } from './fields.ts';
import { MeshError } from '@ambit/common/errors';

/** How one mesh is run: handed from `ambit up` to the program inside the namespaces as its one argument. */
export interface MeshConfig {
  readonly folders: readonly string[];
  readonly stateDir: string;
  /** Name servers of the world outside. */
  readonly upstreamDns: readonly string[];
  /** Runs in a user namespace, because whoever started it has not the rights of root. */
  readonly rootless: boolean;
  readonly logLevel: string;
  /** Whether descriptor 3 is a pipe whose end means that whoever started the mesh is gone. */
  readonly lifeline: boolean;
  /** Leftovers of an earlier run that were removed, for the status. */
  readonly notes: readonly string[];
  readonly version: string;
}

/** What the environment says to the programs of this package. */
export interface MachineEnv {
  readonly path: string;
  readonly logLevel: string;
}

/** Reads PATH and RUST_LOG; the only reader of the environment in this package. */
export const readMachineEnv = (env: Readonly<Record<string, string | undefined>> = process.env): MachineEnv => ({
  path: env['PATH'] ?? '',
  logLevel: env['RUST_LOG'] ?? 'info',
});

export const encodeMeshConfig = (config: MeshConfig): string => JSON.stringify(config);

/** Reads the argument of the inner program. @throws MeshError CONFIG: it is not meant to be started by hand. */
export function decodeMeshConfig(argument: string | undefined): MeshConfig {
  const value = record(argument === undefined ? undefined : parse(argument));
  const stateDir = text(value['stateDir']);
  if (stateDir === undefined) throw new MeshError('CONFIG', 'this program is started by "ambit up", not by hand');
  return {
    folders: texts(value['folders']),
    stateDir,
    upstreamDns: texts(value['upstreamDns']),
    rootless: value['rootless'] === true,
    logLevel: text(value['logLevel']) ?? 'info',
    lifeline: value['lifeline'] === true,
    notes: texts(list(value['notes'])),
    version: text(value['version']) ?? '',
  };
}

function parse(argument: string): unknown {
  try {
    return JSON.parse(argument);
  } catch {
    return undefined; // SyntaxError: started by hand with some other argument
  }
}
