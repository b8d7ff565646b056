// deadline: 150s
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ValidationFailure } from '@ambit/standalone/api/client';
import { stopMesh } from '@ambit/standalone/down';
import type { StartedMesh } from '@ambit/standalone/up';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Bench, isReady, kind, readyPod, run, statusOf, until } from './standalone-scenario.ts';

const SERVER = `require("http").createServer((q, r) => r.end(process.env.GREETING + " " + q.socket.remoteAddress.replace("::ffff:", "") + "\\n")).listen(8080, "::")`;

const deployment = (name: string, replicas: number, container: string, pod = ''): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: main
          image: example/${name}:1
${container}
${pod}`;

const web = (greeting: string): string =>
  deployment(
    'web',
    2,
    `          command: [node, -e, '${SERVER}']
          env: [{ name: GREETING, value: ${greeting} }]
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /, port: http }, periodSeconds: 1 }`,
  );

const OBJECTS = [
  'apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }',
  `apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, ipFamilyPolicy: PreferDualStack, ports: [{ name: http, port: 80, targetPort: http }] }`,
  'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings, namespace: shop }\ndata: { colour: green }',
  'apiVersion: v1\nkind: Secret\nmetadata: { name: key, namespace: shop }\nstringData: { word: sesame }',
  web('hello'),
  deployment(
    'client',
    1,
    `          command: [sleep, infinity]
          workingDir: /app/settings
          env:
            - { name: COLOUR, valueFrom: { configMapKeyRef: { name: settings, key: colour } } }
            - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
          volumeMounts:
            - { name: settings, mountPath: /app/settings }
            - { name: key, mountPath: /etc/shop/key }
            - { name: scratch, mountPath: /var/run/scratch }`,
    `      volumes:
        - { name: settings, configMap: { name: settings } }
        - { name: key, secret: { secretName: key } }
        - { name: scratch, emptyDir: {} }`,
  ),
  deployment('crash', 1, `          command: [sh, -c, 'echo going down; exit 3']`),
  deployment(
    'sick',
    1,
    `          command: [sleep, infinity]
          livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 }`,
  ),
  deployment('image', 1, '          args: [only]'),
  `apiVersion: v1
kind: Pod
metadata: { name: internet, namespace: shop, annotations: { ambit.dev/outside: 203.0.113.10/24 } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: internet
      command: [node, -e, '${SERVER}']
      env: [{ name: GREETING, value: outside }]
      readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }`,
].join('\n---\n');

const bench = new Bench(OBJECTS);
let mesh: StartedMesh;

test.before(async () => {
  mesh = await bench.start();
});

test.after(async () => {
  await stopMesh({ stateDir: bench.stateDir });
  bench.remove();
});

test('pods run, and what cannot run has a verdict with its last words', async () => {
  const status = await until('verdicts', async () => {
    const now = await mesh.api.status();
    return now.trouble.length >= 2 && now.settled && now;
  });
  assert.ok(status.programs.every((one) => one.ready));
  assert.is(status.pid, mesh.pid);
  const crash = status.trouble.find((pod) => pod.name.startsWith('crash'));
  assert.is(crash?.reason, 'CrashLoopBackOff');
  assert.match(crash?.message ?? '', /exited with 3/);
  assert.equal(crash?.lastLines.at(-1), 'going down');
  const image = status.trouble.find((pod) => pod.name.startsWith('image'));
  assert.is(image?.reason, 'CreateContainerConfigError');
  assert.match(image?.message ?? '', /example\/image:1 but no command/);
});

test('pods reach one another by address, Service, name and family', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  const server = await readyPod(mesh.api, 'shop', 'web');
  const address = String(statusOf(client)['podIP']);
  const service = await mesh.api.get(kind('services'), 'shop', 'web');
  const ips: unknown = service.spec?.['clusterIPs'];
  assert.ok(Array.isArray(ips) && ips.length === 2);
  const hosts = [
    String(statusOf(server)['podIP']) + ':8080',
    String(ips[0]),
    'web',
    'web.shop',
    'web.shop.svc.cluster.local',
  ];
  for (const host of hosts) {
    const { out, err } = await run(mesh.api, client, ['curl', '-4sS', '-m', '5', `http://${host}`]);
    assert.is(out, `hello ${address}\n`, `${host}: ${err}`);
  }
  const six = await run(mesh.api, client, ['curl', '-6sS', '-m', '5', 'http://web']);
  assert.match(six.out, /^hello fd00:10:244::/, six.err);
});

