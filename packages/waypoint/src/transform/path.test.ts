import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { normalizePath, withoutQuery } from './path.ts';

const SAME = '=';
/** What Envoy 1.39 makes of each path; `=` repeats the column before, undefined is a refusal. */
const TABLE: readonly (readonly [
  input: string,
  base: string | undefined,
  merge: string | undefined,
  decode: string | undefined,
])[] = [
  ['/a/../b', '/b', SAME, SAME],
  ['/a/%2e%2e/b', '/b', SAME, SAME],
  ['/a/%2E./b', '/b', SAME, SAME],
  ['/a\\..\\b', '/b', SAME, SAME],
  ['/a/./b', '/a/b', SAME, SAME],
  ['/a/%2e/b', '/a/b', SAME, SAME],
  ['/a/b/..', '/a/', SAME, SAME],
  ['/a/b/.', '/a/b/', SAME, SAME],
  ['/a/..', '/', SAME, SAME],
  ['/../a', '/a', SAME, SAME],
  ['/a/../../b', '/b', SAME, SAME],
  ['/a/b/../../../', '/', SAME, SAME],
  ['/a\\b', '/a/b', SAME, SAME],
  ['//a', '//a', '/a', SAME],
  ['/a//b', '/a//b', '/a/b', SAME],
  ['/a///b//', '/a///b//', '/a/b/', SAME],
  ['/a//../b', '/a/b', SAME, SAME],
  ['/a/..//b', '//b', '/b', SAME],
  ['/a%2fb', '/a%2fb', SAME, '/a/b'],
  ['/a%2Fb', '/a%2Fb', SAME, '/a/b'],
  ['/a%5cb', '/a%5cb', SAME, '/a/b'],
  ['/a%2f..%2fb', '/a%2f..%2fb', SAME, '/b'],
  ['/a%5c..%5cb', '/a%5c..%5cb', SAME, '/b'],
  ['/a/%2e%2e%2fb', '/a/..%2fb', SAME, '/b'],
  ['/a%2f%2fb', '/a%2f%2fb', SAME, '/a/b'],
  ['/%2f%2f', '/%2f%2f', SAME, '//'],
  ['/%41%7e%2d', '/A~-', SAME, SAME],
  ...['/%25', '/%252e', '/%252f', '/%zz', '/%', '/%c3%a9', '/a%20b', '/a%3fb', '/a%23b'].map(
    (path): [string, string, string, string] => [path, path, SAME, SAME],
  ),
  ['/"<>^`{|}', '/%22%3C%3E%5E%60%7B%7C%7D', SAME, SAME],
  ['/%00', undefined, undefined, undefined],
  ['/a%00b', undefined, undefined, undefined],
  ['/a#frag', '/a', SAME, SAME],
  ['/a/../b?x=1#f', '/b?x=1', SAME, SAME],
  ['/a/#/../b', '/a/', SAME, SAME],
  ['/a?b=/../c', '/a?b=/../c', SAME, SAME],
  ['/a;x=1/../b', '/b', SAME, SAME],
  ['/a?', '/a?', SAME, SAME],
  ['/A/B', '/A/B', SAME, SAME],
  ['/a/.hidden/b..c', '/a/.hidden/b..c', SAME, SAME],
];

for (const [input, base, merge, decode] of TABLE) {
  test(`normalises ${input}`, () => {
    const expectMerge = merge === SAME ? base : merge;
    assert.is(normalizePath(input, 'BASE'), base);
    assert.is(normalizePath(input, 'MERGE_SLASHES'), expectMerge);
    assert.is(normalizePath(input, 'DECODE_AND_MERGE_SLASHES'), decode === SAME ? expectMerge : decode);
    assert.is(normalizePath(input, 'NONE'), input.split('#')[0]);
  });
}

test('normalising twice changes nothing more, except where decoding reveals new escapes', () => {
  for (const [input] of TABLE) {
    const once = normalizePath(input, 'BASE');
    if (once !== undefined) assert.is(normalizePath(once, 'BASE'), once);
  }
});

test('a path is matched without its query', () => {
  assert.is(withoutQuery('/a?b?c'), '/a');
  assert.is(withoutQuery('/a'), '/a');
});

test.run();
