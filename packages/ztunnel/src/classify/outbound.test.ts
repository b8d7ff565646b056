import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatHostPort } from '@ambit/common/address/host-port';
import type { MeshStore } from '@ambit/common/mesh/store';
import type { LoadBalancing } from '@ambit/common/model/service';
import type { Workload } from '@ambit/common/model/workload';
import type { Fetched, OutboundDecision } from '../decision.ts';
import { gateway, hostPort, ip, mesh, service, workload } from '../mesh.fixture.ts';
import { classifyOutbound } from './outbound.ts';

const CLIENT = workload({ name: 'client', ips: ['10.0.0.1', 'fd00::1'], protocol: 'HBONE', serviceAccount: 'client' });

interface Options {
  readonly source?: Workload;
  readonly random?: () => number;
  readonly fetched?: Fetched;
}

function decide(store: MeshStore, destination: string, options: Options = {}): OutboundDecision {
  const context = {
    view: store,
    source: options.source ?? CLIENT,
    fetched: options.fetched ?? { resolved: new Map(), asked: undefined },
    random: options.random ?? (() => 0),
    network: '',
    hbonePort: 15_008,
  };
  return classifyOutbound(context, hostPort(destination));
}

/** `kind hop authority`, or `reject reason`, or `need …`. */
function text(decision: OutboundDecision): string {
  if (decision.kind === 'reject') return `reject ${decision.reason}`;
  if (decision.kind === 'need') return `need ${JSON.stringify(decision.need)}`;
  const hop = formatHostPort(decision.hop.ip, decision.hop.port);
  return decision.authority === '' ? `${decision.kind} ${hop}` : `${decision.kind} ${hop} ${decision.authority}`;
}

const ids = (decision: OutboundDecision): string[] => decision.accept.map((id) => id.uri);

const failover = (
  preferences: LoadBalancing['preferences'],
  mode: 'STRICT' | 'FAILOVER' = 'FAILOVER',
): LoadBalancing => ({
  mode,
  preferences,
  healthPolicy: 'ONLY_HEALTHY',
});
const PASSTHROUGH: LoadBalancing = { mode: 'PASSTHROUGH', preferences: [], healthPolicy: 'ONLY_HEALTHY' };

test('ZT-OUT-01 unknown destination is passed through as TCP', () => {
  assert.is(text(decide(mesh({ workloads: [CLIENT] }), '1.2.3.4:80')), 'tcp 1.2.3.4:80');
});

test('ZT-OUT-02 an only endpoint on another network without a gateway is an error', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({ name: 'far', ips: ['10.9.0.1'], network: 'remote', services: { 'default/a.b': { 80: 80 } } }),
    ],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 } })],
  });
  assert.match(
    text(decide(store, '10.1.0.1:80')),
    /^reject no valid routing destination for workload: Kubernetes\/\/Pod\/default\/far/,
  );
});

const REMOTE = { network: 'remote', protocol: 'HBONE' } as const;

test('ZT-OUT-03 another network is reached through its gateway by address, with the host name as authority', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({
        name: 'far',
        ...REMOTE,
        networkGateway: gateway('remote@192.0.2.1:15009'),
        services: { 'default/a.b': { 80: 8080 } },
      }),
      workload({ name: 'gw', ips: ['192.0.2.1'], ...REMOTE, serviceAccount: 'gw' }),
    ],
    services: [
      service({
        hostname: 'a.b',
        vips: ['10.1.0.1'],
        ports: { 80: 80 },
        subjectAltNames: ['spiffe://td/ns/n/sa/s', 'junk'],
      }),
    ],
  });
  const decision = decide(store, '10.1.0.1:80');
  assert.is(text(decision), 'double-hbone 192.0.2.1:15009 a.b:80');
  assert.equal(ids(decision), ['spiffe://cluster.local/ns/default/sa/gw']);
  assert.equal(
    decision.innerAccept.map((id) => id.uri),
    ['spiffe://td/ns/n/sa/s'],
  );
});