test('a pod sees its environment, its files and its name', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  const shell = (text: string): Promise<{ out: string }> => run(mesh.api, client, ['sh', '-c', text]);
  assert.is((await shell('echo $COLOUR $POD_IP')).out, `green ${String(statusOf(client)['podIP'])}\n`);
  assert.is((await shell('pwd; cat colour; cat /etc/shop/key/word')).out, '/app/settings\ngreensesame');
  assert.is((await shell('cat /proc/sys/kernel/hostname')).out, `${client.metadata.name}\n`);
  assert.is((await shell('echo x > /var/run/scratch/x && cat /var/run/scratch/x')).out, 'x\n');
  assert.match(
    (await shell('cat /etc/resolv.conf')).out,
    /^nameserver 10\.96\.0\.10\nsearch shop\.svc\.cluster\.local /,
  );
  assert.match((await shell('node --version')).out, new RegExp(`^${process.version}`));
});

test('a changed ConfigMap reaches the files of running pods', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  await mesh.api.apply(
    'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings, namespace: shop }\ndata: { colour: blue }',
    { file: 'test' },
  );
  const { out } = await run(mesh.api, client, ['cat', '/app/settings/colour']);
  assert.is(out, 'blue');
});

test('exec passes input, both outputs and the exit code', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  const done = await run(mesh.api, client, ['sh', '-c', 'cat; echo no >&2; exit 7'], Readable.from(['from ', 'here']));
  assert.equal(done, { code: 7, out: 'from here', err: 'no\n' });
  const missing = await run(mesh.api, client, ['/no/such/program']);
  assert.is(missing.code, 127);
  try {
    await run(mesh.api, { ...client, metadata: { ...client.metadata, name: 'nobody' } }, ['true']);
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /pod "nobody" not found in namespace "shop"/);
  }
});

test('logs are kept and can be cut', async () => {
  const crash = await until('a second restart', async () =>
    (await mesh.api.list(kind('pods'), 'shop')).find(
      (pod) => pod.metadata.name.startsWith('crash') && /"restartCount":[2-9]/.test(JSON.stringify(pod.status)),
    ),
  );
  let text = '';
  const wanted = { namespace: 'shop', pod: crash.metadata.name, onText: (part: string) => void (text += part) };
  await mesh.api.logs(wanted);
  assert.match(text, /^going down\ngoing down\n/);
  text = '';
  await mesh.api.logs({ ...wanted, tailLines: 1 });
  assert.is(text, 'going down\n');
});

test('a failing liveness probe restarts its container', async () => {
  await until('a restart', async () =>
    (await mesh.api.list(kind('pods'), 'shop')).some(
      (pod) => pod.metadata.name.startsWith('sick') && JSON.stringify(pod.status).includes('liveness probe failed'),
    ),
  );
});

test('the world outside is reached through the node, and is no part of the mesh', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  const { out, err } = await run(mesh.api, client, ['curl', '-sS', '-m', '5', 'http://203.0.113.10:8080']);
  assert.is(out, 'outside 203.0.113.1\n', err);
  const internet = await mesh.api.get(kind('pods'), 'shop', 'internet');
  assert.is(statusOf(internet)['podIP'], undefined);
});

