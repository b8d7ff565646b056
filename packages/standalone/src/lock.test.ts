import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type LockHolder, identify, livingHolder, removeLock, takeLock } from './lock.ts';

const folder = mkdtempSync(join(tmpdir(), 'ambit-lock-'));
test.before.each(() => rmSync(join(folder, 'lock'), { force: true }));
test.after(() => rmSync(folder, { recursive: true }));

const self = (): LockHolder =>
  identify(process.pid) ?? assert.unreachable('this process lives') ?? { pid: 0, startTime: '', bootId: '' };

test('a lock is held by the living only', () => {
  assert.is(takeLock(folder, self()), undefined);
  assert.equal(takeLock(folder, self()), self());
  assert.ok(removeLock(folder));
  assert.not(removeLock(folder));
});

test('a dead holder, a reused id, another boot and half a file are taken over', () => {
  const dead = [
    { ...self(), pid: 2 ** 30 },
    { ...self(), startTime: '1' },
    { ...self(), bootId: 'another' },
  ];
  for (const holder of dead) {
    writeFileSync(join(folder, 'lock'), JSON.stringify(holder));
    assert.is(livingHolder(folder), undefined);
    assert.is(takeLock(folder, self()), undefined, JSON.stringify(holder));
  }
  writeFileSync(join(folder, 'lock'), '{"pid":');
  assert.is(takeLock(folder, self()), undefined);
  assert.match(readFileSync(join(folder, 'lock'), 'utf8'), new RegExp(`"pid":${process.pid}`));
});

test.run();
