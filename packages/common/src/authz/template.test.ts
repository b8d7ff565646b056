import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isPathTemplate, parsePathTemplate } from './template.ts';

const ROWS: readonly [template: string, matches: readonly string[], not: readonly string[]][] = [
  [
    '/pre/{*}',
    ['/pre/a', '/pre/a;b=c', "/pre/a@b:c+d'e", '/pre/%41%2F'],
    ['/pre/', '/pre', '/pre/a/', '/pre/a/b', '/Pre/a', 'pre/a', ''],
  ],
  [
    '/allow/admin/{**}',
    ['/allow/admin/', '/allow/admin/a/b', '/allow/admin//'],
    ['/allow/admin', '/allow/adminx', '/allow'],
  ],
  [
    '/store/{**}/cart',
    ['/store//cart', '/store/a/cart', '/store/a/b/cart', '/store/cart/cart'],
    ['/store/cart', '/store//cart/', '/store/acart'],
  ],
  ['/{*}/x/{**}', ['/a/x/', '/a/x/y/z'], ['//x/', '/a/x', '/a/b/x/']],
  ['/{*}', ['/a'], ['/', '/a/b']],
  ['/{**}', ['/', '/a/b/c'], ['', 'a']],
  ['/a/{*}/b/{*}/c', ['/a/1/b/2/c'], ['/a/1/b/2/c/', '/a/1/x/b/2/c']],
];

test('{*} is one non-empty segment, {**} anything between its slashes (WP-109)', () => {
  for (const [text, matches, not] of ROWS) {
    const template = parsePathTemplate(text);
    assert.ok(template !== undefined, text);
    for (const path of matches) assert.ok(template.matches(path), `${text} matches ${path}`);
    for (const path of not) assert.not(template.matches(path), `${text} does not match ${path}`);
  }
});

test('a template that breaks a rule is refused', () => {
  for (const bad of [
    'a/{*}',
    '/a{*}',
    '/{*}b',
    '/{**}/{*}',
    '/{**}/{**}',
    '/{x}/{*}',
    '/a b/{*}',
    '/{*}/%4',
    '/a/{*',
    '',
  ])
    assert.is(parsePathTemplate(bad), undefined, bad);
  assert.ok(isPathTemplate('/{*}*'));
  assert.not(isPathTemplate('/a*'));
});

test('a long path is matched in linear time', () => {
  const template = parsePathTemplate('/{*}/{**}/z');
  const path = '/a'.repeat(100_000);
  const start = performance.now();
  assert.not(template?.matches(path));
  assert.ok(performance.now() - start < 200);
});

test('a template agrees with the regular expression that defines it', () => {
  const segment = fc.constantFrom('a', 'b', '', '{*}');
  const path = fc.array(fc.constantFrom('a', 'b', 'ab', ''), { maxLength: 6 }).map((parts) => `/${parts.join('/')}`);
  const templates = fc
    .tuple(fc.array(segment, { maxLength: 4 }), fc.option(fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 })))
    .map(([head, tail]) => `/${[...head, ...(tail === null ? [] : ['{**}', ...tail])].join('/')}`);
  fc.assert(
    fc.property(templates, path, (text, tried) => {
      const source = text.replaceAll('{**}', '.*').replaceAll('{*}', '[^/]+');
      assert.is(parsePathTemplate(text)?.matches(tried), new RegExp(`^${source}$`).test(tried), `${text} of ${tried}`);
    }),
    { numRuns: 2000 },
  );
});

test.run();