test('a labelled namespace is captured while its pods run', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  await mesh.api.merge(kind('namespaces'), undefined, 'shop', {
    metadata: { labels: { 'istio.io/dataplane-mode': 'ambient' } },
  });
  await until('capture', async () =>
    (await mesh.api.list(kind('pods'), 'shop', { labelSelector: 'app in (web, client)' })).every(
      (pod) => pod.metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled',
    ),
  );
  await until('a tunnel', async () => {
    const { out } = await run(mesh.api, client, ['curl', '-4sS', '-m', '5', 'http://web']);
    assert.match(out, /^hello /);
    let log = '';
    await mesh.api.logs({ namespace: 'istio-system', pod: 'ztunnel', onText: (text) => (log += text) });
    return /dst\.hbone_addr=\S+:8080 .*direction="inbound"/.test(log);
  });
  const internet = await mesh.api.get(kind('pods'), 'shop', 'internet');
  assert.is(internet.metadata.annotations?.['ambient.istio.io/redirection'], undefined);
});

test('a new template replaces pods, and the Service answers all the while', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  const loop = run(mesh.api, client, [
    'sh',
    '-c',
    'for i in $(seq 40); do curl -4sS -m 5 http://web || echo FAILED; sleep 0.05; done',
  ]);
  await mesh.api.apply(web('welcome'), { file: 'web.yaml' });
  await until('two new pods alone', async () => {
    const pods = await mesh.api.list(kind('pods'), 'shop', { labelSelector: 'app=web' });
    return pods.length === 2 && pods.every((pod) => isReady(pod) && JSON.stringify(pod.spec).includes('welcome'));
  });
  const { out, err } = await loop;
  assert.not.match(out, /FAILED/, err);
  assert.match((await run(mesh.api, client, ['curl', '-4sS', '-m', '5', 'http://web'])).out, /^welcome /);
});

test('a deleted pod of a Deployment is replaced', async () => {
  const pod = await readyPod(mesh.api, 'shop', 'web');
  await mesh.api.delete(kind('pods'), 'shop', pod.metadata.name);
  await until('its successor', async () => {
    const pods = await mesh.api.list(kind('pods'), 'shop', { labelSelector: 'app=web' });
    return pods.length === 2 && pods.every((one) => one.metadata.uid !== pod.metadata.uid && isReady(one));
  });
});

const plainPod = (word: string): string => `apiVersion: v1
kind: Pod
metadata: { name: plain, namespace: shop }
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  initContainers:
    - { name: first, image: x, command: [sh, -c, 'echo ${word} > /work/word'], volumeMounts: [{ name: work, mountPath: /work }] }
  containers:
    - { name: main, image: x, command: [sh, -c, 'cat /work/word; sleep 60'], volumeMounts: [{ name: work, mountPath: /work }] }
  volumes: [{ name: work, emptyDir: {} }]`;

test('a pod of its own runs its init containers first, and starts anew when its spec changes', async () => {
  for (const word of ['one', 'two']) {
    await mesh.api.apply(plainPod(word), { file: 'plain.yaml' });
    await until(word, async () => {
      let text = '';
      await mesh.api.logs({ namespace: 'shop', pod: 'plain', tailLines: 1, onText: (part) => (text += part) });
      return text === `${word}\n` && isReady(await mesh.api.get(kind('pods'), 'shop', 'plain'));
    });
  }
  await mesh.api.delete(kind('pods'), 'shop', 'plain');
  await until('its end', async () =>
    (await mesh.api.list(kind('pods'), 'shop')).every((pod) => pod.metadata.name !== 'plain'),
  );
});

