import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findKind, type Kind } from '@ambit/common/model/kinds';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { ObjectStore } from '@ambit/controlplane/collections/object-store';
import { FolderSource } from '@ambit/controlplane/files/folder-source';
import { ApiClient, ValidationFailure } from './client.ts';
import type { MeshStatus } from './contract.ts';
import { type ApiServer, startApiServer } from './server.ts';

const quiet: ScopedLogger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  trace: () => {},
  enabled: () => false,
};
const folder = mkdtempSync(join(tmpdir(), 'ambit-api-'));
const socketPath = join(folder, 'api.sock');
const kind = (word: string): Kind => findKind(word) ?? assert.unreachable(word) ?? kind('pods');
const STATUS: MeshStatus = {
  version: '1',
  pid: 1,
  startedAt: '',
  rootless: false,
  stateDir: folder,
  settled: false,
  waitingFor: ['ztunnel'],
  sources: [{ folder: '/x', errors: [{ file: 'a', line: 1, column: 2, field: 'spec', message: 'm' }] }],
  programs: [{ name: 'ztunnel', ready: false, restarts: 2, detail: 'd' }],
  pods: { total: 2, ready: 1 },
  trouble: [{ namespace: 'a', name: 'b', reason: 'r', message: 'm', lastLines: ['x'] }],
  notes: ['n'],
};

let server: ApiServer;
let store: ObjectStore;
let stopped = 0;
const api = new ApiClient(socketPath);

test.before(async () => {
  store = new ObjectStore();
  const source = new FolderSource({ folders: [], stateDir: join(folder, 'state'), store });
  source.start({ watch: false });
  server = await startApiServer({
    socketPath,
    store,
    source,
    endPod: () => false,
    find: () => undefined,
    room: { path: '', baseEnv: {}, volumes: { find: () => undefined, token: () => '' } },
    status: () => STATUS,
    stop: () => void (stopped += 1),
    log: quiet,
  });
});

