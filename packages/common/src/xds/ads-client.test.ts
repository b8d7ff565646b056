// deadline: 15s
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type FakeCa, createFakeCa } from '../../../../test/harness/fake-ca.ts';
import { meshTypes } from '../mesh/ads-types.ts';
import { MeshStore } from '../mesh/store.ts';
import { type WireInput, message } from '../proto/load.ts';
import { createLogger } from '../telemetry/log.ts';
import { type AdsClient, type AdsOptions, startAdsClient } from './ads-client.ts';
import { DELTA_METHOD, DELTA_REQUEST, DELTA_RESPONSE, type DeltaRequest, type DeltaResponse } from './discovery.ts';
import { tokenSource } from './secure-channel.ts';
import { ADDRESS, AUTHORIZATION } from './type-urls.ts';

type Call = ServerDuplexStream<DeltaRequest, WireInput<DeltaResponse>>;

/** An ADS server that is told what to say, and remembers what it heard. */
class FakeAds {
  readonly ca: FakeCa = createFakeCa();
  readonly requests: DeltaRequest[] = [];
  readonly metadata: Metadata[] = [];
  readonly #server = new Server();
  readonly #heard = new Set<() => void>();
  call: Call | undefined;
  port = 0;

  async start(hosts: readonly string[] = ['127.0.0.1']): Promise<this> {
    const { key, cert } = this.ca.server(hosts);
    const credentials = ServerCredentials.createSsl(null, [
      { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) },
    ]);
    const definition = {
      path: DELTA_METHOD,
      requestStream: true,
      responseStream: true,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: (bytes: Buffer) => DELTA_REQUEST.decode(bytes),
      responseSerialize: (one: WireInput<DeltaResponse>) => Buffer.from(DELTA_RESPONSE.encode(one)),
      responseDeserialize: () => undefined,
    };
    this.#server.addService({ delta: definition }, { delta: (call: Call) => this.#serve(call) });
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
    return this;
  }

  /** Waits until so many requests were heard in all. */
  async heard(count: number): Promise<DeltaRequest> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#heard.add(resolve));
    const request = this.requests[count - 1];
    if (request === undefined) throw new Error('unreachable');
    return request;
  }

  say(
    typeUrl: string,
    resources: WireInput<DeltaResponse>['resources'],
    removedResources: string[] = [],
    nonce = 'n',
  ): void {
    this.call?.write({ typeUrl, nonce, resources, removedResources });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #serve(call: Call): void {
    this.call = call;
    this.metadata.push(call.metadata);
    call.sendMetadata(new Metadata());
    call.on('data', (request: DeltaRequest) => {
      this.requests.push(request);
      for (const wake of this.#heard) wake();
      this.#heard.clear();
    });
    // Cancelled by the client.
    call.on('error', () => undefined);
  }
}

const WIRE_ADDRESS = message<{
  readonly workload: { readonly uid: string; readonly addresses: readonly Uint8Array[] };
}>('istio.workload.Address');
const wire = (
  uid: string,
  version = '1',
  addressBytes = 4,
): NonNullable<WireInput<DeltaResponse>['resources']>[number] => ({
  name: uid,
  version,
  resource: {
    type_url: ADDRESS,
    value: WIRE_ADDRESS.encode({ workload: { uid, addresses: [new Uint8Array(addressBytes)] } }),
  },
});

interface Running {
  readonly server: FakeAds;
  readonly store: MeshStore;
  readonly log: string[];
  readonly ended: string[];
  readonly start: (changes?: Partial<AdsOptions>, onDemand?: boolean) => AdsClient;
}

