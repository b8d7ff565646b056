import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MeshError } from '@ambit/common/errors';
import { stopMesh } from './down.ts';
import { type StartOptions, startMesh } from './up.ts';

const root = mkdtempSync(join(tmpdir(), 'ambit-up-'));
const stateDir = join(root, 'state');
test.after(() => rmSync(root, { recursive: true }));

const cases: readonly (readonly [name: string, options: Partial<StartOptions>, problem: RegExp])[] = [
  [
    'no such folder',
    { folders: ['/no/such/folder'] },
    /^\/no\/such\/folder does not exist: name a folder or a file of YAML$/,
  ],
  ['state under /run', { stateDir: '/run/ambit-test' }, /\/run\/ambit-test lies under \/run.*--state/],
  ['a path too long for sockets', { stateDir: join(root, 'x'.repeat(100)) }, /too long for sockets.*--state/],
  ['a name server that is a name', { dns: ['dns.example'] }, /--dns dns\.example is not an IP address/],
  ['two lacks at once', { folders: ['/no/such'], dns: ['x'] }, /does not exist.*\n.*--dns x/],
];

test('what is wrong is said before anything is made', async () => {
  for (const [name, options, problem] of cases) {
    const wanted = { folders: [root], stateDir, ...options };
    const error = await startMesh(wanted).then(
      () => assert.unreachable(name),
      (caught: unknown) => caught,
    );
    assert.instance(error, MeshError, name);
    assert.match(error instanceof Error ? error.message : '', problem, name);
    assert.not(existsSync(wanted.stateDir), name);
  }
});

test('a state folder that cannot be made is one sentence', async () => {
  writeFileSync(join(root, 'file'), '');
  const error = await startMesh({ folders: [root], stateDir: join(root, 'file', 'state') }).catch(
    (caught: unknown) => caught,
  );
  assert.match(error instanceof Error ? error.message : '', /cannot be used \(.*\): choose another with --state/);
});

test('down without a mesh does nothing', async () => {
  assert.equal(await stopMesh({ stateDir: join(root, 'never') }), { running: false, forced: false, removed: [] });
});

test.run();
