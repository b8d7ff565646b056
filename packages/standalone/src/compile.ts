import { spawn } from 'node:child_process';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { PROGRAMS } from './programs.ts';

export interface CompileOptions {
  /** What the programs get as NODE_COMPILE_CACHE. */
  readonly cache: string;
  readonly log: ScopedLogger;
  readonly signal: AbortSignal;
}

/**
 * Compiles the programs that pods run, each in a process that ends at once. Removing types and compiling costs some 25 MB that a process never
 * gives back; a program that finds its code in the cache does without. A failure costs memory only, and is logged.
 */
export async function compilePrograms({ cache, log, signal }: CompileOptions): Promise<void> {
  const programs = [PROGRAMS.ztunnel, PROGRAMS.waypoint];
  const problems = await Promise.all(programs.map((command) => compile(command, cache, signal)));
  for (const [index, problem] of problems.entries())
    if (problem !== undefined) log.warn('not compiled ahead', { program: programs[index]?.at(-1), problem });
}

/** Asking for its version makes a program load all its code and do nothing. */
function compile(command: readonly string[], cache: string, signal: AbortSignal): Promise<string | undefined> {
  const [program = '', ...words] = command;
  const child = spawn(program, [...words, 'version'], {
    env: { NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'ignore', 'pipe'],
    signal,
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(code === 0 ? undefined : `exit code ${code}: ${said.slice(0, 500)}`));
  });
}
