import { spawn } from 'node:child_process';
import { MeshError } from '@ambit/common/errors';
import { type Netns, inNetns } from '@ambit/common/linux/netns';

/** A program to run and what it reads. */
export interface ToolCall {
  readonly tool: string;
  readonly arguments: readonly string[];
  readonly input?: string;
}

export interface ToolResult {
  readonly exitCode: number;
  readonly output: string;
  readonly errors: string;
}

const DEADLINE_MS = 10_000;
/** Of each stream, what is kept. */
const MAX_OUTPUT = 64 * 1024;

/**
 * Runs a program inside a namespace, or here when undefined. The child is forked while this thread is inside, so it needs
 * no nsenter.
 * @throws MeshError CONFIG when the program is missing, TIMEOUT when it does not end.
 */
export async function runTool(netns: Netns | undefined, call: ToolCall): Promise<ToolResult> {
  const child = inNetns(netns, () => spawn(call.tool, call.arguments, { stdio: 'pipe' }));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const texts = { output: '', errors: '' };
  child.stdout.on('data', (chunk: Buffer) => (texts.output = (texts.output + chunk.toString()).slice(0, MAX_OUTPUT)));
  child.stderr.on('data', (chunk: Buffer) => (texts.errors = (texts.errors + chunk.toString()).slice(0, MAX_OUTPUT)));
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? -1));
  child.stdin.on('error', () => {
    // EPIPE: the program ended without reading; its exit code tells
  });
  child.stdin.end(call.input ?? '');
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    reject(new MeshError('TIMEOUT', `${call.tool} did not end within ${DEADLINE_MS / 1000} s`));
  }, DEADLINE_MS);
  try {
    return { exitCode: await promise, ...texts };
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw new MeshError('CONFIG', `cannot run ${call.tool}: ${String(cause)}; ${HOW_TO_GET}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

export const HOW_TO_GET = 'install it with: apt-get install nftables iproute2';
