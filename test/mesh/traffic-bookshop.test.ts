// deadline: 90s
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { accessFields, REPOSITORY, TestMesh, until } from '../harness/mesh.ts';

const mesh = new TestMesh({ folders: ['examples/bookshop'] });
const readme = readFileSync(join(REPOSITORY, 'examples/bookshop/README.md'), 'utf8');
/** The commands of the README, as words behind `ambit`. */
const commands = (/```\n([^]*?)```/.exec(readme)?.[1] ?? '')
  .trim()
  .split('\n')
  .map((line) =>
    line
      .replace(/\s+#.*/, '')
      .split(' ')
      .slice(1),
  );

test.before(async () => {
  await mesh.start();
});
test.after(async () => {
  assert.equal(await mesh.stop(), [], 'left behind');
});

test('the README tells these four commands', () => {
  assert.equal(
    commands.map(([verb]) => verb),
    ['up', 'exec', 'exec', 'logs'],
  );
  assert.equal(commands[0], ['up', 'examples/bookshop']);
});

test('the shop gathers what catalog and both versions of reviews say', async () => {
  const versions = new Set<string>();
  await until('both versions', async () => {
    const ran = await mesh.cli(...(commands[1] ?? []));
    assert.is(ran.code, 0, ran.err);
    const page = JSON.parse(ran.out);
    assert.is(page.name, 'shop');
    assert.is(page.catalog.name, 'catalog');
    versions.add(page.reviews.version);
    return versions.size === 2;
  });
});

test('reviews may not read the catalog', async () => {
  const ran = await mesh.cli(...(commands[2] ?? []));
  assert.match(ran.out, /^HTTP\/1\.1 403 Forbidden[^]*RBAC: access denied$/);
});

test("the waypoint's log has both", async () => {
  const ran = await mesh.cli(...(commands[3] ?? []));
  const lines = ran.out
    .split('\n')
    .filter((line) => /"GET \/ HTTP\/1\.1"/.test(line))
    .map(accessFields);
  assert.ok(lines.some((line) => line['status'] === '403' && line['authority'] === 'catalog'));
  for (const name of ['catalog', 'reviews', 'shop'])
    assert.ok(
      lines.some(
        (line) =>
          line['status'] === '200' && line['cluster'] === `inbound-vip|80|http|${name}.bookshop.svc.cluster.local;`,
      ),
      name,
    );
});

test.run();