async function withServer(run: (running: Running) => Promise<void>, hosts?: readonly string[]): Promise<void> {
  const server = await new FakeAds().start(hosts);
  const abort = new AbortController();
  const store = new MeshStore();
  const log: string[] = [];
  const ended: string[] = [];
  const start: Running['start'] = (changes = {}, onDemand = false) =>
    startAdsClient({
      address: `https://127.0.0.1:${server.port}`,
      roots: server.ca.root,
      token: () => 'secret-token',
      clusterId: 'Kubernetes',
      headers: { 'X-Extra': 'yes' },
      node: { id: 'ztunnel~10.0.0.1~z.istio-system~istio-system.svc.cluster.local', metadata: { NODE_NAME: 'n1' } },
      types: meshTypes(store, onDemand),
      signal: abort.signal,
      log: createLogger({ level: 'debug', format: 'plain', write: (line) => log.push(line) }).scope('xds'),
      onTermination: (reason) => ended.push(reason),
      sleep: () => Promise.resolve(),
      ...changes,
    });
  try {
    await run({ server, store, log, ended, start });
  } finally {
    abort.abort();
    server.stop();
  }
}

const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  let done = false;
  void promise.then(() => (done = true));
  await Promise.resolve();
  await Promise.resolve();
  return done;
};

const changed = (store: MeshStore): Promise<void> =>
  new Promise((resolve) => {
    const stop = store.onChange(() => {
      stop();
      resolve();
    });
  });

test('ZT-XDS-01 the gate opens when both types were accepted, and the state is usable then', () =>
  withServer(async ({ server, store, start }) => {
    const client = start();
    const first = await server.heard(1);
    const second = await server.heard(2);
    assert.equal([first.typeUrl, second.typeUrl], [ADDRESS, AUTHORIZATION]);
    for (const request of [first, second]) {
      assert.is(request.node?.id, 'ztunnel~10.0.0.1~z.istio-system~istio-system.svc.cluster.local');
      assert.is(request.node?.metadata?.fields['NODE_NAME']?.stringValue, 'n1');
    }
    const [metadata] = server.metadata;
    assert.equal(metadata?.get('authorization'), ['Bearer secret-token']);
    assert.equal(metadata?.get('clusterid'), ['Kubernetes']);
    assert.equal(metadata?.get('x-extra'), ['yes']);
    server.say(ADDRESS, [wire('a')]);
    const acknowledgement = await server.heard(3);
    assert.is(acknowledgement.responseNonce, 'n');
    assert.not.ok(acknowledgement.node, 'only the first requests carry the node');
    assert.not.ok(await settled(client.synced));
    server.say(AUTHORIZATION, []);
    await client.synced;
    assert.is([...store.workloads()].length, 1);
  }));

test('a NACK does not open the gate, the corrected configuration does', () =>
  withServer(async ({ server, store, start, log }) => {
    const client = start({ types: meshTypes(store).slice(0, 1) });
    await server.heard(1);
    server.say(ADDRESS, [wire('good'), wire('bad', '1', 5)], [], 'n1');
    const refusal = await server.heard(2);
    assert.is(refusal.responseNonce, 'n1');
    assert.match(refusal.errorDetail?.message ?? '', /^bad: workload bad: addresses\[0\]: an address of 5 bytes/);
    assert.equal(
      [...store.workloads()].map((one) => one.uid),
      ['good'],
    );
    assert.not.ok(await settled(client.synced));
    assert.ok(log.some((line) => line.includes('configuration refused')));
    server.say(ADDRESS, [wire('bad')], [], 'n2');
    await client.synced;
  }));

test('ZT-XDS-05 who waits on demand is woken when the store has the whole response', () =>
  withServer(async ({ server, store, start }) => {
    const client = start({}, true);
    await server.heard(2);
    const arrived = client.demand(ADDRESS, 'u9999');
    const request = await server.heard(3);
    assert.equal(request.resourceNamesSubscribe, ['u9999']);
    server.say(
      ADDRESS,
      Array.from({ length: 10_000 }, (_, i) => wire(`u${i}`)),
    );
    await arrived;
    assert.is([...store.workloads()].length, 10_000);
  }));

