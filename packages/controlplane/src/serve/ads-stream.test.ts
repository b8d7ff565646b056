import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Listener } from '@ambit/common/model/listener';
import { STANDARD_LOAD_BALANCING, type Service } from '@ambit/common/model/service';
import { parseCidr } from '@ambit/common/address/cidr';
import { parseIp } from '@ambit/common/address/ip';
import type { WireInput } from '@ambit/common/proto/load';
import { createLogger } from '@ambit/common/telemetry/log';
import type { DeltaRequest, DeltaResponse } from '@ambit/common/xds/discovery';
import { ADDRESS, L7_LISTENER } from '@ambit/common/xds/type-urls';
import { AdsStream } from './ads-stream.ts';
import { PushDebounce } from './push.ts';
import { type CommittedNames, ResourceStore } from './resources.ts';

const listener = (hostname: string, name = 'x'): Listener => ({
  namespace: 'shop',
  hostname,
  name,
  kind: 'Service',
  addresses: [],
  cidrAddresses: [],
  ports: [],
});

const service = (hostname: string, changes: Partial<Service> = {}): Service => ({
  name: hostname,
  namespace: 'shop',
  hostname,
  vips: [],
  cidrVips: [],
  ports: [],
  subjectAltNames: [],
  waypoint: undefined,
  weightedWaypoints: [],
  loadBalancing: STANDARD_LOAD_BALANCING,
  ipFamilies: 'AUTOMATIC',
  canonical: true,
  visibility: 'PUBLIC',
  ...changes,
});

interface Connected {
  readonly stream: AdsStream;
  readonly log: string[];
  /** Names of each response: resources plain, removals with a minus. */
  readonly heard: string[][];
  readonly responses: WireInput<DeltaResponse>[];
  readonly request: (changes: Partial<DeltaRequest>) => void;
  /** ACKs the last response. */
  readonly accept: () => void;
}

function connect(resources: ResourceStore, audience?: string, typeUrl = ADDRESS): Connected {
  const responses: WireInput<DeltaResponse>[] = [];
  const heard: string[][] = [];
  const log: string[] = [];
  const stream = new AdsStream(
    { id: 'client', identity: 'spiffe://td/ns/shop/sa/w', audience, node: 'n1' },
    resources,
    (response) => {
      responses.push(response);
      heard.push([
        ...(response.resources ?? []).map((one) => one.name ?? ''),
        ...(response.removedResources ?? []).map((name) => `-${name}`),
      ]);
    },
    createLogger({ level: 'debug', format: 'plain', write: (line) => log.push(line) }).scope('ads'),
  );
  resources.onCommit((names) => stream.push(names));
  const request = (changes: Partial<DeltaRequest>): void =>
    stream.receive({
      node: undefined,
      typeUrl,
      resourceNamesSubscribe: [],
      resourceNamesUnsubscribe: [],
      initialResourceVersions: {},
      responseNonce: '',
      errorDetail: undefined,
      ...changes,
    });
  const accept = (): void => request({ responseNonce: responses.at(-1)?.nonce ?? '' });
  return { stream, log, heard, responses, request, accept };
}

const storeOf = (...hostnames: string[]): ResourceStore => {
  const resources = new ResourceStore();
  for (const host of hostnames) resources.set('service', `shop/${host}`, service(host));
  resources.commit();
  return resources;
};

test('a wildcard client gets everything, then nothing until something changes; an empty mesh is answered too', () => {
  const { heard, request, accept } = connect(storeOf());
  request({});
  assert.equal(heard, [[]]);
  accept();
  assert.equal(heard.length, 1);
});

test('one response in flight: what changes meanwhile comes together with the next', () => {
  const resources = storeOf('a', 'b');
  const { heard, request, accept } = connect(resources);
  request({});
  for (const canonical of [false, true, false]) {
    resources.set('service', 'shop/a', service('a', { canonical }));
    resources.commit();
  }
  resources.delete('service', 'shop/b');
  resources.commit();
  resources.set('service', 'shop/c', service('c'));
  resources.commit();
  assert.equal(heard, [['shop/a', 'shop/b']]);
  accept();
  assert.equal(heard[1], ['shop/a', 'shop/c', '-shop/b']);
  accept();
  assert.is(heard.length, 2);
});

