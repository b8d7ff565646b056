import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Balanced, choose } from './balance.ts';

interface Named extends Balanced {
  readonly name: string;
}
const endpoint = (name: string, weight: number, active = 0): Named => ({ name, weight, load: { active, credit: 0 } });

/** Numbers in [0, 1) that repeat on every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shares(
  policy: 'RANDOM' | 'ROUND_ROBIN' | 'LEAST_REQUEST',
  weights: readonly number[],
  picks: number,
): number[] {
  const all = weights.map((weight, i) => endpoint(String(i), weight));
  const random = seeded(7);
  const counts = weights.map(() => 0);
  for (let i = 0; i < picks; i++) {
    const chosen = choose(policy, all, random);
    const at = Number(chosen?.name);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return counts.map((count) => count / picks);
}

test('weights are shares, whatever the policy', () => {
  for (const policy of ['RANDOM', 'ROUND_ROBIN', 'LEAST_REQUEST'] as const) {
    const got = shares(policy, [1, 2, 5, 0], 20_000);
    for (const [i, share] of [1 / 8, 2 / 8, 5 / 8, 0].entries())
      assert.ok(Math.abs((got[i] ?? 1) - share) < 0.02, `${policy} ${i}: ${got[i]}`);
  }
});

test('round robin spreads evenly and interleaves', () => {
  const all = [endpoint('a', 2), endpoint('b', 1)];
  const order = Array.from({ length: 6 }, () => choose('ROUND_ROBIN', all, () => 0)?.name).join('');
  assert.is(order, 'abaaba');
});

test('least request takes the less loaded of two, in proportion to weight', () => {
  const pick = (all: readonly Named[], ...numbers: number[]): string | undefined =>
    choose('LEAST_REQUEST', all, () => numbers.shift() ?? 0)?.name;
  assert.is(pick([endpoint('a', 1, 3), endpoint('b', 1, 1)], 0, 0.9), 'b');
  assert.is(pick([endpoint('a', 1, 1), endpoint('b', 1, 3)], 0.9, 0), 'a');
  assert.is(pick([endpoint('a', 4, 3), endpoint('b', 1, 1)], 0, 0.9), 'a');
});

test('nothing with weight means nothing to choose', () => {
  for (const policy of ['RANDOM', 'ROUND_ROBIN', 'LEAST_REQUEST', 'PASSTHROUGH'] as const) {
    assert.is(choose(policy, [], Math.random), undefined);
    assert.is(choose(policy, [endpoint('a', 0)], Math.random), undefined);
    assert.is(choose(policy, [endpoint('a', 0), endpoint('b', 0)], Math.random), undefined);
    assert.is(choose(policy, [endpoint('a', 0), endpoint('b', 3)], () => 0.999)?.name, 'b');
  }
});

test.run();
