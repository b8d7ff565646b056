/**
 * Runs every *.test.ts in a process of its own with a deadline, a few at a time, and prints one closing line.
 * `node test/run.ts [part of a path …]` runs the matching files only. Files under test/mesh run alone, one after another.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** A file may say how long it needs: `// deadline: 120s` in its first lines. */
const DEFAULT_DEADLINE_MS = 60_000;

interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly output: string;
  readonly ms: number;
}

const filters = process.argv.slice(2);
const files = globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts', 'demo/**/*.test.ts'])
  .filter((file) => filters.length === 0 || filters.some((part) => file.includes(part)))
  .sort();
const results: FileResult[] = [];
const alone = files.filter((file) => file.startsWith('test/mesh/'));
const parallel = files.filter((file) => !file.startsWith('test/mesh/'));
await Promise.all(Array.from({ length: availableParallelism() }, () => runAll(parallel)));
await runAll(alone);
process.exitCode = summarize();

async function runAll(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runFile(file);
    results.push(result);
    report(result);
  }
}

function report(result: FileResult): void {
  const mark = result.failed > 0 ? 'FAIL' : 'ok  ';
  console.log(
    `${mark} ${result.file}  ${result.passed} passed${result.skipped > 0 ? `, ${result.skipped} skipped` : ''}  ${(result.ms / 1000).toFixed(1)}s`,
  );
  if (result.failed > 0 || result.skipped > 0) console.log(result.output.trimEnd());
}

function summarize(): number {
  const sum = (key: 'passed' | 'failed' | 'skipped'): number =>
    results.reduce((total, result) => total + result[key], 0);
  for (const result of results.filter((one) => one.failed > 0)) console.log(`failed: ${result.file}`);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
  return sum('failed') > 0 || results.length === 0 ? 1 : 0;
}

async function deadlineOf(file: string): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const match = /^\/\/ deadline: (\d+)s$/m.exec((await readFile(file, 'utf8')).slice(0, 400));
  return match ? Number(match[1]) * 1000 : DEFAULT_DEADLINE_MS;
}

/** A process group of its own, so that a test that hangs dies with everything it started. */
async function runFile(file: string): Promise<FileResult> {
  const deadline = await deadlineOf(file);
  const started = performance.now();
  const child = spawn(process.execPath, [file], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const code = await new Promise<number | string>((resolve) => {
    const timer = setTimeout(() => {
      killGroup(child.pid);
      resolve(`exceeded its deadline of ${deadline / 1000}s`);
    }, deadline);
    child.once('exit', (status, signal) => {
      clearTimeout(timer);
      resolve(status ?? signal ?? 1);
    });
  });
  killGroup(child.pid);
  return parse({ file, output, code, ms: performance.now() - started });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // ESRCH: the group is gone already
  }
}

/** uvu prints `Total: n`, `Passed: n`, `Skipped: n`; a file that ends otherwise counts as one failure. */
function parse(run: { file: string; output: string; code: number | string; ms: number }): FileResult {
  const number = (label: string): number | undefined => {
    const match = new RegExp(`^\\s*${label}:\\s+(\\d+)`, 'm').exec(run.output);
    return match ? Number(match[1]) : undefined;
  };
  const total = number('Total');
  const passed = number('Passed') ?? 0;
  const skipped = number('Skipped') ?? 0;
  const failed =
    (total ?? 0) -
    passed +
    (run.code === 0 && total !== undefined ? 0 : total === passed || total === undefined ? 1 : 0);
  const output = run.code === 0 ? run.output : `${run.output}\n${run.file}: ended with ${run.code}\n`;
  return { file: run.file, passed, failed, skipped, output, ms: run.ms };
}