test('ZT-OUT-04 a gateway by host name: its service port is mapped by its endpoint', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({
        name: 'far',
        ...REMOTE,
        networkGateway: gateway('istio/gw.example:15009'),
        services: { 'default/a.b': { 80: 8080 } },
      }),
      workload({ name: 'gw', ips: ['192.0.2.1'], ...REMOTE, services: { 'istio/gw.example': { 15009: 15008 } } }),
    ],
    services: [
      service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 } }),
      service({ hostname: 'gw.example', namespace: 'istio', ports: { 15009: 15009 } }),
    ],
  });
  assert.is(text(decide(store, '10.1.0.1:80')), 'double-hbone 192.0.2.1:15008 a.b:80');
});

test('ZT-OUT-05 a service whose waypoint is on another network goes through that network’s gateway', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({
        name: 'waypoint',
        ...REMOTE,
        networkGateway: gateway('remote@192.0.2.1:15009'),
        services: { 'default/wp.b': { 15008: 15008 } },
      }),
      workload({ name: 'gw', ips: ['192.0.2.1'], ...REMOTE }),
    ],
    services: [
      service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 }, waypoint: gateway('default/wp.b:15008') }),
      service({ hostname: 'wp.b', ports: { 15008: 15008 } }),
    ],
  });
  assert.is(text(decide(store, '10.1.0.1:80')), 'double-hbone 192.0.2.1:15009 a.b:80');
});

for (const [healthy, expected] of [
  [true, 'hbone 10.0.0.2:15008 10.0.0.2:8080'],
  [false, 'double-hbone 192.0.2.1:15009 a.b:80'],
] as const) {
  test(`ZT-OUT-06 NETWORK failover with a local endpoint that is ${healthy ? 'healthy' : 'unhealthy'}`, () => {
    const store = mesh({
      workloads: [
        CLIENT,
        workload({
          name: 'near',
          ips: ['10.0.0.2'],
          protocol: 'HBONE',
          healthy,
          services: { 'default/a.b': { 80: 8080 } },
        }),
        workload({
          name: 'far',
          ...REMOTE,
          networkGateway: gateway('remote@192.0.2.1:15009'),
          services: { 'default/a.b': { 80: 8080 } },
        }),
        workload({ name: 'gw', ips: ['192.0.2.1'], ...REMOTE }),
      ],
      services: [
        service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 }, loadBalancing: failover(['NETWORK']) }),
      ],
    });
    assert.is(text(decide(store, '10.1.0.1:80', { random: () => 0.99 })), expected);
  });
}

for (const node of ['local', 'elsewhere']) {
  test(`ZT-OUT-07 a known TCP pod on node ${node} gets TCP on the original port`, () => {
    const store = mesh({ workloads: [CLIENT, workload({ name: 'pod', ips: ['10.0.0.2'], node })] });
    assert.is(text(decide(store, '10.0.0.2:80')), 'tcp 10.0.0.2:80');
  });

  test(`ZT-OUT-08 a known HBONE pod on node ${node} gets a tunnel to 15008`, () => {
    const store = mesh({
      workloads: [CLIENT, workload({ name: 'pod', ips: ['10.0.0.2'], node, protocol: 'HBONE', serviceAccount: 'web' })],
    });
    const decision = decide(store, '10.0.0.2:80');
    assert.is(text(decision), 'hbone 10.0.0.2:15008 10.0.0.2:80');
    assert.equal(ids(decision), ['spiffe://cluster.local/ns/default/sa/web']);
    assert.is(decision.workload?.name, 'pod');
  });
}

const WAYPOINT = workload({ name: 'waypoint', ips: ['10.0.0.9'], protocol: 'HBONE', serviceAccount: 'waypoint' });

test('ZT-OUT-09 a waypoint on the source is ignored', () => {
  const source = workload({ name: 'client', ips: ['10.0.0.1'], waypoint: gateway('10.0.0.9:15008') });
  const store = mesh({ workloads: [source, WAYPOINT] });
  assert.is(text(decide(store, '1.2.3.4:80', { source })), 'tcp 1.2.3.4:80');
});

test('ZT-OUT-10 a workload waypoint is used for traffic to its address, which stays the authority', () => {
  const store = mesh({
    workloads: [CLIENT, WAYPOINT, workload({ name: 'pod', ips: ['10.0.0.2'], waypoint: gateway('10.0.0.9:15008') })],
  });
  const decision = decide(store, '10.0.0.2:80');
  assert.is(text(decision), 'hbone 10.0.0.9:15008 10.0.0.2:80');
  assert.equal(ids(decision), ['spiffe://cluster.local/ns/default/sa/waypoint']);
});

