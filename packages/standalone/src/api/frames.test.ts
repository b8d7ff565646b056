import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameReader, encodeFrame } from './frames.ts';
import { parseLabelSelector } from './label-selector.ts';
import { parseObjectPath } from './paths.ts';

test('frames survive any cutting of the stream', () => {
  const frames = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.uint8Array({ maxLength: 50 })), { maxLength: 8 });
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 20 }), (sent, size) => {
      const bytes = Buffer.concat(sent.map(([stream, data]) => encodeFrame(stream, data)));
      const got: [number, number[]][] = [];
      const reader = new FrameReader((stream, data) => void got.push([stream, [...data]]));
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
      assert.equal(
        got,
        sent.map(([stream, data]) => [stream, [...data]]),
      );
    }),
    { numRuns: 100 },
  );
});

test('a length that no sender writes ends the reading', () => {
  const reader = new FrameReader(() => {});
  assert.throws(() => reader.push(Buffer.from([1, 0xff, 0xff, 0xff, 0xff])));
});

test('label selectors mean what kubectl means', () => {
  const labels = { app: 'web', tier: 'front' };
  const cases: readonly (readonly [selector: string, meant: boolean | undefined])[] = [
    ['', true],
    ['app=web', true],
    ['app==web,tier=front', true],
    ['app=web, tier=back', false],
    ['app!=db', true],
    ['missing!=x', true],
    ['app in (db, web)', true],
    ['app notin (db,web)', false],
    ['missing notin (a)', true],
    ['tier', true],
    ['!tier', false],
    ['!missing,app', true],
    ['app=web=x y', undefined],
    ['a b', undefined],
  ];
  for (const [selector, meant] of cases) assert.is(parseLabelSelector(selector)?.(labels), meant, selector);
});

test('paths are Kubernetes’', () => {
  const read = (path: string): string => {
    const found = parseObjectPath(path);
    return found === undefined
      ? 'none'
      : [found.kind.kind, found.namespace, found.name, found.subresource].map((one) => one ?? '-').join(' ');
  };
  const cases: readonly (readonly [path: string, read: string])[] = [
    ['/api/v1/namespaces', 'Namespace - - -'],
    ['/api/v1/namespaces/shop', 'Namespace - shop -'],
    ['/api/v1/pods', 'Pod - - -'],
    ['/api/v1/namespaces/shop/pods', 'Pod shop - -'],
    ['/api/v1/namespaces/shop/pods/a', 'Pod shop a -'],
    ['/api/v1/namespaces/shop/pods/a/log', 'Pod shop a log'],
    ['/apis/apps/v1/namespaces/shop/deployments/web', 'Deployment shop web -'],
    ['/apis/networking.istio.io/v1beta1/serviceentries', 'ServiceEntry - - -'],
    ['/api/v1/namespaces/a%2Fb/pods/x%20y', 'Pod a/b x y -'],
    ['/api/v1/pods/a', 'none'],
    ['/api/v2/pods', 'none'],
    ['/apis/apps/v1/namespaces/shop/pods', 'none'],
    ['/api/v1/namespaces/shop/nodes', 'none'],
    ['/api/v1/namespaces/shop/pods/a/log/more', 'none'],
    ['/', 'none'],
    ['/api/v1/namespaces/%/pods', 'none'],
  ];
  for (const [path, expected] of cases) assert.is(read(path), expected, path);
});

test.run();
