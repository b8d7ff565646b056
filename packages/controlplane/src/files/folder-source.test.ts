import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ObjectStore } from '../collections/object-store.ts';
import { FolderSource } from './folder-source.ts';
import { ValidationErrors } from './validate.ts';

interface Context {
  root: string;
  folder: string;
  write: (name: string, text: string) => void;
  open: () => { source: FolderSource; store: ObjectStore };
}

const test = suite<Context>('folder source');
test.before.each((context) => {
  const root = mkdtempSync(join(tmpdir(), 'ambit-folder-'));
  const folder = join(root, 'mesh');
  mkdirSync(folder);
  let clock = Date.UTC(2026, 10, 21);
  Object.assign(context, {
    root,
    folder,
    write: (name: string, text: string) => writeFileSync(join(folder, name), text),
    open: () => {
      const store = new ObjectStore();
      const source = new FolderSource({
        folders: [folder],
        stateDir: join(root, 'state'),
        store,
        now: () => (clock += 1000),
      });
      source.start({ watch: false });
      return { source, store };
    },
  });
});
test.after.each(({ root }) => rmSync(root, { recursive: true, force: true }));

const account = (name: string, namespace = 'apps'): string =>
  `apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: ${name}\n  namespace: ${namespace}\n`;
const service = (port: number): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: apps}\nspec:\n  ports:\n  - port: ${port}\n`;
const portOf = (store: ObjectStore): unknown => store.get('Service', 'apps', 'web')?.spec?.['ports'];

test('objects of a folder are stored with their implied namespaces', ({ write, open }) => {
  write('a.yaml', `${account('web')}---\n${service(80)}`);
  write('b.json', '{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"plain"}}');
  write('notes.txt', 'not an object');
  const { store, source } = open();
  assert.equal(source.errors(), []);
  assert.ok(store.get('ServiceAccount', 'apps', 'web')?.metadata.uid);
  assert.ok(store.get('ServiceAccount', 'default', 'plain'));
  assert.equal([...store.list('Namespace')].map((one) => one.metadata.name).sort(), [
    'apps',
    'default',
    'istio-system',
    'kube-system',
  ]);
  assert.equal(store.get('Namespace', undefined, 'apps')?.metadata.labels, { 'kubernetes.io/metadata.name': 'apps' });
});

test('a file that turns bad keeps its whole last good set, with the place of the mistake', ({
  write,
  open,
  folder,
}) => {
  write('a.yaml', `${account('web')}---\n${service(80)}`);
  const { store, source } = open();
  write('a.yaml', `${account('other')}---\n${service(80).replace('- port: 80', '- port: eighty')}`);
  source.scan();
  assert.ok(store.get('ServiceAccount', 'apps', 'web'), 'last good object');
  assert.is(store.get('ServiceAccount', 'apps', 'other'), undefined, 'not half applied');
  assert.equal(source.errors(), [
    {
      file: join(folder, 'a.yaml'),
      line: 12,
      column: 11,
      field: 'spec.ports[0].port',
      message: 'expected an integer from 1 to 65535, found the text "eighty"',
    },
  ]);
  write('a.yaml', account('other'));
  source.scan();
  assert.equal(source.errors(), []);
  assert.is(store.get('ServiceAccount', 'apps', 'web'), undefined);
  assert.ok(store.get('ServiceAccount', 'apps', 'other'));
});

test('an object in two files is refused in the second', ({ write, open, folder }) => {
  write('a.yaml', service(80));
  write('b.yaml', service(81));
  const { store, source } = open();
  assert.equal(portOf(store), [{ port: 80 }]);
  assert.match(source.errors()[0]?.message ?? '', `Service web is there already in ${join(folder, 'a.yaml')}:1`);
});

test('apply is all or nothing and says what it did', ({ open }) => {
  const { store, source } = open();
  assert.throws(
    () => source.apply(`${account('web')}---\n${account('Bad_Name')}`, 'x.yaml'),
    (error: unknown) =>
      error instanceof ValidationErrors && error.errors[0]?.line === 10 && error.errors[0].field === 'metadata.name',
  );
  assert.is(store.get('ServiceAccount', 'apps', 'web'), undefined);
  const actions = (text: string): string[] => source.apply(text, 'x.yaml').map((one) => one.action);
  assert.equal(source.apply(service(80), 'x.yaml', { dryRun: true })[0]?.action, 'created');
  assert.is(portOf(store), undefined);
  assert.equal(actions(`${account('web')}---\n${service(80)}`), ['created', 'created']);
  assert.equal(actions(`${account('web')}---\n${service(81)}`), ['unchanged', 'configured']);
  assert.equal(portOf(store), [{ port: 81 }]);
});

test('fields without effect are said of files and of what was applied, as long as they are in force', async ({
  write,
  open,
}) => {
  const entry = (name: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ${name}, namespace: apps}\nspec:\n  hosts: [${name}.test]\n  exportTo: ["."]\n`;
  write('a.yaml', entry('a'));
  const first = open();
  const [applied] = first.source.apply(entry('b'), 'b.yaml');
  assert.match(applied?.warnings[0] ?? '', 'b.yaml:6:3: spec.exportTo: exportTo is accepted');
  const { source } = open();
  const said = (): string[] => source.warnings().map((one) => `${one.file.split('/').at(-1)}: ${one.field}`);
  assert.equal(said(), ['a.yaml: spec.exportTo', 'b: spec.exportTo']);
  await source.delete('ServiceEntry', 'apps', 'b');
  assert.equal(said(), ['a.yaml: spec.exportTo']);
});

