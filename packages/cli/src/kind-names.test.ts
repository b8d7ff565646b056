import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from './command.ts';
import { needKind, splitKinds } from './kind-names.ts';
import { nearest } from './suggest.ts';

for (const [word, kind] of [
  ['se', 'ServiceEntry'],
  ['ServiceEntries', 'ServiceEntry'],
  ['serviceentries.networking.istio.io', 'ServiceEntry'],
  ['deployment.apps', 'Deployment'],
  ['gtw', 'Gateway'],
  ['ap', 'AuthorizationPolicy'],
] as const) {
  test(`${word} means ${kind}`, () => assert.is(needKind(word).kind, kind));
}

for (const [word, message] of [
  ['servics', 'the mesh has no kind "servics"; did you mean "services" or "service"?'],
  ['pods.apps', 'the mesh has no kind "pods.apps"; kinds are: waypoints, namespaces, '],
] as const) {
  test(`${word} is no kind`, () => {
    assert.throws(
      () => needKind(word),
      (error: Error) => error instanceof UsageError && error.message.startsWith(message),
    );
  });
}

for (const [words, expected] of [
  ['pods', 'pods:'],
  ['pods,svc a b', 'pods:a,b svc:a,b'],
  ['pod/a svc/b pod/c', 'pod:a,c svc:b'],
] as const) {
  test(`get ${words}`, () => {
    const groups = splitKinds(words.split(' ')).map((one) => `${one.word}:${one.names.join(',')}`);
    assert.is(groups.join(' '), expected);
  });
}

test('all stands for what people write', () => {
  const words = splitKinds(['all']).map((one) => one.word);
  assert.ok(words.includes('serviceentries') && words.includes('waypoints') && words.includes('pods'));
});

test('with one KIND/NAME, every word has that form', () => {
  for (const words of [['pod/a', 'b'], ['pod/'], ['pod/a/b']])
    assert.throws(() => splitKinds(words), /is no KIND\/NAME/);
});

for (const [word, expected] of [
  ['aply', ['apply']],
  ['wayp', ['waypoint']],
  ['gte', ['get']],
  ['xyz', []],
] as const) {
  test(`nearest to ${word}`, () => assert.equal(nearest(word, ['apply', 'get', 'waypoint', 'status']), expected));
}

test.run();
