import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Backend } from '@ambit/common/model/backend';
import { coveredBy } from './cluster.ts';
import type { PickResult, Upstream } from './contract.ts';
import type { DnsAnswer } from './resolve.ts';
import {
  backendOf,
  endpointAt,
  endpointNamed,
  ip,
  LOOPBACK,
  OneServiceMesh,
  pick,
  wanted,
  worldOf,
} from './upstream.fixture.ts';

const kindOf = (result: PickResult): string => `${result.kind} ${result.code ?? result.endpoint?.label ?? ''}`.trim();

/** Labels of so many picks, sorted, each once. */
function labels(upstream: Upstream, picks = 8): string[] {
  const seen = new Set<string>();
  for (let i = 0; i < picks; i++) seen.add(upstream.pick(wanted()).endpoint?.label ?? '');
  return [...seen].sort();
}

test('pods of the mesh are reached over HBONE as themselves, others in plain TCP', async () => {
  const pod = { protocol: 'HBONE', namespace: 'shop', serviceAccount: 'api', trustDomain: 'td.example' } as const;
  const mesh = new OneServiceMesh([endpointAt('10.244.0.9', 8080, pod), endpointAt('192.0.2.1', 8080)]);
  const { upstream } = worldOf(mesh, () => backendOf());
  const inMesh = await pick(upstream);
  assert.equal(
    [inMesh.label, inMesh.viaHbone, inMesh.identity?.uri],
    ['10.244.0.9:8080', true, 'spiffe://td.example/ns/shop/sa/api'],
  );
  const outside = await pick(upstream);
  assert.equal([outside.label, outside.viaHbone, outside.identity], ['192.0.2.1:8080', false, undefined]);
});

test('the port is the endpoint’s own; the service’s comes from the backend, with its TLS, as long as that says one', async () => {
  const cases: [own: number | undefined, target: number, backend: number, port: number | undefined][] = [
    [1, 2, 3, 1],
    [2, 2, 3, 3],
    [2, 2, 0, 2],
    [1, 0, 0, 1],
    [undefined, 2, 3, 3],
    [undefined, 2, 0, 2],
    [undefined, 0, 3, 3],
    [undefined, 0, 0, undefined],
  ];
  for (const [own, target, targetPort, port] of cases) {
    const one = endpointAt('192.0.2.1', 0);
    const mesh = new OneServiceMesh([{ ...one, ports: new Map(own === undefined ? [] : [[80, own]]) }], target);
    const result = worldOf(mesh, () => backendOf({ targetPort })).upstream.pick(wanted());
    assert.is(result.endpoint?.address.port, port);
    if (port === undefined) assert.match(result.detail, 'does not say which port 80 is');
  }
});

test('what is missing is named', () => {
  const mesh = new OneServiceMesh([]);
  const { upstream } = worldOf(mesh, () => backendOf());
  assert.is(kindOf(upstream.pick(wanted())), 'none NO_HEALTHY_UPSTREAM');
  assert.match(upstream.pick(wanted()).detail, 'shop/api.shop port 80: it has no endpoints');
  assert.is(kindOf(upstream.pick(wanted({ port: 81 }))), 'none UNKNOWN_BACKEND');
  assert.match(upstream.pick(wanted({ port: 81 })).detail, 'no port 81');
  assert.is(kindOf(upstream.pick(wanted({ backend: 'shop/other' }))), 'none UNKNOWN_BACKEND');
  mesh.replace([endpointAt('192.0.2.1', 80, { capacity: 0 })]);
  assert.match(upstream.pick(wanted()).detail, 'weight 0');
  mesh.replace([endpointAt('192.0.2.1', 80, { network: 'far' })]);
  assert.match(upstream.pick(wanted()).detail, 'on network far');
});

test('changes of the mesh are seen at the next pick', () => {
  const mesh = new OneServiceMesh([endpointAt('192.0.2.1', 80)]);
  const { upstream } = worldOf(mesh, () => backendOf());
  assert.equal(labels(upstream), ['192.0.2.1:80']);
  mesh.replace([endpointAt('192.0.2.2', 80), endpointAt('192.0.2.3', 80)]);
  assert.equal(labels(upstream), ['192.0.2.2:80', '192.0.2.3:80']);
});

test('tried endpoints are avoided while there is another', () => {
  const mesh = new OneServiceMesh([endpointAt('192.0.2.1', 80), endpointAt('192.0.2.2', 80)]);
  const { upstream } = worldOf(mesh, () => backendOf({ loadBalancer: 'LEAST_REQUEST' }));
  const first = upstream.pick(wanted()).endpoint;
  assert.is(first?.label, '192.0.2.1:80');
  const tried = first === undefined ? [] : [first];
  const second = upstream.pick(wanted({ tried })).endpoint;
  assert.is(second?.label, '192.0.2.2:80');
  if (second !== undefined) tried.push(second);
  assert.is(upstream.pick(wanted({ tried })).kind, 'endpoint');
});

