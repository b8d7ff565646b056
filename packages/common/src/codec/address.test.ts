import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Cidr, makeCidr } from '../address/cidr.ts';
import { type IpAddress, ipFromBytes } from '../address/ip.ts';
import type { LoadBalancing, NetworkAddress, Service } from '../model/service.ts';
import type { GatewayAddress } from '../model/waypoint.ts';
import type { Workload } from '../model/workload.ts';
import { type WireInput, message } from '../proto/load.ts';
import { decodeAddress, encodeService, encodeWorkload } from './address.ts';
import type { WireService } from './service.ts';
import type { WireWorkload } from './workload.ts';

const ADDRESS = message<{ readonly workload: WireWorkload; readonly service: WireService }>('istio.workload.Address');

const fromWorkload = (wire: WireInput<WireWorkload>): Workload => {
  const address = decodeAddress(ADDRESS.encode({ workload: wire }));
  if (address.kind !== 'workload') throw new Error('expected a workload');
  return address.workload;
};
const fromService = (wire: WireInput<WireService>): Service => {
  const address = decodeAddress(ADDRESS.encode({ service: wire }));
  if (address.kind !== 'service') throw new Error('expected a service');
  return address.service;
};

const EMPTY_WORKLOAD = fromWorkload({});
const EMPTY_SERVICE = fromService({});

const port = fc.nat(65_535);
const word = fc.string({ maxLength: 12 });
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
/** IPv4-mapped addresses have two byte forms, of which the model keeps the short one. */
const ip: fc.Arbitrary<IpAddress> = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((bytes) => ipFromBytes(bytes))
  .filter((one) => one !== undefined);
const networkAddress: fc.Arbitrary<NetworkAddress> = fc.record({ network: word, ip });
const gateway: fc.Arbitrary<GatewayAddress> = fc.record({
  destination: fc.oneof(
    fc.record({ kind: fc.constant('hostname' as const), namespace: name, hostname: name }),
    fc.record({ kind: fc.constant('address' as const), address: networkAddress }),
  ),
  port,
});
const portMap = fc
  .uniqueArray(fc.tuple(port, port), { selector: ([key]) => key, maxLength: 4 })
  .map((all) => new Map(all));

const workload: fc.Arbitrary<Workload> = fc.record({
  uid: word.map((uid) => fromWorkload({ uid }).uid),
  name: word,
  namespace: word,
  addresses: fc.array(ip, { maxLength: 3 }),
  hostname: word,
  network: word,
  protocol: fc.constantFrom('HBONE', 'TCP'),
  trustDomain: word.map((text) => text || 'cluster.local'),
  serviceAccount: word.map((text) => text || 'default'),
  node: word,
  canonicalName: word,
  canonicalRevision: word,
  workloadType: fc.constantFrom('deployment', 'cronjob', 'pod', 'job'),
  workloadName: word,
  nativeTunnel: fc.boolean(),
  waypoint: fc.option(gateway, { nil: undefined }),
  networkGateway: fc.option(gateway, { nil: undefined }),
  applicationTunnel: fc.option(fc.record({ protocol: fc.constantFrom('NONE', 'PROXY'), port }), { nil: undefined }),
  authorizationPolicies: fc.array(word, { maxLength: 3 }),
  healthy: fc.boolean(),
  clusterId: word.map((text) => text || 'Kubernetes'),
  locality: fc.record({ region: word, zone: word, subzone: word }),
  hostNetwork: fc.boolean(),
  capacity: fc.nat(1000),
  services: fc
    .uniqueArray(
      fc.tuple(
        fc.tuple(name, name).map((parts) => parts.join('/')),
        portMap,
      ),
      { selector: ([key]) => key, maxLength: 3 },
    )
    .map((all) => new Map(all)),
});

const loadBalancing: fc.Arbitrary<LoadBalancing> = fc.record({
  mode: fc.constantFrom('STANDARD', 'STRICT', 'FAILOVER', 'PASSTHROUGH'),
  preferences: fc.array(fc.constantFrom('REGION', 'ZONE', 'SUBZONE', 'NODE', 'CLUSTER', 'NETWORK'), { maxLength: 4 }),
  healthPolicy: fc.constantFrom('ONLY_HEALTHY', 'ALLOW_ALL'),
});
/** Shorter than the address: the full length is an exact VIP. */
const range: fc.Arbitrary<Cidr> = fc
  .tuple(ip, fc.nat(127))
  .map(([address, length]) => makeCidr(address, length % (address.includes(':') ? 128 : 32)))
  .filter((cidr) => cidr !== undefined);

