import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NO_LOCALITY } from '@ambit/common/model/locality';
import type { LoadBalancing, LoadBalancingScope } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import { gateway, mesh, service, workload } from '../mesh.fixture.ts';
import { chooseEndpoint, type ResolutionMode } from './endpoint.ts';
import { serviceWaypoint } from './next-hop.ts';

const at = (region: string, zone: string): Workload['locality'] => ({ region, zone, subzone: '' });
const CLIENT = workload({ name: 'client', ips: ['10.0.0.1'], network: 'net', locality: at('r1', 'z1') });

interface Place {
  readonly name: string;
  readonly network?: string;
  readonly locality?: Workload['locality'];
  readonly capacity?: number;
  readonly ports?: Readonly<Record<number, number>>;
  readonly tunnelPort?: number;
  readonly address?: boolean;
}

/** Names that can come out, over an even walk of the random number. */
function outcomes(
  places: readonly Place[],
  balancing: Partial<LoadBalancing>,
  ask: { port?: number; targetPort?: number; mode?: ResolutionMode } = {},
): Map<string, number> {
  const key = 'default/a.b';
  const workloads = places.map((place, index) =>
    workload({
      name: place.name,
      ips: place.address === false ? [] : [`10.0.1.${index}`],
      network: place.network ?? 'net',
      locality: place.locality ?? NO_LOCALITY,
      capacity: place.capacity ?? 1,
      applicationTunnel: place.tunnelPort === undefined ? undefined : { protocol: 'PROXY', port: place.tunnelPort },
      services: { [key]: place.ports ?? { 80: 8080 } },
    }),
  );
  const target = service({
    hostname: 'a.b',
    ports: { 80: ask.targetPort ?? 80 },
    loadBalancing: { mode: 'STANDARD', preferences: [], healthPolicy: 'ONLY_HEALTHY', ...balancing },
  });
  const view = mesh({ workloads, services: [target] });
  const found = new Map<string, number>();
  for (let step = 0; step < 100; step++) {
    const request = {
      source: CLIENT,
      servicePort: ask.port ?? 80,
      mode: ask.mode ?? 'standard',
      random: () => step / 100,
    };
    const chosen = chooseEndpoint(view, target, request);
    const name = chosen === undefined ? 'none' : `${chosen.workload.name}:${chosen.port}`;
    found.set(name, (found.get(name) ?? 0) + 1);
  }
  return found;
}

const names = (found: Map<string, number>): string[] => [...found.keys()].toSorted();

test('ZT-ST-01 weighted waypoints are chosen by weight; zero never; all zero falls back', () => {
  const one = gateway('a/one:15008');
  const two = gateway('a/two:15008');
  const three = gateway('a/three:15008');
  const pick = (weights: readonly number[], point: number): unknown => {
    const weighted = weights.map((weight, index) => ({ destination: index === 0 ? one : two, weight }));
    return serviceWaypoint(service({ hostname: 'x', waypoint: three, weightedWaypoints: weighted }), () => point);
  };
  assert.is(pick([], 0.5), three);
  assert.is(pick([0, 0], 0.5), three);
  assert.is(pick([0, 1], 0), two);
  assert.equal(
    [0, 0.29, 0.31, 0.99].map((point) => pick([30, 70], point) === one),
    [true, true, false, false],
  );
});

test('ZT-ST-04 target port: the endpoint’s map beats the service’s', () => {
  assert.equal(names(outcomes([{ name: 'a', ports: { 80: 9090 } }], {}, { targetPort: 7070 })), ['a:9090']);
});

test('ZT-ST-05 target port: the service’s is used when the endpoint has none', () => {
  assert.equal(names(outcomes([{ name: 'a', ports: {} }], {}, { targetPort: 7070 })), ['a:7070']);
});

test('ZT-ST-06 target port: an endpoint with an application tunnel takes a port unknown to the service, for a waypoint', () => {
  const tunnel = [{ name: 'a', ports: {}, tunnelPort: 15_088 }];
  assert.equal(names(outcomes(tunnel, {}, { port: 81, mode: 'waypoint' })), ['a:81']);
  assert.equal(names(outcomes(tunnel, {}, { port: 81 })), ['none']);
  assert.equal(names(outcomes([{ name: 'a' }], {}, { port: 81, mode: 'waypoint' })), ['none']);
});

const SCOPES: readonly LoadBalancingScope[] = ['NETWORK', 'REGION', 'ZONE'];
const full = { name: 'full', locality: at('r1', 'z1') };
const region = { name: 'region', locality: at('r1', 'z9') };
const network = { name: 'network', locality: at('r9', 'z9') };
const offNetwork = { name: 'off', network: 'other', locality: at('r1', 'z1') };
const nothing = { name: 'nothing', network: 'other', locality: at('r9', 'z9') };

for (const [title, mode, places, expected] of [
  ['ZT-ST-07 STRICT without a full match selects nothing', 'STRICT', [region, network, offNetwork], ['none']],
  ['ZT-ST-08 STRICT selects only the full match', 'STRICT', [full, region, offNetwork], ['full:8080']],
  [
    'ZT-ST-09 FAILOVER without any match may pick any',
    'FAILOVER',
    [nothing, { ...nothing, name: 'other' }],
    ['nothing:8080', 'other:8080'],
  ],
  ['ZT-ST-10 FAILOVER: the full match is exclusive', 'FAILOVER', [full, region, network, offNetwork], ['full:8080']],
  [
    'ZT-ST-11 FAILOVER: network and region are shared',
    'FAILOVER',
    [region, { ...region, name: 'also' }, network, offNetwork],
    ['also:8080', 'region:8080'],
  ],
  [
    'ZT-ST-12 FAILOVER: network only is shared',
    'FAILOVER',
    [network, { ...network, name: 'also' }, offNetwork, nothing],
    ['also:8080', 'network:8080'],
  ],
  [
    'ZT-ST-13 FAILOVER: off-network endpoints with region and zone are picked whatever their network',
    'FAILOVER',
    [offNetwork, { ...offNetwork, name: 'also', network: 'third' }, nothing],
    ['also:8080', 'off:8080'],
  ],
] as const) {
  test(title, () => assert.equal(names(outcomes(places, { mode, preferences: SCOPES })), expected));
}

test('ZT-ST-14 an endpoint without an address on the same network is never selected', () => {
  assert.equal(names(outcomes([{ name: 'a', address: false }, { name: 'b' }], {})), ['b:8080']);
});

test('capacity is the share; zero is never chosen; all zero is nobody', () => {
  const found = outcomes(
    [
      { name: 'a', capacity: 3 },
      { name: 'b', capacity: 1 },
      { name: 'c', capacity: 0 },
    ],
    {},
  );
  assert.equal([found.get('a:8080'), found.get('b:8080'), found.get('c:8080')], [75, 25, undefined]);
  assert.equal(names(outcomes([{ name: 'a', capacity: 0 }], {})), ['none']);
});

test.run();