test('the node agent may be killed: the next one takes the pods over', async () => {
  const client = await readyPod(mesh.api, 'shop', 'client');
  const agent = await mesh.api.get(kind('pods'), 'istio-system', 'ztunnel');
  const kill =
    'for p in /proc/[0-9]*; do grep -aq "ztunnel/src/mai[n].ts" $p/cmdline && kill -9 ${p#/proc/}; done; true';
  await run(mesh.api, agent, ['sh', '-c', kill]);
  await until('its next start', async () =>
    (await mesh.api.status()).programs.some((one) => one.name === 'ztunnel' && one.ready && one.restarts > 0),
  );
  await until('an answer', async () =>
    (await run(mesh.api, client, ['curl', '-4sS', '-m', '5', 'http://web'])).out.startsWith('welcome '),
  );
});

test('a refused file says where it is wrong and changes nothing', async () => {
  try {
    await mesh.api.apply(
      `${web('never')}\n---\napiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { ports: 7 }`,
      { file: 'bad.yaml' },
    );
    assert.unreachable();
  } catch (error) {
    assert.instance(error, ValidationFailure);
    if (!(error instanceof ValidationFailure)) return;
    assert.is(error.errors[0]?.file, 'bad.yaml');
    assert.ok((error.errors[0]?.line ?? 0) > 1);
  }
  const now = await mesh.api.get(kind('deployments'), 'shop', 'web');
  assert.not.match(JSON.stringify(now.spec), /never/);
});

test('metrics of the node agent are read through the proxy', async () => {
  const text = await mesh.api.proxy({
    namespace: 'istio-system',
    pod: 'ztunnel',
    port: 15_020,
    path: '/stats/prometheus',
  });
  assert.match(text, /istio_tcp_connections_opened/);
});

test('a watch tells what is there and what changes', async () => {
  const ending = new AbortController();
  const seen: string[] = [];
  for await (const { type, object } of mesh.api.watch(kind('configmaps'), 'shop', { signal: ending.signal })) {
    seen.push(`${type} ${object.metadata.name}`);
    if (seen.includes('ADDED settings') && seen.length === 2)
      await mesh.api.merge(kind('configmaps'), 'shop', 'settings', { metadata: { labels: { a: 'b' } } });
    if (type === 'MODIFIED') ending.abort();
  }
  assert.ok(seen.includes('MODIFIED settings'), seen.join(', '));
});

test('the same state folder cannot be used twice', async () => {
  try {
    await bench.start();
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /a mesh is already running with the state folder/);
  }
});

const clusterIp = async (): Promise<unknown> =>
  (await mesh.api.get(kind('services'), 'shop', 'web')).spec?.['clusterIPs'];
const rootCertificate = async (): Promise<unknown> =>
  (await mesh.api.get(kind('configmaps'), 'shop', 'istio-ca-root-cert')).data?.['root-cert.pem'];

test('what was killed leaves nothing that the next start does not remove, and is the same mesh again', async () => {
  const before = [await clusterIp(), await rootCertificate()];
  process.kill(mesh.pid, 'SIGKILL');
  const end = await mesh.ended;
  assert.is(end.clean, false);
  await until('no process', async () => bench.processes().length === 0);
  mesh = await bench.start({ detach: true });
  assert.equal([await clusterIp(), await rootCertificate()], before);
  process.kill(mesh.pid, 'SIGKILL');
  await until('no process', async () => bench.processes().length === 0);
  mesh = await bench.start({ detach: true });
  const lock = readFileSync(join(bench.stateDir, 'lock'), 'utf8');
  assert.match(lock, new RegExp(`"pid":${mesh.pid}\\b`));
});

test('down leaves nothing', async () => {
  const started = performance.now();
  const result = await stopMesh({ stateDir: bench.stateDir });
  assert.equal(result, { running: true, forced: false, removed: [] });
  assert.ok(performance.now() - started < 10_000);
  assert.equal(bench.processes(), []);
  assert.not(
    bench.files().some((file) => ['run', 'api.sock', 'lock'].includes(file)),
    bench.files().join(' '),
  );
  assert.equal(await stopMesh({ stateDir: bench.stateDir }), { running: false, forced: false, removed: [] });
});

test.run();
