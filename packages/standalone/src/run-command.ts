import { spawn } from 'node:child_process';
import { MeshError } from '@ambit/common/errors';

/** What a finished command left. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

const OUTPUT_LIMIT = 4 * 1024 * 1024;

/** Runs a command to its end and returns what it printed; it is killed at the deadline. Rejects only when it cannot be started. */
export function tryCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 10_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => void (stdout.length < OUTPUT_LIMIT && (stdout += chunk.toString())));
    child.stderr.on('data', (chunk: Buffer) => void (stderr.length < OUTPUT_LIMIT && (stderr += chunk.toString())));
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? (signal === null ? 1 : 128), stdout, stderr }));
    // EPIPE: the command ended without reading its input; its exit code tells
    child.stdin.once('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

/** Runs a command that must succeed; rejects with the command and its complaint otherwise. */
export async function runCommand(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await tryCommand(file, args, options).catch((error: unknown) => {
    throw new MeshError('INTERNAL', `cannot run ${file}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  });
  if (result.code === 0) return result.stdout;
  const complaint = result.stderr.trim() || result.stdout.trim() || `exit code ${result.code}`;
  throw new MeshError('INTERNAL', `${[file, ...args].join(' ')} failed: ${complaint}`);
}

/** Runs lines of `ip` in one process and in order; the first that fails ends it. */
export const ipBatch = (lines: readonly string[]): Promise<string> =>
  runCommand('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });

/** Loads nftables text as one transaction: all of it or nothing. */
export const loadRules = (rules: string): Promise<string> => runCommand('nft', ['-f', '-'], { input: rules });