test('what is demanded while there is no connection is asked for by the next one', () =>
  withServer(async ({ server, start }) => {
    const client = start({ types: meshTypes(new MeshStore(), true).slice(0, 1) });
    const arrived = client.demand(ADDRESS, 'u1');
    const asked = new Set<string>();
    for (let i = 1; !asked.has('u1'); i++) {
      const request = await server.heard(i);
      for (const name of [...request.resourceNamesSubscribe, ...Object.keys(request.initialResourceVersions)])
        asked.add(name);
    }
    server.say(ADDRESS, [], ['u1']);
    await arrived;
  }));

test('ZT-XDS-03, 06 abort and reconnect: versions are echoed, removals converge, the state is kept meanwhile', () =>
  withServer(async ({ server, store, start, ended }) => {
    const client = start({ types: meshTypes(store).slice(0, 1) });
    assert.equal((await server.heard(1)).initialResourceVersions, {});
    server.say(ADDRESS, [wire('a', '1'), wire('b', '2')]);
    await server.heard(2);
    server.call?.emit('error', { code: status.UNAVAILABLE, details: 'transport is closing' });
    const again = await server.heard(3);
    assert.equal({ ...again.initialResourceVersions }, { a: '1', b: '2' });
    assert.is([...store.workloads()].length, 2);
    server.say(ADDRESS, [wire('c')], ['a']);
    await changed(store);
    assert.equal([...store.workloads()].map((one) => one.uid).sort(), ['b', 'c']);
    assert.equal(ended, ['Reconnect']);
    assert.ok(client.connected);
  }));

test('the token is read for every stream, and an empty file opens none', () =>
  withServer(async ({ server, start, log, ended }) => {
    const dir = mkdtempSync(join(tmpdir(), 'ambit-token-'));
    const file = join(dir, 'token');
    writeFileSync(file, 'one');
    let attempts = 0;
    start({
      token: tokenSource(file),
      sleep: () => {
        attempts += 1;
        writeFileSync(file, attempts < 3 ? '' : 'two');
        return Promise.resolve();
      },
    });
    await server.heard(2);
    server.call?.end();
    await server.heard(4);
    assert.equal(
      server.metadata.map((one) => one.get('authorization')[0]),
      ['Bearer one', 'Bearer two'],
    );
    assert.equal(ended, ['Complete', 'ConnectionError', 'ConnectionError']);
    assert.ok(log.some((line) => line.includes('is empty')));
    assert.not.ok(log.some((line) => /Bearer|\btwo\b/.test(line)));
    rmSync(dir, { recursive: true });
  }));

test('a server of other roots or another name is not spoken to; an alternative name lets it in', () =>
  withServer(
    async ({ server, start }) => {
      const failure = async (changes: Partial<AdsOptions>): Promise<string> => {
        const abort = new AbortController();
        const { promise, resolve } = Promise.withResolvers<string>();
        const client = start({
          signal: abort.signal,
          sleep: () => {
            resolve(client.lastError ?? '');
            abort.abort();
            return Promise.resolve();
          },
          ...changes,
        });
        return promise;
      };
      assert.match(
        await failure({ roots: createFakeCa('other').root }),
        /self-signed certificate|unable to (get|verify)/,
      );
      assert.match(await failure({}), /IP: 127\.0\.0\.1 is not in the cert/);
      assert.match(
        await failure({ roots: '/no/such/file' }),
        'no certificate in file /no/such/file (which does not exist)',
      );
      assert.match(await failure({ address: 'http://127.0.0.1:1' }), 'expected host:port or https://host:port');
      assert.is(server.requests.length, 0);
      start({ alternativeHostname: 'istiod.istio-system.svc' });
      await server.heard(1);
    },
    ['istiod.istio-system.svc'],
  ));

test('a type that was not asked for is acknowledged and otherwise ignored', () =>
  withServer(async ({ server, start, log }) => {
    start();
    await server.heard(2);
    server.say('type.googleapis.com/unknown.Type', [wire('a')], [], 'x');
    const acknowledgement = await server.heard(3);
    assert.equal([acknowledgement.typeUrl, acknowledgement.responseNonce], ['type.googleapis.com/unknown.Type', 'x']);
    assert.ok(log.some((line) => line.includes('was not asked for')));
  }));

test.run();