test('what was applied lies over the folder and survives a restart; a later edit of the folder wins', ({
  write,
  open,
}) => {
  write('a.yaml', service(80));
  const first = open();
  first.source.apply(service(81), 'x.yaml');
  const second = open();
  assert.equal(portOf(second.store), [{ port: 81 }]);
  write('a.yaml', service(8080));
  second.source.scan();
  assert.equal(portOf(second.store), [{ port: 8080 }]);
  assert.equal(portOf(open().store), [{ port: 8080 }]);
});

test('a deleted object of the folder stays deleted until it is edited or applied', async ({ write, open }) => {
  write('a.yaml', service(80));
  const first = open();
  await first.source.delete('Service', 'apps', 'web');
  assert.is(portOf(first.store), undefined);
  const second = open();
  assert.is(portOf(second.store), undefined);
  write('a.yaml', service(8080));
  second.source.scan();
  assert.equal(portOf(second.store), [{ port: 8080 }]);
});

test('deleting a namespace deletes what is in it', async ({ write, open }) => {
  write('a.yaml', `${account('web')}---\n${service(80)}`);
  const { store, source } = open();
  await source.delete('Namespace', undefined, 'apps');
  assert.is(portOf(store), undefined);
  assert.is(store.get('Namespace', undefined, 'apps'), undefined);
});

test('labels are set, removed and kept over restarts and over edits of the folder', ({ write, open }) => {
  write('a.yaml', service(80));
  const first = open();
  first.source.merge('Service', 'apps', 'web', { labels: { a: '1', b: '2' } });
  first.source.merge('Service', 'apps', 'web', { labels: { b: null } });
  first.source.merge('Namespace', undefined, 'apps', { labels: { 'istio.io/dataplane-mode': 'ambient' } });
  const second = open();
  write('a.yaml', service(81));
  second.source.scan();
  assert.equal(second.store.get('Service', 'apps', 'web')?.metadata.labels, { a: '1' });
  assert.is(second.store.get('Namespace', undefined, 'apps')?.metadata.labels?.['istio.io/dataplane-mode'], 'ambient');
  assert.throws(
    () => second.source.merge('Service', 'apps', 'web', { labels: { 'a b': 'c' } }),
    (error: unknown) => error instanceof ValidationErrors,
  );
});

test('an applied object that states a label overrides the one that was set', ({ open }) => {
  const { store, source } = open();
  const namespace = (label: string): string =>
    `apiVersion: v1\nkind: Namespace\nmetadata: {name: apps, labels: {mode: ${label}}}\n`;
  source.apply(namespace('a'), 'x.yaml');
  source.merge('Namespace', undefined, 'apps', { labels: { mode: 'b', other: 'c' } });
  source.apply(namespace('d'), 'x.yaml');
  const labels = store.get('Namespace', undefined, 'apps')?.metadata.labels;
  assert.is(labels?.['mode'], 'd');
  assert.is(labels?.['other'], 'c');
});

test('uid, creation time and status survive a restart; generation counts edits of the spec', async ({
  write,
  open,
}) => {
  write('a.yaml', service(80));
  const first = open();
  await first.source.patchStatus('Service', 'apps', 'web', { conditions: [{ type: 'X' }] });
  const before = first.store.get('Service', 'apps', 'web');
  const second = open();
  assert.equal(second.store.get('Service', 'apps', 'web'), before);
  write('a.yaml', service(81));
  second.source.scan();
  second.source.merge('Service', 'apps', 'web', { labels: { a: '1' } });
  const after = second.store.get('Service', 'apps', 'web');
  assert.is(after?.metadata.uid, before?.metadata.uid);
  assert.is(after?.metadata.creationTimestamp, before?.metadata.creationTimestamp);
  assert.is(after?.metadata.generation, 2);
  assert.equal(after?.status, { conditions: [{ type: 'X' }] });
});

