import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Refusals } from './refusals.ts';

test('few refusals have a line each, a flood is counted and told of', () => {
  const lines: string[] = [];
  let now = 0;
  const refusals = new Refusals(
    { warn: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`) },
    () => now,
  );
  for (let i = 0; i < 10_000; i++) refusals.refused('connection refused', { n: i });
  assert.is(lines.length, 20);
  assert.is(lines[19], 'connection refused {"n":19}');
  refusals.refused('tunnel refused', {});
  now += 9999;
  refusals.tick();
  assert.is(lines.length, 20);
  now += 1;
  refusals.tick();
  assert.equal(lines.slice(20), [
    'further refusals were not logged {"what":"connection refused","count":9980,"seconds":10}',
    'further refusals were not logged {"what":"tunnel refused","count":1,"seconds":10}',
  ]);
  refusals.refused('tunnel refused', { again: true });
  assert.is(lines.at(-1), 'tunnel refused {"again":true}');
});

test.run();
