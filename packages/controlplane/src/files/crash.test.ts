// deadline: 120s
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ObjectStore } from '../collections/object-store.ts';
import { FolderSource } from './folder-source.ts';

const PROGRAM = fileURLToPath(new URL('killed-apply.fixture.ts', import.meta.url));
const map = (name: string, value: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: apps}\ndata: {value: ${value}}\n`;
const all = (value: string): string => ['a', 'b', 'c'].map((name) => map(name, value)).join('---\n');

function opened(stateDir: string): { source: FolderSource; values: () => unknown[] } {
  const store = new ObjectStore();
  const source = new FolderSource({ folders: [], stateDir, store });
  source.start({ watch: false });
  assert.equal(source.errors(), []);
  return { source, values: () => ['a', 'b', 'c'].map((name) => store.get('ConfigMap', 'apps', name)?.data?.['value']) };
}

function inTemporary(run: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'ambit-crash-'));
  try {
    run(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

test('killed at any step of an apply, all of its objects are there afterwards or none', () => {
  inTemporary((root) => {
    const [first, text] = [join(root, 'first'), join(root, 'change.yaml')];
    opened(first).source.apply(`${map('a', 'old')}---\n${map('b', 'old')}`, 'first.yaml');
    writeFileSync(text, all('new'));
    const outcomes: string[] = [];
    for (let step = 1, killed = true; killed && step < 100; step++) {
      const stateDir = join(root, `state-${step}`);
      cpSync(first, stateDir, { recursive: true });
      const child = spawnSync(process.execPath, [PROGRAM, stateDir, text, String(step)], { timeout: 20_000 });
      killed = child.signal === 'SIGKILL';
      assert.ok(killed || child.status === 0, child.stderr.toString());
      const values = opened(stateDir).values().map(String).join();
      assert.ok(['old,old,undefined', 'new,new,new'].includes(values), `killed at step ${step}: ${values}`);
      if (!killed) assert.is(values, 'new,new,new', 'not killed');
      assert.not(existsSync(join(stateDir, 'objects.journal')), 'the journal is done with');
      assert.equal(
        readdirSync(join(stateDir, 'objects/configmaps/apps')).filter((one) => one.endsWith('.tmp')),
        [],
      );
      if (killed) outcomes.push(values);
    }
    assert.ok(outcomes.length > 12, `only ${outcomes.length} steps`);
    const turn = outcomes.indexOf('new,new,new');
    assert.ok(turn > 0 && outcomes.slice(turn).every((one) => one === 'new,new,new'), outcomes.join(' '));
  });
});

test('a damaged journal is named and counts for nothing', () => {
  inTemporary((root) => {
    opened(root).source.apply(map('a', 'old'), 'first.yaml');
    writeFileSync(join(root, 'objects.journal'), '{"writes": [{"kind": 7}]}');
    const store = new ObjectStore();
    const source = new FolderSource({ folders: [], stateDir: root, store });
    source.start({ watch: false });
    assert.match(source.errors()[0]?.message ?? '', 'expected a journal of changes');
    assert.is(store.get('ConfigMap', 'apps', 'a')?.data?.['value'], 'old');
    assert.equal(opened(root).values()[0], 'old', 'said once');
  });
});

const FULL = 'where the disk takes no more, an apply changes nothing';
/** On a real file system that is full, which takes the right to mount one. */
function applyToFullDisk(): void {
  inTemporary((root) => {
    const small = join(root, 'small');
    const script = `mkdir ${small} && mount -t tmpfs -o size=64k tmpfs ${small} && exec ${process.execPath} --input-type=module -e "$1"`;
    const program = `
      import { FolderSource } from ${JSON.stringify(new URL('folder-source.ts', import.meta.url).href)};
      import { ObjectStore } from ${JSON.stringify(new URL('../collections/object-store.ts', import.meta.url).href)};
      const open = () => { const store = new ObjectStore(); const source = new FolderSource({ folders: [], stateDir: ${JSON.stringify(small)}, store }); source.start({ watch: false }); return { source, store }; };
      const map = (name, value) => 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: ' + name + ', namespace: apps}\\ndata: {value: ' + value + '}\\n';
      const { source, store } = open();
      source.apply(map('a', 'old'), 'f');
      let refused = '';
      try { source.apply(map('a', 'new') + '---\\n' + map('b', 'x'.repeat(20000)) + '---\\n' + map('c', 'x'.repeat(8000)), 'f'); } catch (error) { refused = error.code; }
      const seen = (one) => one.get('ConfigMap', 'apps', 'a').data.value + ' ' + (one.get('ConfigMap', 'apps', 'b') === undefined);
      console.log(refused, seen(store), seen(open().store));
    `;
    const out = execFileSync('unshare', ['--mount', 'sh', '-c', script, 'sh', program], { timeout: 20_000 }).toString();
    assert.is(out.trim(), 'ENOSPC old true old true');
  });
}
if (process.getuid?.() === 0) test(FULL, applyToFullDisk);
else test.skip(FULL, applyToFullDisk);

test.run();