test('the waypoint itself goes straight to the workload it serves', () => {
  const store = mesh({
    workloads: [
      WAYPOINT,
      workload({ name: 'pod', ips: ['10.0.0.2'], protocol: 'HBONE', waypoint: gateway('10.0.0.9:15008') }),
    ],
  });
  assert.is(text(decide(store, '10.0.0.2:80', { source: WAYPOINT })), 'hbone 10.0.0.2:15008 10.0.0.2:80');
});

test('ZT-OUT-11 an IPv6 request goes to a waypoint that has only IPv4', () => {
  const store = mesh({
    workloads: [CLIENT, WAYPOINT, workload({ name: 'pod', ips: ['fd00::2'], waypoint: gateway('10.0.0.9:15008') })],
  });
  assert.is(text(decide(store, '[fd00::2]:80')), 'hbone 10.0.0.9:15008 [fd00::2]:80');
});

test('ZT-OUT-12 a service waypoint is used, with the VIP and service port as authority', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({
        name: 'waypoint',
        ips: ['10.0.0.9'],
        services: { 'default/wp.b': { 15008: 15008 } },
        serviceAccount: 'wp',
      }),
    ],
    services: [
      service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 8080 }, waypoint: gateway('default/wp.b:15008') }),
      service({ hostname: 'wp.b', ports: { 15008: 15008 }, subjectAltNames: ['spiffe://td/ns/x/sa/y'] }),
    ],
  });
  const decision = decide(store, '10.1.0.1:80');
  assert.is(text(decision), 'hbone 10.0.0.9:15008 10.1.0.1:80');
  assert.equal(ids(decision), ['spiffe://td/ns/x/sa/y', 'spiffe://cluster.local/ns/default/sa/wp']);
  assert.is(decision.service?.hostname, 'a.b');
});

test('a waypoint that is not there is refused, never passed by', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({ name: 'pod', ips: ['10.0.0.2'], protocol: 'HBONE', services: { 'default/a.b': { 80: 80 } } }),
    ],
    services: [
      service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 8080 }, waypoint: gateway('default/wp.b:15008') }),
    ],
  });
  assert.is(text(decide(store, '10.1.0.1:80')), 'reject unknown waypoint: default/wp.b:15008');
});

test('ZT-OUT-13 a service without endpoints is an error, not passed through', () => {
  const store = mesh({
    workloads: [CLIENT],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 } })],
  });
  assert.is(text(decide(store, '10.1.0.1:80')), 'reject no healthy upstream: 10.1.0.1:80');
  assert.is(text(decide(store, '10.1.0.1:81')), 'reject no healthy upstream: 10.1.0.1:81');
});

test('ZT-OUT-14 named ports: only endpoints that map the port are eligible', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({ name: 'one', ips: ['10.0.0.2'], services: { 'default/a.b': {} } }),
      workload({ name: 'two', ips: ['10.0.0.3'], services: { 'default/a.b': { 80: 9090 } } }),
    ],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 0 } })],
  });
  for (const point of [0, 0.5, 0.99])
    assert.is(text(decide(store, '10.1.0.1:80', { random: () => point })), 'tcp 10.0.0.3:9090');
});

test('ZT-OUT-15 a host-network pod is found through its service, and anonymous by its node’s address', () => {
  const store = mesh({
    workloads: [
      CLIENT,
      workload({ name: 'host', ips: ['10.200.0.1'], hostNetwork: true, services: { 'default/a.b': { 80: 80 } } }),
    ],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 } })],
  });
  assert.is(decide(store, '10.1.0.1:80').workload?.name, 'host');
  assert.is(decide(store, '10.200.0.1:80').workload, undefined);
});

for (const asked of ['10.0.0.2:80', '[fd00::2]:80']) {
  test(`ZT-OUT-16 a dual-stack pod keeps the requested address ${asked}`, () => {
    const store = mesh({ workloads: [CLIENT, workload({ name: 'pod', ips: ['10.0.0.2', 'fd00::2'] })] });
    assert.is(text(decide(store, asked)), `tcp ${asked}`);
  });
}

