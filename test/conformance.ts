/**
 * `pnpm conformance`: runs every test file that names a row of test/conformance/rows.ts and prints, from the names and
 * results of its tests, which rows are covered. Fails when a test of a row fails, or names a row that does not exist.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROWS } from './conformance/rows.ts';

/** `ZT-ST-18`, or several of one area: `ZT-ST-18, 19, 20`. */
const ID = /ZT-([A-Z0-9]+)-(\d+(?:, \d+)*)/g;

interface Observed {
  readonly name: string;
  readonly passed: boolean;
}

/** Test files that name a row, themselves or in the cases they import. */
function filesWithRows(): string[] {
  const naming = (file: string): boolean => readFileSync(file, 'utf8').search(ID) >= 0;
  const cases = globSync('test/**/*.cases.ts').filter(naming);
  const uses = (file: string): boolean =>
    cases.some((one) => readFileSync(file, 'utf8').includes(one.slice(one.lastIndexOf('/') + 1)));
  return globSync(['packages/*/src/**/*.test.ts', 'test/**/*.test.ts']).filter((file) => naming(file) || uses(file));
}

async function runTests(files: readonly string[]): Promise<Observed[]> {
  const dir = mkdtempSync(join(tmpdir(), 'ambit-conformance-'));
  const report = join(dir, 'tests.jsonl');
  const observe = new URL('./conformance/observe.ts', import.meta.url).href;
  try {
    const child = spawn(process.execPath, ['test/run.ts', ...files], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, CONFORMANCE_REPORT: report, NODE_OPTIONS: `--import ${observe}` },
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) process.exitCode = 1;
    const lines = existsSync(report) ? readFileSync(report, 'utf8').split('\n') : [];
    return lines.filter((line) => line !== '').map((line): Observed => JSON.parse(line));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function rowsOf(name: string): string[] {
  return [...name.matchAll(ID)].flatMap(([, area = '', numbers = '']) =>
    numbers.split(', ').map((number) => `ZT-${area}-${number}`),
  );
}

/** A row is covered when tests name it and all of them pass. */
function stateOf(id: string, tests: readonly Observed[]): 'covered' | 'failing' | 'not covered' {
  const own = tests.filter((one) => rowsOf(one.name).includes(id));
  if (own.length === 0) return 'not covered';
  return own.every((one) => one.passed) ? 'covered' : 'failing';
}

function printTable(tests: readonly Observed[]): void {
  const width = Math.max(...ROWS.map(([, behaviour]) => behaviour.length));
  const counts = { covered: 0, failing: 0, 'not covered': 0 };
  for (const [id, behaviour] of ROWS) {
    const state = stateOf(id, tests);
    counts[state]++;
    console.log(`${id.padEnd(10)} ${behaviour.padEnd(width)} ${state}`);
  }
  console.log(`${counts.covered} covered, ${counts.failing} failing, ${counts['not covered']} not covered`);
}

const tests = await runTests(filesWithRows());
printTable(tests);
const known = new Set(ROWS.map(([id]) => id));
const strange = new Set(tests.flatMap((one) => rowsOf(one.name)).filter((id) => !known.has(id)));
for (const id of strange) console.log(`${id}: tests name this row, but rows.ts has none`);
if (strange.size > 0) process.exitCode = 1;