test('a status that says the same is not written again', async ({ write, open }) => {
  write('a.yaml', service(80));
  const { store, source } = open();
  await source.patchStatus('Service', 'apps', 'web', { a: 1 });
  const before = store.get('Service', 'apps', 'web');
  await source.patchStatus('Service', 'apps', 'web', { a: 1 });
  assert.is(store.get('Service', 'apps', 'web'), before);
});

test('a broken file at start does not cost its objects their status', async ({ write, open }) => {
  write('a.yaml', service(80));
  const first = open();
  await first.source.patchStatus('Service', 'apps', 'web', { kept: true });
  write('a.yaml', 'a: [');
  assert.is(open().source.errors().length, 1);
  write('a.yaml', service(80));
  assert.equal(open().store.get('Service', 'apps', 'web')?.status, { kept: true });
});

test('a status without anything left is gone', async ({ write, open }) => {
  write('a.yaml', service(80));
  const { store, source } = open();
  await source.patchStatus('Service', 'apps', 'web', { conditions: [{ type: 'X' }] });
  await source.patchStatus('Service', 'apps', 'web', { conditions: null });
  assert.is(store.get('Service', 'apps', 'web')?.status, undefined);
});

test('a change of the folder is seen without being asked', async ({ write, open, folder }) => {
  write('a.yaml', service(80));
  const { source, store } = open();
  source.start();
  write('b.yaml', account('late'));
  // The source keeps no process alive; the test does until the change is seen.
  const alive = setInterval(() => undefined, 1000);
  await new Promise<void>((resolve) => store.subscribe(() => resolve()));
  clearInterval(alive);
  assert.ok(store.get('ServiceAccount', 'apps', 'late'), folder);
  source.close();
});

test('sub-folders and hidden files are left alone unless asked for', ({ root, folder, write }) => {
  mkdirSync(join(folder, 'steps'));
  write('steps/later.yaml', account('later'));
  write('.hidden.yaml', account('hidden'));
  const names = (recursive: boolean): string[] => {
    const store = new ObjectStore();
    new FolderSource({ folders: [folder], recursive, stateDir: join(root, `state-${recursive}`), store }).start({
      watch: false,
    });
    return [...store.list('ServiceAccount')].map((one) => one.metadata.name);
  };
  assert.equal(names(false), []);
  assert.equal(names(true), ['later']);
});

test('pods of others are patched and deleted in memory only', async ({ open, root }) => {
  const { store, source } = open();
  store.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'apps', uid: 'u' },
      status: { phase: 'Running' },
    },
  ]);
  source.merge('Pod', 'apps', 'p', { annotations: { 'ambient.istio.io/redirection': 'enabled' } });
  await source.patchStatus('Pod', 'apps', 'p', { podIP: '10.0.0.1' });
  const pod = store.get('Pod', 'apps', 'p');
  assert.equal(pod?.metadata.annotations, { 'ambient.istio.io/redirection': 'enabled' });
  assert.equal(pod?.status, { phase: 'Running', podIP: '10.0.0.1' });
  assert.not(readdirSync(join(root, 'state', 'status')).includes('pods'));
  await source.delete('Pod', 'apps', 'p');
  assert.is(store.get('Pod', 'apps', 'p'), undefined);
});

test('stored files are for their owner only', ({ open, root }) => {
  const { source } = open();
  source.apply('apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hidden}\n', 'x.yaml');
  assert.is(statSync(join(root, 'state/objects/secrets/default/s.yaml')).mode & 0o777, 0o600);
});

test('every object passes admission', ({ root, folder, write }) => {
  write('a.yaml', service(80));
  const store = new ObjectStore();
  const source = new FolderSource({
    folders: [folder],
    stateDir: join(root, 'state'),
    store,
    admit: (object) =>
      object.kind === 'Service' ? { ...object, spec: { ...object.spec, clusterIP: '10.96.0.20' } } : object,
  });
  source.start({ watch: false });
  assert.is(store.get('Service', 'apps', 'web')?.spec?.['clusterIP'], '10.96.0.20');
  assert.is(source.apply(service(80), 'x.yaml')[0]?.action, 'unchanged');
});

test.run();