test('equal content is not sent, also when it was something else in between', () => {
  const resources = storeOf('a');
  const { heard, request, accept } = connect(resources);
  request({});
  resources.set('service', 'shop/a', service('a'));
  resources.commit();
  resources.set('service', 'shop/a', service('a', { canonical: false }));
  resources.commit();
  resources.set('service', 'shop/a', service('a'));
  resources.commit();
  accept();
  assert.equal(heard, [['shop/a']]);
});

test('a name that came and went between two pushes is not mentioned', () => {
  const resources = storeOf();
  const { heard, request, accept } = connect(resources);
  request({});
  resources.set('service', 'shop/x', service('x'));
  resources.commit();
  resources.delete('service', 'shop/x');
  resources.commit();
  accept();
  assert.equal(heard, [[]]);
});

test('versions held by the client are not sent again, what is no more is removed', () => {
  const resources = storeOf('a', 'b');
  const first = connect(resources);
  first.request({});
  const versions = Object.fromEntries(
    (first.responses[0]?.resources ?? []).map((one) => [one.name ?? '', one.version ?? '']),
  );
  const again = connect(resources);
  again.request({ initialResourceVersions: { ...versions, 'shop/b': 'old', 'shop/gone': 'x' } });
  assert.equal(again.heard, [['shop/b', '-shop/gone']]);
});

test('a NACK is remembered for the status view and the next change is still sent', () => {
  const resources = storeOf('a');
  const { stream, heard, request, accept, responses, log } = connect(resources);
  request({});
  request({ responseNonce: responses[0]?.nonce ?? '', errorDetail: { code: 0, message: 'shop/a: bad' } });
  assert.equal(stream.status()[0], {
    type: 'istio.workload.Address',
    subscription: 'wildcard',
    resources: 1,
    sent: 1,
    acknowledged: 0,
    refused: 1,
    waiting: false,
    lastRefusal: 'shop/a: bad',
  });
  assert.ok(log.some((line) => line.includes('configuration refused by a client')));
  resources.set('service', 'shop/a', service('a', { canonical: false }));
  resources.commit();
  assert.equal(heard[1], ['shop/a']);
  accept();
  assert.is(stream.status()[0]?.lastRefusal, undefined);
});

test('an answer to an older response does not count', () => {
  const resources = storeOf('a');
  const { stream, request } = connect(resources);
  request({});
  request({ responseNonce: '999' });
  assert.ok(stream.status()[0]?.waiting);
});

test('L7 types: only what is meant for this waypoint', () => {
  const resources = new ResourceStore();
  resources.set('listener', 'shop/a', listener('a'), 'shop/waypoint');
  resources.set('listener', 'shop/a', listener('a', 'other'), 'shop/other');
  resources.set('listener', 'shop/b', listener('b'), 'shop/other');
  resources.set('listener', 'shop/c', listener('c'));
  resources.commit();
  const mine = connect(resources, 'shop/waypoint', L7_LISTENER);
  mine.request({});
  assert.equal(mine.heard, [['shop/a']]);
  mine.accept();
  resources.delete('listener', 'shop/a', 'shop/other');
  resources.set('listener', 'shop/b', listener('b', 'changed'), 'shop/other');
  resources.commit();
  assert.is(mine.heard.length, 1, 'changes of others say nothing here');
  resources.delete('listener', 'shop/a');
  resources.commit();
  assert.equal(mine.heard[1], ['-shop/a']);
  const nobody = connect(resources, undefined, L7_LISTENER);
  nobody.request({});
  nobody.request({ resourceNamesSubscribe: ['shop/b'] });
  assert.equal(nobody.heard, [[], ['-shop/b']]);
});