test.after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const map = (name: string, labels = ''): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name}, namespace: shop, labels: { ${labels} } }\ndata: { a: b }\n`;
const rejects = async (call: Promise<unknown>, pattern: RegExp): Promise<unknown> => {
  try {
    await call;
  } catch (error) {
    assert.match(String(error), pattern);
    return error;
  }
  return assert.unreachable(`expected ${pattern}`);
};

test('only its user may open the socket', () => {
  assert.is(statSync(socketPath).mode & 0o777, 0o600);
});

test('objects are applied, listed by label, labelled and deleted', async () => {
  const applied = await api.apply(`${map('one', 'x: "1"')}---\n${map('two')}`, { file: 'a.yaml' });
  assert.equal(
    applied.map((one) => `${one.kind}/${one.namespace ?? ''}/${one.name} ${one.action}`),
    ['ConfigMap/shop/one created', 'ConfigMap/shop/two created'],
  );
  const names = async (selector?: string): Promise<string[]> =>
    (await api.list(kind('cm'), 'shop', { labelSelector: selector })).map((one) => one.metadata.name);
  assert.equal(await names(), ['one', 'two']);
  assert.equal(await names('x=1'), ['one']);
  const merged = await api.merge(kind('cm'), 'shop', 'two', {
    metadata: { labels: { x: '1' }, annotations: { n: 'm' } },
  });
  assert.equal([merged.metadata.labels, merged.metadata.annotations], [{ x: '1' }, { n: 'm' }]);
  assert.equal(await names('x=1'), ['one', 'two']);
  await api.delete(kind('cm'), 'shop', 'one');
  await rejects(api.get(kind('cm'), 'shop', 'one'), /configmaps "one" not found in namespace "shop"/);
});

test('apply says what has no effect, with its place', async () => {
  const rule =
    'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d }\nspec:\n  host: a.test\n  subsets: [{ name: v1 }]\n';
  const [applied] = await api.apply(rule, { file: 'rule.yaml', dryRun: true });
  assert.is(applied?.warnings?.length, 1);
  assert.match(applied?.warnings?.[0] ?? '', 'rule.yaml:6:3: spec.subsets: subsets is accepted but has no effect here');
});

test('a dry run changes nothing', async () => {
  const applied = await api.apply(map('dry'), { file: 'a.yaml', dryRun: true });
  assert.is(applied[0]?.action, 'created');
  await rejects(api.get(kind('cm'), 'shop', 'dry'), /not found/);
});

test('refused YAML comes back with its places', async () => {
  const error = await rejects(api.apply('kind: [', { file: 'bad.yaml' }), /bad\.yaml/);
  assert.instance(error, ValidationFailure);
});

test('only labels and annotations can be patched', async () => {
  await api.apply(map('patched'), { file: 'a.yaml' });
  await rejects(
    api.merge(kind('cm'), 'shop', 'patched', { data: {}, metadata: { labels: {} } }),
    /only labels and annotations can be patched, not data/,
  );
  await rejects(
    api.merge(kind('cm'), 'shop', 'patched', { metadata: { labels: { a: 1 } } }),
    /metadata\.labels\.a: expected a string/,
  );
  await rejects(api.merge(kind('cm'), 'shop', 'absent', { metadata: { labels: { a: 'b' } } }), /not found/);
});

test('a watch ends with its reader', async () => {
  await api.apply(map('w', 'watched: "yes"'), { file: 'a.yaml' });
  const ending = new AbortController();
  const seen: string[] = [];
  for await (const { type, object } of api.watch(kind('cm'), 'shop', {
    labelSelector: 'watched',
    signal: ending.signal,
  })) {
    seen.push(`${type} ${object.metadata.name}`);
    if (type === 'ADDED') await api.merge(kind('cm'), 'shop', 'w', { metadata: { labels: { watched: 'again' } } });
    if (type === 'MODIFIED') await api.merge(kind('cm'), 'shop', 'w', { metadata: { labels: { watched: null } } });
    if (type === 'DELETED') ending.abort();
    if (seen.length === 1) assert.is(seen[0], 'ADDED w');
  }
  assert.equal(seen, ['ADDED w', 'MODIFIED w', 'DELETED w']);
});

test('the status arrives as it was sent', async () => {
  assert.equal(await api.status(), STATUS);
});

test('a stop is passed on', async () => {
  await api.stop();
  assert.is(stopped, 1);
});

test('what cannot be is refused with a sentence', async () => {
  const exec = { onStdout: () => {}, onStderr: () => {} };
  await rejects(api.exec({ namespace: 'a', pod: 'b', command: ['x'], ...exec }), /pod "b" not found in namespace "a"/);
  await rejects(api.exec({ namespace: 'a', pod: 'b', command: [], ...exec }), /no command was given/);
  await rejects(api.logs({ namespace: 'a', pod: 'b', onText: () => {} }), /pod "b" not found/);
  await rejects(api.proxy({ namespace: 'a', pod: 'b', port: 1, path: '/' }), /pod "b" not found/);
  await rejects(api.list(kind('cm'), 'shop', { labelSelector: 'a b' }), /"a b" is no label selector/);
});

test('without a mesh the client says what to do', async () => {
  await rejects(
    new ApiClient(join(folder, 'none.sock')).status(),
    /no mesh is running here .*start one with "ambit up FOLDER"/,
  );
});

const raw = (method: string, path: string, body?: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.once('error', reject);
    sent.end(body);
  });

test('foreign requests get a status and no more', async () => {
  const cases: readonly (readonly [method: string, path: string, status: number, body?: string])[] = [
    ['GET', '/nothing', 404],
    ['PUT', '/api/v1/namespaces/shop/configmaps/x', 405],
    ['PATCH', '/api/v1/namespaces/shop/configmaps/x', 400, '{'],
    ['POST', '/ambit/v1/exec', 400, 'not json\n'],
    ['POST', '/ambit/v1/exec', 400, 'no end of line'],
    ['POST', '/ambit/v1/exec', 413, 'x'.repeat(300_000)],
    ['PATCH', '/api/v1/namespaces/shop/configmaps/w', 413, ' '.repeat(1024 * 1024 + 1)],
    ['GET', '/api/v1/namespaces/shop/configmaps/w/status', 404],
  ];
  for (const [method, path, status, body] of cases)
    assert.is(await raw(method, path, body), status, `${method} ${path}`);
});

test.run();