test('resolution NONE and PASSTHROUGH go where the client wanted to go', () => {
  const mesh = new OneServiceMesh([endpointAt('10.244.0.9', 8080, { protocol: 'HBONE' })]);
  const rows: Backend[] = [backendOf({ resolution: 'NONE' }), backendOf({ loadBalancer: 'PASSTHROUGH' })];
  for (const backend of rows) {
    const { upstream } = worldOf(mesh, () => backend);
    const to = (text: string): PickResult =>
      upstream.pick(wanted({ originalDestination: { ip: ip(text), port: 443 } }));
    assert.equal([to('203.0.113.7').endpoint?.label, to('203.0.113.7').endpoint?.viaHbone], ['203.0.113.7:443', false]);
    assert.equal([to('10.244.0.9').endpoint?.label, to('10.244.0.9').endpoint?.viaHbone], ['10.244.0.9:443', true]);
  }
});

test('a bound workload’s own address has no backend', () => {
  const mesh = new OneServiceMesh([endpointAt('10.244.0.9', 8080, { protocol: 'HBONE', serviceAccount: 'x' })]);
  const { upstream } = worldOf(mesh, () => backendOf());
  const result = upstream.pick(wanted({ backend: undefined, originalDestination: { ip: ip('10.244.0.9'), port: 9 } }));
  assert.equal(
    [result.endpoint?.label, result.endpoint?.identity?.uri],
    ['10.244.0.9:9', 'spiffe://cluster.local/ns/shop/sa/x'],
  );
});

interface Named {
  readonly upstream: Upstream;
  readonly clock: { now: number };
}

function named(backend: Backend, answers: Record<string, DnsAnswer | Error>): Named {
  const clock = { now: 0 };
  const { upstream } = worldOf(new OneServiceMesh([endpointNamed('api.example', 443)]), () => backend, {
    now: () => clock.now,
    dns: (host) => {
      const answer = answers[host] ?? new Error('ENOTFOUND');
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  });
  return { upstream, clock };
}

test('DNS: all addresses are endpoints, first awaited, then renewed; IPv6 only where there is no IPv4', async () => {
  const answers: Record<string, DnsAnswer | Error> = {
    'api.example': { addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'].map(ip), ttlSeconds: 10 },
  };
  const { upstream, clock } = named(backendOf({ resolution: 'DNS' }), answers);
  assert.is(upstream.pick(wanted()).kind, 'need');
  await upstream.pick(wanted()).ready;
  assert.equal(labels(upstream), ['192.0.2.1:443', '192.0.2.2:443']);
  answers['api.example'] = { addresses: [ip('2001:db8::1')], ttlSeconds: 10 };
  clock.now = 10_000;
  assert.equal(labels(upstream), ['192.0.2.1:443', '192.0.2.2:443']);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(labels(upstream), ['[2001:db8::1]:443']);
  answers['api.example'] = new Error('SERVFAIL');
  clock.now = 20_000;
  labels(upstream);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(labels(upstream), ['[2001:db8::1]:443']);
});

test('DNS_ROUND_ROBIN: one address at a time', async () => {
  const answers = { 'api.example': { addresses: ['192.0.2.1', '192.0.2.2'].map(ip), ttlSeconds: 10 } };
  const { upstream } = named(backendOf({ resolution: 'DNS_ROUND_ROBIN' }), answers);
  await upstream.pick(wanted()).ready;
  assert.equal(labels(upstream), ['192.0.2.1:443']);
});

test('DNS: a name that does not resolve is said with its reason', async () => {
  const { upstream } = named(backendOf({ resolution: 'DNS' }), {});
  await upstream.pick(wanted()).ready;
  const result = upstream.pick(wanted());
  assert.is(kindOf(result), 'none DNS_FAILED');
  assert.match(result.detail, 'api.example does not resolve: ENOTFOUND');
});

test('DYNAMIC_DNS: the wildcard must cover the host, and it must not lead inside', async () => {
  const answers = {
    'a.example': { addresses: [ip('192.0.2.1')], ttlSeconds: 9 },
    'b.example': { addresses: [LOOPBACK, ip('169.254.169.254'), ip('::1')], ttlSeconds: 9 },
  };
  const { upstream } = named(backendOf({ resolution: 'DYNAMIC_DNS', hostname: '*.example', targetPort: 443 }), answers);
  const get = async (host: string | undefined): Promise<PickResult> => {
    const request = wanted({ backend: 'shop/*.example', host });
    await upstream.pick(request).ready;
    return upstream.pick(request);
  };
  assert.is(kindOf(await get('a.example')), 'endpoint 192.0.2.1:443');
  assert.is(kindOf(await get('A.Example')), 'endpoint 192.0.2.1:443');
  for (const host of ['b.example', 'nowhere.example']) assert.is(kindOf(await get(host)), 'none DNS_FAILED', host);
  for (const host of [undefined, 'example', 'a.example.org', '127.0.0.1', 'aexample'])
    assert.is(kindOf(await get(host)), 'none NO_ROUTE', host);
});

test('a wildcard covers names below it', () => {
  assert.ok(coveredBy('*.example.com', 'a.b.example.com'));
  assert.not(coveredBy('*.example.com', 'example.com'));
  assert.not(coveredBy('*.example.com', '.example.com'));
  assert.ok(coveredBy('example.com', 'EXAMPLE.com'));
});

test.run();
