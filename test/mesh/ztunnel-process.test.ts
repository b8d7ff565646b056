// deadline: 60s
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { enterNamespaces } from '../harness/netns.ts';

const MAIN = fileURLToPath(new URL('../../packages/ztunnel/src/main.ts', import.meta.url));

interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

const children = new Set<ChildProcess>();
test.after.each(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

function start(env: Readonly<Record<string, string>>, ...args: string[]): Running {
  let output = '';
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH: '/usr/bin:/bin', ...env } });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  children.add(child);
  const exit = once(child, 'close').then(([code]: (number | null)[]) => code ?? null);
  return { child, output: () => output, exit };
}

/** Asks until the answer comes that is waited for. */
async function poll(url: string, expected: string, init?: RequestInit): Promise<void> {
  let seen = '';
  for (const deadline = Date.now() + 10_000; Date.now() < deadline;) {
    try {
      seen = await (await fetch(url, init)).text();
      if (seen.includes(expected)) return;
    } catch (error) {
      seen = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url}: expected ${expected}, saw ${seen}`);
}

if (enterNamespaces(import.meta.url)) {
  const ready = 'http://127.0.0.1:15021/healthz/ready';

  test('without a control plane it is not ready and says what is missing; SIGTERM ends it with 0', async () => {
    const { child, exit, output } = start({ XDS_ADDRESS: 'localhost:1', XDS_ROOT_CA: 'SYSTEM' }, 'proxy', 'ztunnel');
    await poll(ready, 'not ready, pending: dns proxy, proxy, state manager, workload proxy manager\n');
    assert.is((await fetch(ready, { method: 'POST' })).status, 405);
    assert.is((await fetch('http://127.0.0.1:15021/other')).status, 404);
    child.kill('SIGTERM');
    assert.is(await exit, 0, output());
  });

  test('ZT-DIR-02 with an empty XDS_ADDRESS it waits for the CNI only; /quitquitquit ends it', async () => {
    const { exit, output } = start({ XDS_ADDRESS: '' });
    await poll(ready, 'not ready, pending: workload proxy manager\n');
    await poll('http://127.0.0.1:15000/config_dump', '"stagedServices": {}');
    await poll('http://127.0.0.1:15020/metrics', 'istio_build{component="ztunnel"');
    assert.is((await fetch('http://127.0.0.1:15000/quitquitquit')).status, 405);
    await poll('http://127.0.0.1:15000/quitquitquit', 'shutdown now\n', { method: 'POST' });
    assert.is(await exit, 0, output());
  });

  test('ZT-CFG-06 log levels: asked, set, by scope, reset, invalid', async () => {
    const { child, exit } = start({ XDS_ADDRESS: '', RUST_LOG: 'warn' });
    const url = 'http://127.0.0.1:15000/logging';
    const post = { method: 'POST' };
    await poll(url, 'current log level is hickory_server::server=off,warn\n', post);
    await poll(`${url}?level=access=debug`, 'hickory_server::server=off,access=debug,warn', post);
    await poll(`${url}?reset`, 'hickory_server::server=off,warn', post);
    const bad = await fetch(`${url}?level=loud`, post);
    assert.equal([bad.status, (await bad.text()).split('\n')[0]], [400, 'Invalid level provided: loud']);
    assert.is((await fetch(url)).status, 405);
    child.kill('SIGINT');
    await exit;
  });

  test('ZT-E2E-01 ZT-DIR-03 dedicated mode with static state: one workload, reached by SOCKS5, no CNI needed', async () => {
    const local = `
workloads:
  - { uid: w, name: w, namespace: a, serviceAccount: s, workloadIps: [127.0.0.1], services: { a/web.example: { 80: 8099 } } }
services:
  - { name: web, namespace: a, hostname: web.example, vips: [/10.96.0.1], ports: { 80: 8099 } }
`;
    const { child, exit, output } = start({
      PROXY_MODE: 'dedicated',
      PROXY_WORKLOAD_INFO: 'a/w/s',
      XDS_ADDRESS: '',
      LOCAL_XDS: local,
      UNSTABLE_ENABLE_SOCKS5: 'true',
    });
    await poll(ready, 'ready\n');
    const web = createServer((socket) => socket.end('hello')).listen(8099, '127.0.0.1');
    const client = connect(15_080, '127.0.0.1');
    client.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 10, 96, 0, 1, 0, 80]));
    let answer = '';
    client.on('data', (chunk) => (answer += String(chunk)));
    await once(client, 'end');
    client.destroy();
    assert.match(answer, /hello$/);
    web.close();
    child.kill('SIGTERM');
    assert.is(await exit, 0, output());
    assert.match(output(), /src.workload="w".*dst.addr=127.0.0.1:8099 dst.service="web.example"/);
  });

  test('ZT-DIR-01 a taken port aborts the start and is named', async () => {
    const first = start({ XDS_ADDRESS: '' });
    await poll(ready, 'not ready');
    const second = start({ XDS_ADDRESS: '' });
    assert.is(await second.exit, 1);
    assert.match(second.output(), /15021/);
    first.child.kill('SIGTERM');
    await first.exit;
  });

  for (const [args, code, text] of [
    [['version'], 0, 'ztunnel 0.'],
    [['help'], 0, 'XDS_ADDRESS'],
    [['other'], 1, 'expected proxy, version or help'],
  ] as const) {
    test(`${args.join(' ')} prints and ends with ${code}`, async () => {
      const { exit, output } = start({}, ...args);
      assert.is(await exit, code);
      assert.match(output(), text);
    });
  }

  test('a variable that is not understood ends it with 1 and says what is accepted', async () => {
    const { exit, output } = start({ IPV6_ENABLED: 'yes' });
    assert.is(await exit, 1);
    assert.match(output(), 'IPV6_ENABLED="yes" (accepted: true or false)');
  });
}
test.run();
