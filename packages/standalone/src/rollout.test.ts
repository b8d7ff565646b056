import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type RolloutPod, planRollout } from './rollout.ts';

/** `n1+`: current and ready; `n1-`: current, not ready; `o1+`, `o1-`: of the old template; a trailing `x`: ending. */
const pods = (text: string): RolloutPod[] =>
  text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => ({
      name: word.slice(0, 2),
      current: word.startsWith('n'),
      ready: word[2] === '+',
      ending: word.endsWith('x'),
    }));

const cases: readonly (readonly [replicas: number, before: string, create: number, remove: string])[] = [
  [2, '', 2, ''],
  [2, 'n1- n2-', 0, ''],
  [2, 'n1+ n2+', 0, ''],
  [0, 'n1+', 0, 'n1'],
  [1, 'n1+ n2-', 0, 'n2'],
  [2, 'n1+', 1, ''],
  [2, 'n1+ n2+x', 1, ''],
  [2, 'o1+ o2+', 2, ''],
  [2, 'o1+ o2+ n1- n2-', 0, ''],
  [2, 'o1+ o2+ n1+ n2-', 0, 'o1'],
  [2, 'o1+ o2- n1- n2-', 0, 'o2'],
  [2, 'o1+ o2+ n1+ n2+', 0, 'o1 o2'],
];

test('a rollout keeps as many pods ready as are wanted', () => {
  for (const [replicas, before, create, remove] of cases)
    assert.equal(
      planRollout({ replicas, recreate: false, pods: pods(before) }),
      { create, remove: remove.split(' ').filter((name) => name !== '') },
      before,
    );
});

test('recreate makes nothing new before the old is gone', () => {
  assert.equal(planRollout({ replicas: 1, recreate: true, pods: pods('o1+') }), { create: 0, remove: ['o1'] });
  assert.equal(planRollout({ replicas: 1, recreate: true, pods: pods('o1+x') }), { create: 0, remove: [] });
  assert.equal(planRollout({ replicas: 1, recreate: true, pods: pods('') }), { create: 1, remove: [] });
});

test.run();
