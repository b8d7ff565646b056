import * as fc from 'fast-check';
import type { HostPort } from '@ambit/common/address/host-port';
import { parseIp } from '@ambit/common/address/ip';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Baggage, formatBaggage, parseBaggage } from './baggage.ts';
import { connectHeaders } from './connect.ts';
import { formatForwarded, parseForwardedHost } from './forwarded.ts';
import { newTraceparent, parseTraceId } from './traceparent.ts';

function at(text: string, port: number): HostPort {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(text);
  return { ip, port };
}

const FULL: Baggage = {
  cluster: 'Kubernetes',
  namespace: 'a',
  workloadType: 'deployment',
  workloadName: 'shell',
  serviceName: 'shell',
  serviceVersion: 'v1',
  region: 'r1',
  zone: 'z1',
};
const FULL_TEXT =
  'k8s.cluster.name=Kubernetes,k8s.namespace.name=a,k8s.deployment.name=shell,service.name=shell,service.version=v1,cloud.region=r1,cloud.availability_zone=z1';
const { workloadType: _, ...FULL_READ } = FULL;

test('ZT-IN-10 baggage: full, in order', () => {
  assert.is(formatBaggage(FULL), FULL_TEXT);
  assert.equal(parseBaggage([FULL_TEXT]), FULL_READ);
});

for (const workloadType of ['deployment', 'cronjob', 'pod', 'job'] as const) {
  test(`ZT-IN-10 baggage: a ${workloadType} names the workload`, () => {
    const text = formatBaggage({ workloadType, workloadName: 'x' });
    assert.is(text, `k8s.${workloadType}.name=x`);
    assert.equal(parseBaggage([text]), { workloadName: 'x' });
  });
}

const READ: readonly { name: string; lines: string[]; baggage: Baggage }[] = [
  { name: 'no header', lines: [], baggage: {} },
  { name: 'empty header', lines: [''], baggage: {} },
  { name: 'empty values', lines: ['k8s.cluster.name=,service.name='], baggage: {} },
  { name: 'an empty value clears what came before', lines: ['service.name=a', 'service.name='], baggage: {} },
  {
    name: 'several lines, later wins',
    lines: ['service.name=a,cloud.region=r', 'service.name=b'],
    baggage: { serviceName: 'b', region: 'r' },
  },
  {
    name: 'unknown keys and members without "="',
    lines: ['x=1,service.name,service.version=v'],
    baggage: { serviceVersion: 'v' },
  },
  { name: 'no trimming', lines: ['service.name=a, service.version=v'], baggage: { serviceName: 'a' } },
  { name: 'text after a second "=" is lost', lines: ['service.name=a=b'], baggage: { serviceName: 'a' } },
  { name: 'one bad line discards all', lines: ['service.name=a', 'service.version=\u00e9'], baggage: {} },
];

for (const { name, lines, baggage } of READ)
  test(`ZT-IN-10 baggage: ${name}`, () => assert.equal(parseBaggage(lines), baggage));

test('ZT-IN-10 baggage: round trip', () => {
  const text = fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/);
  const optional = fc.option(text, { nil: undefined });
  const baggage = fc.record({
    cluster: optional,
    namespace: optional,
    workloadName: optional,
    serviceName: optional,
    serviceVersion: optional,
    region: optional,
    zone: optional,
  });
  fc.assert(
    fc.property(baggage, (one) => {
      const present = Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined));
      assert.equal(parseBaggage([formatBaggage(one)]), present);
    }),
  );
});

test('ZT-OUT-20 forwarded: v4, v6, with host', () => {
  assert.is(formatForwarded(at('10.1.0.4', 40_112), undefined), 'for="10.1.0.4:40112"');
  assert.is(formatForwarded(at('::1', 80), undefined), 'for="[::1]:80"');
  assert.is(
    formatForwarded(at('10.1.0.4', 40_112), 'web.b.svc.cluster.local'),
    'for="10.1.0.4:40112";host=web.b.svc.cluster.local',
  );
});

const FORWARDED: readonly { name: string; line: string | undefined; host: string | undefined }[] = [
  { name: 'bare', line: 'for="10.0.0.1:1";host=a.b', host: 'a.b' },
  { name: 'quoted', line: 'host="a.b";for=x', host: 'a.b' },
  { name: 'blanks around parts', line: 'for=x ; host=a.b ', host: 'a.b' },
  { name: 'absent', line: 'for="10.0.0.1:1"', host: undefined },
  { name: 'no header', line: undefined, host: undefined },
  { name: 'empty', line: 'for=x;host=', host: undefined },
  { name: 'empty in quotes', line: 'host=""', host: undefined },
  { name: 'upper case is another parameter', line: 'Host=a', host: undefined },
  { name: 'the first one counts', line: 'host=a;host=b', host: 'a' },
  { name: 'a comma separates nothing', line: 'host=a,for=b', host: 'a,for=b' },
  { name: 'non-ASCII', line: 'host=\u00e9', host: undefined },
];

for (const { name, line, host } of FORWARDED)
  test(`ZT-IN-09 forwarded host: ${name}`, () => assert.is(parseForwardedHost(line), host));

test('ZT-OUT-21 x-forwarded-network only when an origin network is given, even an empty one', () => {
  const context = { baggage: FULL, client: at('10.1.0.4', 1), service: undefined, traceparent: 't' };
  assert.is(connectHeaders(context).has('x-forwarded-network'), false);
  assert.is(connectHeaders({ ...context, originNetwork: '' }).get('x-forwarded-network'), '');
  assert.equal(
    [...connectHeaders({ ...context, originNetwork: 'network-1' })].map(([name]) => name),
    ['baggage', 'forwarded', 'traceparent', 'x-forwarded-network'],
  );
});

test('an empty baggage is still sent', () => {
  const headers = connectHeaders({ baggage: {}, client: at('::1', 1), service: '', traceparent: 't' });
  assert.is(headers.get('baggage'), '');
  assert.is(headers.get('forwarded'), 'for="[::1]:1"');
});

test('traceparent: written as 00-…-…-00, read at exactly 55 characters of four hex groups', () => {
  const made = newTraceparent((bytes) => Buffer.alloc(bytes, 0xab));
  assert.is(made, `00-${'ab'.repeat(16)}-${'ab'.repeat(8)}-00`);
  assert.is(parseTraceId(made), 'ab'.repeat(16));
  assert.is.not(newTraceparent(), newTraceparent());
  for (const bad of [undefined, '', `${made}0`, made.slice(1), made.replace('ab', 'xy'), made.replaceAll('-', '_')])
    assert.is(parseTraceId(bad), undefined);
});

test.run();
