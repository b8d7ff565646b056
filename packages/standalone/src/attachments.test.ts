import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseOutside } from './attachments.ts';

test('an outside address brings its prefix and its router', () => {
  const [first, second] = parseOutside('203.0.113.10/24, 2001:db8::5/64');
  assert.equal([first?.ip, first?.prefix.length, first?.router], ['203.0.113.10', 24, '203.0.113.1']);
  assert.equal([second?.ip, second?.router], ['2001:db8::5', '2001:db8::1']);
});

test('what is no address outside is refused with an example', () => {
  for (const bad of ['203.0.113.10', 'x/24', '', '203.0.113.10/40'])
    assert.throws(
      () => parseOutside(bad),
      (error: Error) => error.message.includes('such as 203.0.113.10/24'),
      bad,
    );
  for (const own of ['10.244.3.4/24', '10.96.0.9/24'])
    assert.throws(
      () => parseOutside(own),
      (error: Error) => error.message.includes("cluster's own range"),
      own,
    );
});

test.run();
