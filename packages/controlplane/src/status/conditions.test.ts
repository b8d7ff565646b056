import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Condition, mergeConditions, type TimedCondition } from './conditions.ts';

const OWNED = new Set(['Ours', 'Also']);
const said = (type: string, status: Condition['status'], message = ''): Condition => ({
  type,
  status,
  reason: 'R',
  message,
});
const timed = (
  type: string,
  status: Condition['status'],
  lastTransitionTime: string,
  message = '',
): TimedCondition => ({ ...said(type, status, message), lastTransitionTime });

test('conditions of other writers are kept as they are, in their place', () => {
  const foreign = { ...timed('Theirs', 'False', 't0'), observedGeneration: 7 };
  assert.equal(mergeConditions([foreign], [said('Ours', 'True')], OWNED, 't1'), [foreign, timed('Ours', 'True', 't1')]);
});

test('the time changes with the status, not with the message', () => {
  assert.equal(mergeConditions([timed('Ours', 'True', 't0', 'a')], [said('Ours', 'True', 'b')], OWNED, 't1'), [
    timed('Ours', 'True', 't0', 'b'),
  ]);
  assert.equal(mergeConditions([timed('Ours', 'True', 't0')], [said('Ours', 'False')], OWNED, 't1'), [
    timed('Ours', 'False', 't1'),
  ]);
});

test('ours that no longer apply go', () => {
  assert.equal(
    mergeConditions([timed('Ours', 'True', 't0'), timed('Also', 'True', 't0')], [said('Also', 'True')], OWNED, 't1'),
    [timed('Also', 'True', 't0')],
  );
});

test.run();