test('a type that is not served is not answered', () => {
  const { heard, log, stream } = connect(
    storeOf('a'),
    undefined,
    'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  );
  stream.push(new Map());
  assert.equal(heard, []);
  const other = connect(storeOf('a'), undefined, 'x');
  other.request({});
  assert.equal(other.heard, []);
  assert.ok(other.log.some((line) => line.includes('type is not served')));
  assert.equal(log, []);
});

test('on demand: nothing at first, then names with aliases, ranges under their base address, updates of those only', () => {
  const resources = storeOf('a', 'b');
  const ip = parseIp('10.0.0.7');
  const cidr = parseCidr('10.9.0.0/16');
  assert.ok(ip && cidr);
  resources.set(
    'service',
    'shop/v',
    service('v', { vips: [{ network: '', ip }], cidrVips: [{ network: 'far', cidr }] }),
  );
  resources.commit();
  const { heard, responses, request, accept } = connect(resources);
  request({ resourceNamesSubscribe: ['*'], resourceNamesUnsubscribe: ['*'] });
  assert.equal(heard, [[]]);
  accept();
  request({ resourceNamesSubscribe: ['/10.0.0.7'] });
  assert.equal(heard[1], ['shop/v']);
  assert.equal(responses[1]?.resources?.[0]?.aliases, ['/10.0.0.7', 'far/10.9.0.0/16', 'far/10.9.0.0']);
  accept();
  request({ resourceNamesSubscribe: ['far/10.9.0.0', 'far/10.9.0.1', 'noslash'] });
  assert.equal(heard[2], ['shop/v', '-far/10.9.0.1', '-noslash']);
  accept();
  resources.set('service', 'shop/a', service('a', { canonical: false }));
  resources.commit();
  assert.is(heard.length, 3);
  resources.set('service', 'shop/v', service('v', { vips: [{ network: '', ip }] }));
  resources.commit();
  assert.equal(heard[3], ['shop/v']);
  accept();
  resources.delete('service', 'shop/v');
  resources.commit();
  assert.equal(heard[4], ['-shop/v']);
});

test('removing an L7 resource leaves the service of the same name where it is', () => {
  const resources = storeOf('a');
  resources.set('listener', 'shop/a', listener('a'), 'shop/waypoint');
  resources.delete('listener', 'shop/a');
  resources.commit();
  const { heard, request } = connect(resources);
  request({ resourceNamesSubscribe: ['shop/a'] });
  assert.equal(heard, [['shop/a']]);
  assert.is(resources.directory.resolve('shop/a'), 'shop/a');
});

test('on demand after a reconnect: the names held are the subscription', () => {
  const resources = storeOf('a', 'b');
  const { heard, request } = connect(resources);
  request({
    resourceNamesSubscribe: ['*'],
    resourceNamesUnsubscribe: ['*'],
    initialResourceVersions: { 'shop/a': '', 'shop/gone': 'x' },
  });
  assert.equal(heard, [['shop/a', '-shop/gone']]);
});

test('commits close together are one push; a stream of them is pushed after the limit', () => {
  let now = 0;
  let timer: { at: number; run: () => void } | undefined;
  const pushed: (readonly [number, string[]])[] = [];
  const debounce = new PushDebounce(
    { quietMs: 100, maxMs: 1000 },
    (names: CommittedNames) => pushed.push([now, [...names].flatMap(([, one]) => [...one]).sort()]),
    {
      now: () => now,
      after: (ms, run) => {
        timer = { at: now + ms, run };
        return () => (timer = undefined);
      },
    },
  );
  const advance = (to: number): void => {
    while (timer !== undefined && timer.at <= to) {
      now = timer.at;
      const { run } = timer;
      timer = undefined;
      run();
    }
    now = to;
  };
  debounce.add(new Map([['t', new Set(['a'])]]));
  advance(50);
  debounce.add(new Map([['t', new Set(['b', 'a'])]]));
  advance(149);
  assert.equal(pushed, []);
  advance(150);
  assert.equal(pushed, [[150, ['a', 'b']]]);
  advance(200);
  for (let i = 0; i < 30; i++) {
    debounce.add(new Map([['t', new Set([`n${i}`])]]));
    advance(now + 50);
  }
  assert.is(pushed[1]?.[0], 1200, 'a second after the first of them');
  debounce.stop();
  advance(5000);
  assert.is(pushed.length, 2);
});

test.run();