const service: fc.Arbitrary<Service> = fc.record({
  name: word,
  namespace: word,
  hostname: word,
  vips: fc.array(networkAddress, { maxLength: 3 }),
  cidrVips: fc.array(fc.record({ network: word, cidr: range }), { maxLength: 3 }),
  ports: fc.array(
    fc.record({
      servicePort: port,
      targetPort: port,
      appProtocol: fc.constantFrom('UNKNOWN', 'HTTP11', 'HTTP2', 'GRPC', 'TCP', 'TLS'),
    }),
    { maxLength: 3 },
  ),
  subjectAltNames: fc.array(
    name.map((one) => `spiffe://td/ns/${one}/sa/${one}`),
    { maxLength: 2 },
  ),
  waypoint: fc.option(gateway, { nil: undefined }),
  weightedWaypoints: fc.array(fc.record({ destination: gateway, weight: fc.nat(100) }), { maxLength: 2 }),
  loadBalancing,
  ipFamilies: fc.constantFrom('AUTOMATIC', 'IPV4', 'IPV6', 'DUAL'),
  canonical: fc.boolean(),
  visibility: fc.constantFrom('PUBLIC', 'NAMESPACE'),
});

/** Objects made by fast-check have no prototype, and freezing is not part of the content. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, one: unknown) =>
      one instanceof Map
        ? [...one].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
        : one instanceof Uint8Array
          ? [...one]
          : one,
    ),
  );

test('any workload comes back as it was', () => {
  fc.assert(
    fc.property(workload, (one) => {
      assert.equal(plain(decodeAddress(encodeWorkload(one))), plain({ kind: 'workload', workload: one }));
    }),
    { numRuns: 200 },
  );
});

test('any service comes back as it was', () => {
  fc.assert(
    fc.property(service, (one) => {
      assert.equal(plain(decodeAddress(encodeService(one))), plain({ kind: 'service', service: one }));
    }),
    { numRuns: 200 },
  );
});

test('arbitrary bytes are decoded or refused, never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeAddress(bytes);
      } catch (error) {
        assert.match(String(error), /MeshError/);
      }
    }),
    { numRuns: 500 },
  );
});

test('a workload has the field numbers of Istio', () => {
  // Written by hand from the field table: tag = number << 3 | wire type.
  const body = [
    [0x0a, 0x01, 0x61], // name=1 "a"
    [0x12, 0x01, 0x62], // namespace=2 "b"
    [0x1a, 0x04, 10, 1, 0, 9], // addresses=3
    [0x28, 0x01], // tunnel_protocol=5 HBONE
    [0x3a, 0x02, 0x73, 0x61], // service_account=7 "sa"
    [0x4a, 0x02, 0x6e, 0x31], // node=9 "n1"
    [0x60, 0x02], // workload_type=12 POD
    [0x82, 0x01, 0x01, 0x70], // authorization_policies=16 "p"
    [0x88, 0x01, 0x01], // status=17 UNHEALTHY
    [0xa2, 0x01, 0x01, 0x75], // uid=20 "u"
    [0xb2, 0x01, 0x0d, 0x0a, 0x03, 0x62, 0x2f, 0x73, 0x12, 0x06, 0x0a, 0x04, 0x08, 0x50, 0x10, 0x5a], // services=22
    [0xda, 0x01, 0x02, 0x08, 0x05], // capacity=27
  ].flat();
  const one = decodeAddress(Uint8Array.from([0x0a, body.length, ...body]));
  assert.is(one.kind, 'workload');
  if (one.kind !== 'workload') return;
  const { workload } = one;
  assert.is(workload.name + workload.namespace + workload.uid, 'abu');
  assert.equal(workload.addresses, ['10.1.0.9']);
  assert.is(workload.protocol, 'HBONE');
  assert.is(workload.serviceAccount, 'sa');
  assert.is(workload.node, 'n1');
  assert.is(workload.workloadType, 'pod');
  assert.equal(workload.authorizationPolicies, ['p']);
  assert.is(workload.healthy, false);
  assert.equal([...(workload.services.get('b/s') ?? [])], [[80, 90]]);
  assert.is(workload.capacity, 5);
  // Our encoder writes the same, and the cluster id that the decoder filled in (field 18).
  const clusterId = [0x92, 0x01, 10, ...Buffer.from('Kubernetes')];
  const locality = [0xc2, 0x01, 0];
  const at = body.indexOf(0xa2);
  const expected = [...body.slice(0, at), ...clusterId, ...body.slice(at, -5), ...locality, ...body.slice(-5)];
  assert.equal([...encodeWorkload(workload)], [0x0a, expected.length, ...expected]);
});

test('a service has the field numbers of Istio, and a full-length prefix is one VIP', () => {
  const vip = [0x22, 0x08, 0x12, 0x04, 240, 240, 0, 1, 0x18, 0x20]; // addresses=4 {address=2, length=3: 32}
  const range = [0x22, 0x0a, 0x0a, 0x00, 0x12, 0x04, 10, 9, 8, 7, 0x18, 0x10]; // …/16
  const ports = [0x2a, 0x04, 0x08, 0x50, 0x18, 0x02]; // ports=5 {80, named, HTTP2}
  const balancing = [0x42, 0x05, 0x0a, 0x01, 0x04, 0x10, 0x01]; // load_balancing=8 {[NODE], STRICT}
  const tail = [0x48, 0x01, 0x58, 0x01, 0x70, 0x01]; // ip_families=9 IPV4, canonical=11, visibility=14
  const body = [0x12, 0x01, 0x6e, 0x1a, 0x01, 0x68, ...vip, ...range, ...ports, ...balancing, ...tail];
  const one = decodeAddress(Uint8Array.from([0x12, body.length, ...body]));
  if (one.kind !== 'service') throw new Error('expected a service');
  const { service } = one;
  assert.equal(service.vips, [{ network: '', ip: '240.240.0.1' }]);
  assert.is(service.cidrVips[0]?.cidr.ip, '10.9.0.0');
  assert.is(service.cidrVips[0]?.cidr.length, 16);
  assert.equal(service.ports, [{ servicePort: 80, targetPort: 0, appProtocol: 'HTTP2' }]);
  assert.equal(service.loadBalancing, { mode: 'STRICT', preferences: ['NODE'], healthPolicy: 'ONLY_HEALTHY' });
  assert.is(`${service.ipFamilies} ${service.canonical} ${service.visibility}`, 'IPV4 true NAMESPACE');
});

test('absent fields have the defaults that peers rely on', () => {
  assert.is(EMPTY_WORKLOAD.trustDomain, 'cluster.local');
  assert.is(EMPTY_WORKLOAD.serviceAccount, 'default');
  assert.is(EMPTY_WORKLOAD.clusterId, 'Kubernetes');
  assert.is(EMPTY_WORKLOAD.capacity, 1);
  assert.is(EMPTY_WORKLOAD.healthy, true);
  assert.equal(EMPTY_SERVICE.loadBalancing, { mode: 'STANDARD', preferences: [], healthPolicy: 'ONLY_HEALTHY' });
  assert.is(fromWorkload({ capacity: { value: 0 } }).capacity, 0);
});

const refusal = (decode: () => unknown): string => {
  try {
    decode();
    return 'accepted';
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
};

test('ZT-ST-25 address bytes: only lengths 4 and 16 parse', () => {
  for (const length of [0, 3, 5, 15, 17]) {
    assert.match(
      refusal(() => fromWorkload({ uid: 'u', addresses: [new Uint8Array(length)] })),
      `workload u: addresses[0]: an address of ${length} bytes`,
    );
  }
  assert.equal(fromWorkload({ addresses: [new Uint8Array(4)] }).addresses, ['0.0.0.0']);
  assert.equal(fromWorkload({ addresses: [new Uint8Array(16)] }).addresses, ['::']);
});

const REFUSED: readonly (readonly [string, WireInput<WireWorkload> | undefined, WireInput<WireService> | undefined])[] =
  [
    ['tunnel_protocol: unknown value 2', { tunnelProtocol: 2 }, undefined],
    ['network_mode: unknown value 7', { networkMode: 7 }, undefined],
    ['status: unknown value 9', { status: 9 }, undefined],
    ['application_tunnel.protocol: unknown value 2', { applicationTunnel: { protocol: 2 } }, undefined],
    ['services: key "nope" is not <namespace>/<hostname>', { services: { nope: { ports: [] } } }, undefined],
    ['waypoint: neither a hostname nor an address', { waypoint: { hboneMtlsPort: 15_008 } }, undefined],
    ['network_gateway.hbone_mtls_port: 70000 is no port', { networkGateway: { hboneMtlsPort: 70_000 } }, undefined],
    ['ip_families: unknown value 4', undefined, { ipFamilies: 4 }],
    ['load_balancing.routing_preference: unknown value 0', undefined, { loadBalancing: { routingPreference: [0] } }],
    ['load_balancing.mode: unknown value 4', undefined, { loadBalancing: { mode: 4 } }],
    ['weighted_waypoints[0]: has no destination', undefined, { weightedWaypoints: [{ weight: 1 }] }],
    [
      'addresses[0]: 10.0.0.0 has no prefix of 33 bits',
      undefined,
      { addresses: [{ address: Uint8Array.of(10, 0, 0, 0), length: 33 }] },
    ],
  ];

for (const [problem, wireWorkload, wireService] of REFUSED) {
  test(`refuses ${problem}`, () => {
    const decode = (): unknown => (wireWorkload ? fromWorkload(wireWorkload) : fromService(wireService ?? {}));
    assert.match(refusal(decode), problem);
  });
}

test('what peers ignore is not refused: workload types, visibilities and application protocols of the future, foreign SANs', () => {
  assert.is(fromWorkload({ workloadType: 9 }).workloadType, 'deployment');
  assert.is(fromService({ visibility: 9 }).visibility, 'PUBLIC');
  assert.is(fromService({ ports: [{ servicePort: 1, appProtocol: 9 }] }).ports[0]?.appProtocol, 'UNKNOWN');
  const names = ['api.example.com', 'spiffe://td/ns/a/sa/b'];
  assert.equal(fromService({ subjectAltNames: names }).subjectAltNames, ['spiffe://td/ns/a/sa/b']);
});

test('an Address of no type is refused', () => {
  assert.match(
    refusal(() => decodeAddress(new Uint8Array())),
    'unknown address type',
  );
});

test.run();
