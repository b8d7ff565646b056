import { status } from '@grpc/grpc-js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DeltaResponse, WireResource } from './discovery.ts';
import { ReconnectPolicy, type StreamOutcome } from './reconnect.ts';
import { type Rejection, Subscription } from './subscription.ts';
import { ADDRESS, AUTHORIZATION } from './type-urls.ts';

const resource = (name: string, version = 'v1', aliases: string[] = []): WireResource => ({
  name,
  version,
  aliases,
  resource: { type_url: ADDRESS, value: Uint8Array.of(1) },
});

const response = (resources: WireResource[], removedResources: string[] = []): DeltaResponse => ({
  typeUrl: ADDRESS,
  nonce: 'n',
  systemVersionInfo: '',
  resources,
  removedResources,
});

const subscription = (onDemand: boolean, reject: (name: string) => boolean = () => false): Subscription =>
  new Subscription({
    typeUrl: ADDRESS,
    onDemand,
    onUpdate: (resources): Rejection[] =>
      resources.filter(({ name }) => reject(name)).map(({ name }) => ({ name, reason: 'bad' })),
  });

test('ZT-XDS-02 on demand, Address asks for nothing yet; Authorization is a wildcard', () => {
  const first = subscription(true).firstRequest();
  assert.equal(first.resourceNamesSubscribe, ['*']);
  assert.equal(first.resourceNamesUnsubscribe, ['*']);
  const wildcard = new Subscription({ typeUrl: AUTHORIZATION, onUpdate: () => [] }).firstRequest();
  assert.equal(wildcard.resourceNamesSubscribe, []);
  assert.equal(wildcard.resourceNamesUnsubscribe, []);
});

test('ZT-XDS-03 the first stream says nothing is held, later ones name every version', () => {
  const one = subscription(false);
  assert.equal(one.firstRequest().initialResourceVersions, {});
  one.receive(response([resource('a', '1'), resource('b', '2')]));
  one.receive(response([resource('a', '3')], ['b']));
  assert.equal(one.firstRequest().initialResourceVersions, { a: '3' });
});

test('ZT-XDS-04, 11 a bad resource is NACKed and not held; the good ones are', () => {
  const one = subscription(false, (name) => name.startsWith('bad'));
  const answer = one.receive(response([resource('good'), resource('bad1'), resource('bad2')]));
  assert.equal(answer, { typeUrl: ADDRESS, responseNonce: 'n', errorDetail: { message: 'bad1: bad; bad2: bad' } });
  assert.equal(one.firstRequest().initialResourceVersions, { good: 'v1' });
  assert.not.ok(one.acknowledged);
  assert.equal(one.receive(response([])), { typeUrl: ADDRESS, responseNonce: 'n' });
  assert.ok(one.acknowledged);
});

test('an update that turns bad keeps the version of the good one', () => {
  let good = true;
  const one = subscription(false, () => !good);
  one.receive(response([resource('a', '1')]));
  good = false;
  one.receive(response([resource('a', '2')]));
  assert.equal(one.firstRequest().initialResourceVersions, { a: '1' });
});

test('a resource without a body and a receiver that throws are rejections, not the end of the stream', () => {
  const empty = { ...resource('a'), resource: null };
  assert.is(subscription(false).receive(response([empty])).errorDetail?.message, 'a: resource has no body');
  const broken = new Subscription({
    typeUrl: ADDRESS,
    onUpdate: () => {
      throw new Error('bug');
    },
  });
  assert.is(broken.receive(response([resource('a')])).errorDetail?.message, 'a: bug');
});

test('demands: one request per name, all who wait are woken by name, alias or removal; they survive a reconnect', async () => {
  const one = subscription(true);
  const byName = one.demand('u1');
  assert.equal(byName.request, { typeUrl: ADDRESS, resourceNamesSubscribe: ['u1'] });
  const again = one.demand('u1');
  assert.is(again.request, undefined);
  const byAlias = one.demand('/10.0.0.1');
  const missing = one.demand('ns/none');
  assert.equal(one.firstRequest().initialResourceVersions, { u1: '', '/10.0.0.1': '', 'ns/none': '' });
  one.receive(response([resource('u1', '7', ['/10.0.0.1'])], ['ns/none']));
  await Promise.all([byName.arrived, again.arrived, byAlias.arrived, missing.arrived]);
  assert.equal(one.firstRequest().initialResourceVersions, { u1: '7', '/10.0.0.1': '' });
  one.demand('u1');
  assert.is(one.firstRequest().initialResourceVersions?.['u1'], '7', 'a demand does not forget a version');
});

const failed: StreamOutcome = { opened: false, code: status.UNAVAILABLE, details: 'ECONNREFUSED' };
const ended = (code: status, details = ''): StreamOutcome => ({ opened: true, code, details });

test('backoff: 20 ms doubling to 15 s while no stream opens', () => {
  const policy = new ReconnectPolicy();
  const delays = Array.from({ length: 12 }, () => policy.after(failed).delayMs);
  assert.equal(delays, [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 15_000, 15_000]);
  assert.is(policy.after(failed).reason, 'ConnectionError');
});

const ROUTINE: readonly StreamOutcome[] = [
  ended(status.UNKNOWN),
  ended(status.CANCELLED),
  ended(status.DEADLINE_EXCEEDED),
  ended(status.UNAVAILABLE, 'transport is closing'),
  ended(status.UNAVAILABLE, 'error reading: received prior goaway: code NO_ERROR'),
  ended(status.UNAVAILABLE, 'Connection dropped'),
  ended(status.UNAVAILABLE, 'read ECONNRESET'),
];
for (const outcome of ROUTINE) {
  test(`backoff: ${status[outcome.code]} "${outcome.details}" is routine`, () => {
    const policy = new ReconnectPolicy();
    policy.after(failed);
    policy.after(failed);
    assert.equal(policy.after(outcome), { delayMs: 10, reason: 'Reconnect' });
    assert.is(policy.after(failed).delayMs, 20);
  });
}

test('backoff: other errors grow it, a completed stream ends it', () => {
  const policy = new ReconnectPolicy();
  assert.equal(policy.after(ended(status.INTERNAL)), { delayMs: 20, reason: 'Error' });
  assert.equal(policy.after(ended(status.UNAVAILABLE, 'overloaded')), { delayMs: 40, reason: 'Error' });
  assert.is(policy.after(ended(status.OK)).reason, 'Complete');
  assert.is(policy.after(failed).delayMs, 20);
});

test.run();
