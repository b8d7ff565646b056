import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Registry } from './metrics.ts';

test('counters carry _total in samples only, and families without samples are left out', () => {
  const registry = new Registry();
  const opened = registry.counter('istio_tcp_connections_opened_total', 'The total number of TCP connections opened', [
    'reporter',
    'source_region',
  ]);
  registry.counter('istio_never', 'Never', []);
  opened.with(['source', undefined]).inc();
  opened.with(['source', undefined]).inc(2);
  opened.with(['destination', 'eu']).inc();
  assert.is(
    registry.render(),
    `# HELP istio_tcp_connections_opened The total number of TCP connections opened.
# TYPE istio_tcp_connections_opened counter
istio_tcp_connections_opened_total{reporter="source"} 3
istio_tcp_connections_opened_total{reporter="destination",source_region="eu"} 1
# EOF
`,
  );
});

test('units follow the type, unstable metrics say so, verbatim help keeps its end', () => {
  const registry = new Registry();
  registry
    .counter('istio_xds_message_bytes', 'Bytes received', ['url'], { unstable: true, unit: 'bytes' })
    .with(['x'])
    .inc(1.5);
  registry.gauge('process_open_fds', 'Number of open fds', [], { verbatimHelp: true }).with([]).set(7);
  assert.is(
    registry.render(),
    `# HELP istio_xds_message_bytes Bytes received (unstable).
# TYPE istio_xds_message_bytes counter
# UNIT istio_xds_message_bytes bytes
istio_xds_message_bytes_total{url="x"} 1.5
# HELP process_open_fds Number of open fds
# TYPE process_open_fds gauge
process_open_fds 7
# EOF
`,
  );
});

test('histograms give sum, count and cumulative buckets with le first', () => {
  const registry = new Registry();
  const duration = registry.histogram('d_seconds', 'Duration', ['p'], { buckets: [0.0005, 1, 5] }).with(['udp']);
  for (const value of [0.0005, 0.5, 1, 7]) duration.observe(value);
  assert.is(
    registry.render(),
    `# HELP d_seconds Duration.
# TYPE d_seconds histogram
d_seconds_sum{p="udp"} 8.5005
d_seconds_count{p="udp"} 4
d_seconds_bucket{le="0.0005",p="udp"} 1
d_seconds_bucket{le="1.0",p="udp"} 3
d_seconds_bucket{le="5.0",p="udp"} 3
d_seconds_bucket{le="+Inf",p="udp"} 4
# EOF
`,
  );
});

test('label values are escaped', () => {
  const registry = new Registry();
  registry.gauge('g', 'G', ['a']).with(['x"\\\ny']).set(1);
  assert.match(registry.render(), String.raw`g{a="x\"\\\ny"} 1`);
});

test('collectors run before each rendering', () => {
  const registry = new Registry();
  const active = registry.gauge('active', 'Active', []);
  let value = 1;
  registry.collect(() => active.with([]).set(value++));
  assert.match(registry.render(), 'active 1');
  assert.match(registry.render(), 'active 2');
});

test('series beyond the bound share one', () => {
  const registry = new Registry();
  const family = registry.counter('c', 'C', ['host'], { maxSeries: 2 });
  for (const host of ['a', 'b', 'c', 'd', 'a']) family.with([host]).inc();
  assert.match(registry.render(), 'c_total{host="a"} 2\nc_total{host="b"} 1\nc_total{host="other"} 2\n');
});

test('the same labels give the same handle, a wrong number or a second definition is refused', () => {
  const registry = new Registry();
  const family = registry.counter('c', 'C', ['a']);
  assert.is(family.with(['x']), family.with(['x']));
  assert.throws(() => family.with([]), /has 1 labels, not 0/);
  assert.throws(() => registry.gauge('c', 'C', []), /defined twice/);
  family.with(['x']).inc();
  family.remove(['x']);
  assert.is(registry.render(), '# EOF\n');
});

test.run();