for (const [families, vip, expected] of [
  ['IPV6', '10.1.0.1', '[fd00::2]:80'],
  ['IPV4', 'fd01::1', '10.0.0.2:80'],
  ['DUAL', 'fd01::1', '[fd00::2]:80'],
  ['DUAL', '10.1.0.1', '10.0.0.2:80'],
] as const) {
  test(`ZT-OUT-17 ip families ${families} asked by ${vip} dial ${expected}`, () => {
    const store = mesh({
      workloads: [
        CLIENT,
        workload({ name: 'pod', ips: ['10.0.0.2', 'fd00::2'], services: { 'default/a.b': { 80: 80 } } }),
      ],
      services: [service({ hostname: 'a.b', vips: ['10.1.0.1', 'fd01::1'], ports: { 80: 80 }, ipFamilies: families })],
    });
    assert.is(text(decide(store, vip.includes(':') ? `[${vip}]:80` : `${vip}:80`)), `tcp ${expected}`);
  });
}

test('ZT-OUT-18 a PASSTHROUGH service goes as addressed', () => {
  const store = mesh({
    workloads: [CLIENT],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 }, loadBalancing: PASSTHROUGH })],
  });
  assert.is(text(decide(store, '10.1.0.1:80')), 'tcp 10.1.0.1:80');
});

test('ZT-OUT-19 a PASSTHROUGH service with a waypoint goes to the waypoint', () => {
  const store = mesh({
    workloads: [CLIENT, WAYPOINT],
    services: [
      service({
        hostname: 'a.b',
        vips: ['10.1.0.1'],
        ports: { 80: 80 },
        loadBalancing: PASSTHROUGH,
        waypoint: gateway('10.0.0.9:15008'),
      }),
    ],
  });
  assert.is(text(decide(store, '10.1.0.1:80')), 'hbone 10.0.0.9:15008 10.1.0.1:80');
});

test('a workload known by host name needs its addresses, then gets one of the asked family', () => {
  const store = mesh({
    workloads: [CLIENT, workload({ name: 'ext', hostname: 'db.example', services: { 'default/a.b': { 80: 5432 } } })],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 } })],
  });
  const first = decide(store, '10.1.0.1:80');
  assert.equal(first.need, { what: 'dns', hostname: 'db.example', workload: 'Kubernetes//Pod/default/ext' });
  const answered = new Map([['db.example', [ip('2001:db8::1'), ip('203.0.113.7')]]]);
  assert.is(
    text(decide(store, '10.1.0.1:80', { fetched: { resolved: answered, asked: undefined } })),
    'tcp 203.0.113.7:5432',
  );
  const failed = { resolved: new Map([['db.example', []]]), asked: undefined };
  assert.is(
    text(decide(store, '10.1.0.1:80', { fetched: failed })),
    'reject no ip addresses were resolved for workload: Kubernetes//Pod/default/ext',
  );
});

test('on demand, an unknown address is asked for once', () => {
  const store = mesh({ workloads: [CLIENT] });
  const unasked = { resolved: new Map(), asked: new Set<string>() };
  assert.equal(decide(store, '1.2.3.4:80', { fetched: unasked }).need, { what: 'address', key: '/1.2.3.4' });
  const asked = { resolved: new Map(), asked: new Set(['/1.2.3.4']) };
  assert.is(text(decide(store, '1.2.3.4:80', { fetched: asked })), 'tcp 1.2.3.4:80');
});

test('every decision has the same keys in the same order', () => {
  const store = mesh({
    workloads: [CLIENT, WAYPOINT, workload({ name: 'pod', ips: ['10.0.0.2'], waypoint: gateway('10.0.0.9:15008') })],
    services: [service({ hostname: 'a.b', vips: ['10.1.0.1'], ports: { 80: 80 } })],
  });
  const shapes = ['1.2.3.4:80', '10.0.0.2:80', '10.1.0.1:80'].map((to) => Object.keys(decide(store, to)).join());
  assert.is(new Set(shapes).size, 1);
});

test.run();
