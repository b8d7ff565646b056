import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from './command.ts';
import { Output, parseFormat } from './output.ts';
import { Results } from './results.ts';

interface Shown {
  readonly out: Output;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly wait: (ms: number) => void;
}

function shown(options: { tty: boolean; colour?: boolean }): Shown {
  let stdout = '';
  let stderr = '';
  let now = 0;
  const out = new Output({
    stdout: { write: (text) => (stdout += String(text)), isTTY: options.tty },
    stderr: { write: (text) => (stderr += String(text)), isTTY: options.tty, columns: 30 },
    colour: options.colour ?? true,
    now: () => now,
  });
  return { out, stdout: () => stdout, stderr: () => stderr, wait: (ms) => void (now += ms) };
}

test('colour appears on a terminal only, and not when it is unwanted', () => {
  const paint = (tty: boolean, colour: boolean): string => {
    const { out, stderr } = shown({ tty, colour });
    out.error('no');
    return out.paint('green', 'x') + stderr();
  };
  assert.is(paint(false, true), 'xerror: no\n');
  assert.is(paint(true, false), 'xerror: no\n');
  assert.is(paint(true, true), '\u001b[32mx\u001b[0m\u001b[31merror:\u001b[0m no\n');
});

test('progress rewrites one line of a terminal, cut at its width, and makes room for what is printed', () => {
  const { out, stderr, wait } = shown({ tty: true, colour: false });
  out.progress('first');
  wait(1500);
  out.progress('second, which is rather a long one');
  out.line('result');
  out.endProgress();
  assert.is(stderr(), '\r\u001b[2K  0.0 s  first\r\u001b[2K  1.5 s  second, which is rat\r\u001b[2K');
});

test('elsewhere progress is plain lines, after a second, each once', () => {
  const { out, stderr, wait } = shown({ tty: false });
  out.progress('quick');
  wait(1200);
  for (const text of ['slow', 'slow', 'slower']) out.progress(text);
  assert.is(stderr(), '  1.2 s  slow\n  1.2 s  slower\n');
});

test('bytes pass as they are', () => {
  const chunks: (string | Uint8Array)[] = [];
  const terminal = { write: (chunk: string | Uint8Array): number => chunks.push(chunk) };
  const out = new Output({ stdout: terminal, stderr: terminal, colour: false });
  const bytes = Uint8Array.of(0, 255, 10, 195);
  out.raw(bytes);
  out.noteRaw(bytes);
  assert.equal(chunks, [bytes, bytes]);
});

test('YAML quotes what another reader would take for a date, a number or a truth value', () => {
  const { out, stdout } = shown({ tty: false });
  out.yaml({ at: '2026-01-02T03:04:05Z', yes: 'yes', list: [{ port: 80 }] });
  assert.is(stdout(), 'at: "2026-01-02T03:04:05Z"\n"yes": "yes"\nlist:\n- port: 80\n');
});

test('an output format that a command lacks is refused with those it has', () => {
  assert.is(parseFormat(undefined), 'table');
  for (const word of ['name', 'table', 'xml'])
    assert.throws(
      () => parseFormat(word, ['table', 'json', 'yaml']),
      (error: Error) =>
        error instanceof UsageError && error.message === `unknown output format "${word}"; expected json|yaml`,
    );
});

for (const [format, expected] of [
  [undefined, 'pod/a created\nnamespace/b created\n'],
  ['name', 'pod/a\nnamespace/b\n'],
  ['wide', 'NAMESPACE   NAME          ACTION\nd           pod/a         created\n-           namespace/b   created\n'],
  [
    'yaml',
    '- kind: Pod\n  namespace: d\n  name: a\n  action: created\n- kind: Namespace\n  name: b\n  action: created\n',
  ],
] as const) {
  test(`results with -o ${format}`, () => {
    const { out, stdout } = shown({ tty: false });
    const results = new Results(out, format, (one) => `${one.kind.toLowerCase()}/${one.name} ${one.action}`);
    results.add({ kind: 'Pod', namespace: 'd', name: 'a', action: 'created' });
    results.add({ kind: 'Namespace', namespace: undefined, name: 'b', action: 'created' });
    results.end();
    assert.is(stdout(), expected);
  });
}

test.run();
