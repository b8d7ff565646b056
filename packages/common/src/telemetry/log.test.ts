import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createLogger, type Logger } from './log.ts';

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.901;

function capture(level: string, format: 'plain' | 'json' = 'plain'): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level, format, write: (line) => lines.push(line), now: () => AT }), lines };
}

test('writes the plain line of the node agent', () => {
  const { log, lines } = capture('info');
  log.scope('access').info('connection complete', {
    'src.addr': '10.1.0.4:40112',
    'src.workload': 'shell-0',
    'dst.service': undefined,
    direction: 'outbound',
    bytes_sent: 11,
    duration: '3ms',
  });
  assert.equal(lines, [
    '2026-01-02T03:04:05.678901Z\tinfo\taccess\tconnection complete\tsrc.addr=10.1.0.4:40112 src.workload="shell-0" direction="outbound" bytes_sent=11 duration="3ms"',
  ]);
});

test('writes one JSON object with keys in their order', () => {
  const { log, lines } = capture('info', 'json');
  log.scope('access').warn('connection failed', { 'src.addr': '10.1.0.4:1', bytes_sent: 0, gone: undefined });
  assert.equal(lines, [
    '{"level":"warn","time":"2026-01-02T03:04:05.678901Z","scope":"access","message":"connection failed","src.addr":"10.1.0.4:1","bytes_sent":0}',
  ]);
});

test('a message without fields still ends in a tab, fields without a message follow the scope', () => {
  const { log, lines } = capture('debug');
  log.scope('app').info('ready');
  log.scope('dns').debug('', { query: 'A', endpoints: 0 });
  assert.equal(lines, [
    '2026-01-02T03:04:05.678901Z\tinfo\tapp\tready\t',
    '2026-01-02T03:04:05.678901Z\tdebug\tdns\tquery="A" endpoints=0',
  ]);
});

test('the program prefix of a scope is left out of the plain form only', () => {
  const plain = capture('info');
  plain.log.scope('ztunnel::proxy::inbound').info('x');
  assert.match(plain.lines[0] ?? '', '\tproxy::inbound\t');
  const json = capture('info', 'json');
  json.log.scope('ztunnel::proxy::inbound').info('x');
  assert.match(json.lines[0] ?? '', '"scope":"ztunnel::proxy::inbound"');
});

test('a value cannot forge a line or a field', () => {
  const { log, lines } = capture('info');
  log.scope('access').info('a\nb', { error: 'x"\ny\u001b[1m\\', 'dst.hbone_addr': 'a b="c"' });
  const expected = String.raw`a\nb` + '\t' + String.raw`error="x\"\ny\u{1b}[1m\\" dst.hbone_addr="a b=\"c\""`;
  assert.equal(lines[0]?.split('\taccess\t')[1], expected);
});

test('the most specific directive decides', () => {
  const { log, lines } = capture('info,access=debug,ztunnel::xds=off');
  log.scope('access').debug('1');
  log.scope('other').debug('2');
  log.scope('ztunnel::xds::client').error('3');
  assert.is(lines.length, 1);
  assert.is(log.level(), 'ztunnel::xds=off,access=debug,info');
});

test('scopes that no clause names are silent without a default', () => {
  const { log, lines } = capture('access=info');
  log.scope('other').error('1');
  assert.is(lines.length, 0);
});

test('the level changes while scopes are in use, and a bad one changes nothing', () => {
  const { log, lines } = capture('info');
  const scope = log.scope('a');
  assert.not(scope.enabled('debug'));
  log.setLevel('info,a=trace');
  assert.ok(scope.enabled('trace'));
  for (const bad of ['loud', 'a=', '=info', 'a:debug', 'a=info=loud'])
    assert.throws(() => log.setLevel(bad), /is not understood/);
  scope.trace('kept');
  assert.is(lines.length, 1);
});

test('raw lines pass as they are', () => {
  const { log, lines } = capture('off', 'json');
  log.raw('[2026] "GET / HTTP/1.1"');
  assert.equal(lines, ['[2026] "GET / HTTP/1.1"']);
});

const LOG = JSON.stringify(new URL('log.ts', import.meta.url));
const program = (body: string): string[] => [
  '--input-type=module',
  '-e',
  `import { createLogger } from ${LOG}; const log = createLogger({ level: 'info', format: 'plain' }); ${body}`,
];

test('lines reach standard output, also those written just before the process ends', () => {
  const { stdout } = spawnSync(
    process.execPath,
    program("log.raw('1'); setImmediate(() => { log.raw('2'); process.exit(); })"),
  );
  assert.is(stdout.toString(), '1\n2\n');
});

test('a reader that stalls holds up nothing, and what was dropped is told', async () => {
  const child = spawn(
    process.execPath,
    program(`
      for (let i = 0; i < 50; i += 1) { log.raw('x'.repeat(200_000)); await new Promise(setImmediate); }
      process.stderr.write('alive');
      process.stdin.once('data', () => {
        const again = setInterval(() => log.raw('last'), 50);
        process.stdin.once('end', () => clearInterval(again));
      });`),
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  await once(child.stderr, 'data', { signal: AbortSignal.timeout(10_000) });
  child.stdin.write('go');
  let end = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    end = (end + String(chunk)).slice(-1000);
    if (/\n\d+ log lines were dropped: nobody read them\nlast\n/.test(end)) child.stdin.end();
  }
  assert.match(end, /\n\d+ log lines were dropped: nobody read them\n(last\n)+$/);
});

test.run();
