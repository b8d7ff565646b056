import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, renameSync, statSync } from 'node:fs';
import { type MeshConfig, encodeMeshConfig } from './config.ts';
import { PROGRAMS } from './programs.ts';
import { searchPath, unshareCommand } from './rootless.ts';

/**
 * What runs as the first process inside the namespaces: it covers /run with an empty folder of our own, starts the mesh, reaps whatever is
 * orphaned, and ends when the mesh ends; then the kernel ends everything that is left. Descriptor 3 is passed on to the mesh.
 */
const FIRST_PROCESS = `mount -t tmpfs -o mode=755 tmpfs /run || exit 71
mkdir /run/netns
"$@" &
mesh=$!
trap 'kill -TERM $mesh 2>/dev/null' TERM INT HUP
while :; do
  wait $mesh
  code=$?
  kill -0 $mesh 2>/dev/null || exit $code
done`;

export interface LaunchOptions {
  readonly config: MeshConfig;
  readonly path: string;
  /** Where the mesh's own log goes. */
  readonly logFile: string;
}

/** The log of earlier runs is put aside when it has grown so large. */
const MAX_LOG_BYTES = 10 * 1024 * 1024;

/** Starts the mesh in namespaces of its own. With a lifeline it ends with this process, otherwise it stays. */
export function launchMesh({ config, path, logFile }: LaunchOptions): ChildProcess {
  const [unshare = 'unshare', ...flags] = unshareCommand(!config.rootless);
  if (existsSync(logFile) && statSync(logFile).size > MAX_LOG_BYTES) renameSync(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(
    unshare,
    [...flags, 'sh', '-c', FIRST_PROCESS, 'ambit', ...PROGRAMS.standalone, encodeMeshConfig(config)],
    {
      cwd: '/',
      // a session of its own: Ctrl-C in the terminal reaches only the command line, which ends the mesh in order
      detached: true,
      env: { PATH: searchPath(path), LANG: 'C.UTF-8' },
      stdio: ['ignore', log, log, ...(config.lifeline ? ['pipe' as const] : [])],
    },
  );
  closeSync(log);
  if (!config.lifeline) child.unref();
  return child;
}
