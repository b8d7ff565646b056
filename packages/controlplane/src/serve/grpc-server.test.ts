// deadline: 20s
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { type ConnectionOptions, connect } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseIp } from '@ambit/common/address/ip';
import { CaClient } from '@ambit/common/identity/ca-client';
import { credentialsFromChain, uriNames } from '@ambit/common/identity/certificate';
import { CredentialCache } from '@ambit/common/identity/credential-cache';
import { createSigningRequest } from '@ambit/common/identity/csr';
import { spiffeId } from '@ambit/common/identity/spiffe';
import { meshTypes } from '@ambit/common/mesh/ads-types';
import { MeshStore } from '@ambit/common/mesh/store';
import { createLogger } from '@ambit/common/telemetry/log';
import { decodeAddress, encodeWorkload } from '@ambit/common/codec/address';
import type { Workload } from '@ambit/common/model/workload';
import { type AdsClient, type AdsType, startAdsClient } from '@ambit/common/xds/ads-client';
import { ADDRESS, L7_CREDENTIAL } from '@ambit/common/xds/type-urls';
import { tokenAuthenticator } from './authenticate.ts';
import { CertificateAuthority } from './ca.ts';
import { type GrpcServer, startGrpcServer } from './grpc-server.ts';
import { ResourceStore } from './resources.ts';
import { TokenIssuer } from './tokens.ts';

const ZTUNNEL = { namespace: 'istio-system', serviceAccount: 'ztunnel', podName: 'ztunnel-1', podUid: 'z1' };
const WAYPOINT = { namespace: 'shop', serviceAccount: 'waypoint', podName: 'waypoint-1', podUid: 'w1' };

interface Plane {
  readonly resources: ResourceStore;
  readonly ca: CertificateAuthority;
  readonly issuer: TokenIssuer;
  readonly server: GrpcServer;
  readonly log: string[];
  readonly logger: ReturnType<typeof createLogger>;
  readonly abort: AbortController;
  /** Ends the server and starts another on the same port. */
  readonly restart: (resources: ResourceStore) => Promise<void>;
}

async function withPlane(run: (plane: Plane) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ambit-serve-'));
  const abort = new AbortController();
  const log: string[] = [];
  const logger = createLogger({ level: 'debug', format: 'plain', write: (line) => log.push(line) });
  const ca = CertificateAuthority.load(join(dir, 'ca'), { trustDomain: 'cluster.local', clock: Date.now });
  const issuer = TokenIssuer.load(join(dir, 'ca'));
  let running = new AbortController();
  const start = (resources: ResourceStore, port: number): Promise<GrpcServer> =>
    startGrpcServer({
      hosts: ['127.0.0.1'],
      port,
      resources,
      ca,
      authenticate: tokenAuthenticator(issuer, 'cluster.local'),
      trustedNodeAccounts: ['istio-system/ztunnel'],
      mayImpersonate: (_caller, identity) => identity.namespace === 'shop',
      push: { quietMs: 5, maxMs: 100 },
      log: logger.scope('serve'),
      signal: running.signal,
    });
  try {
    const resources = new ResourceStore();
    const server = await start(resources, 0);
    const restart = async (next: ResourceStore): Promise<void> => {
      running.abort();
      running = new AbortController();
      await start(next, server.port);
    };
    await run({ resources, ca, issuer, server, log, logger, abort, restart });
  } finally {
    abort.abort();
    running.abort();
    rmSync(dir, { recursive: true });
  }
}

interface Subscribed {
  readonly client: AdsClient;
  readonly abort: AbortController;
}

function subscribe(
  plane: Plane,
  types: readonly AdsType[],
  pod = ZTUNNEL,
  metadata: Record<string, string> = {},
): Subscribed {
  const abort = new AbortController();
  plane.abort.signal.addEventListener('abort', () => abort.abort());
  const token = plane.issuer.issue({ ...pod, audience: 'istio-ca' });
  const client = startAdsClient({
    address: `127.0.0.1:${plane.server.port}`,
    roots: plane.ca.roots,
    token: () => token,
    clusterId: 'Kubernetes',
    node: {
      id: `ztunnel~127.0.0.1~${pod.podName}.${pod.namespace}~x`,
      metadata: { NAMESPACE: pod.namespace, ...metadata },
    },
    types,
    signal: abort.signal,
    log: plane.logger.scope('xds'),
  });
  return { client, abort };
}

function workload(name: string, changes: Partial<Workload> = {}): Workload {
  const made = decodeAddress(Uint8Array.of(0x0a, 0)).kind === 'workload' && decodeAddress(Uint8Array.of(0x0a, 0));
  if (made === false || made.kind !== 'workload') throw new Error('unreachable');
  const uid = decodeUid(`Kubernetes//Pod/shop/${name}`);
  return { ...made.workload, uid, name, namespace: 'shop', node: 'n1', ...changes };
}

function decodeUid(uid: string): Workload['uid'] {
  const bytes = Buffer.from(uid);
  const message = Buffer.concat([Buffer.of(0xa2, 0x01, bytes.length), bytes]);
  const address = decodeAddress(Buffer.concat([Buffer.of(0x0a, message.length), message]));
  if (address.kind !== 'workload') throw new Error('unreachable');
  return address.workload.uid;
}

/** Resolves when the store has changed so that `holds`. */
function until(store: MeshStore, holds: () => boolean): Promise<void> {
  if (holds()) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = store.onChange(() => {
      if (!holds()) return;
      stop();
      resolve();
    });
  });
}

const address = (text: string): NonNullable<ReturnType<typeof parseIp>> => {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(text);
  return ip;
};

test('a node agent is synced, then gets exactly what changed', () =>
  withPlane(async (plane) => {
    const { resources } = plane;
    for (let i = 0; i < 50; i++) resources.set('workload', `Kubernetes//Pod/shop/p${i}`, workload(`p${i}`));
    resources.commit();
    const store = new MeshStore();
    const received: number[] = [];
    const types = meshTypes(store).map((type) => ({
      ...type,
      onUpdate: (...update: Parameters<AdsType['onUpdate']>) => {
        received.push(update[0].length + update[1].length);
        return type.onUpdate(...update);
      },
    }));
    const { client } = subscribe(plane, types);
    await client.synced;
    assert.is([...store.workloads()].length, 50);
    assert.equal(received, [50, 0]);

    const edited = workload('p7', { canonicalRevision: 'v2' });
    resources.set('workload', edited.uid, edited);
    resources.set('workload', workload('p8').uid, workload('p8'));
    resources.commit();
    await until(store, () => store.workload(edited.uid)?.canonicalRevision === 'v2');
    assert.equal(received.slice(2), [1], 'one field of one workload is one resource; equal content is none');
    assert.ok(encodeWorkload(edited).length < 200);

    resources.delete('workload', edited.uid);
    resources.commit();
    await until(store, () => store.workload(edited.uid) === undefined);
    assert.equal(received.slice(3), [1]);
    const [stream] = plane.server.status();
    assert.is(stream?.identity, 'spiffe://cluster.local/ns/istio-system/sa/ztunnel');
    assert.is(stream?.types[0]?.refused, 0);
  }));

test('after a reconnect nothing is sent again, only what changed meanwhile', () =>
  withPlane(async (plane) => {
    const { resources } = plane;
    for (const name of ['a', 'b', 'c']) resources.set('workload', workload(name).uid, workload(name));
    resources.commit();
    const store = new MeshStore();
    const names: string[][] = [];
    const [addresses] = meshTypes(store);
    assert.ok(addresses);
    const responses: (() => void)[] = [];
    const type: AdsType = {
      ...addresses,
      onUpdate: (upserts, removed) => {
        names.push([...upserts.map((one) => one.name), ...removed.map((name) => `-${name}`)].sort());
        for (const wake of responses.splice(0)) wake();
        return addresses.onUpdate(upserts, removed);
      },
    };
    const { client } = subscribe(plane, [type]);
    await client.synced;
    const answered = new Promise<void>((resolve) => responses.push(resolve));
    await plane.restart(resources);
    await answered;
    assert.equal(names.slice(1), [[]], 'an empty answer: all versions are the same');

    // A server that comes back with another view of the mesh.
    const later = new ResourceStore();
    for (const name of ['a', 'b', 'd']) {
      const changes = name === 'b' ? { canonicalRevision: 'v2' } : {};
      later.set('workload', workload(name).uid, workload(name, changes));
    }
    const changed = new Promise<void>((resolve) => responses.push(resolve));
    await plane.restart(later);
    await changed;
    assert.equal(names.slice(2), [[`-${workload('c').uid}`, workload('b').uid, workload('d').uid]]);
  }));

test('a call without a valid token is refused with a fixed message, and the log says why', () =>
  withPlane(async (plane) => {
    const abort = new AbortController();
    const refused = Promise.withResolvers<string>();
    const client = startAdsClient({
      address: `127.0.0.1:${plane.server.port}`,
      roots: plane.ca.roots,
      token: () => 'not.a.token',
      clusterId: 'Kubernetes',
      node: { id: 'x', metadata: {} },
      types: meshTypes(new MeshStore()),
      signal: abort.signal,
      log: plane.logger.scope('xds'),
      sleep: () => {
        refused.resolve(client.lastError ?? '');
        abort.abort();
        return Promise.resolve();
      },
    });
    assert.match(await refused.promise, 'request authenticate failure');
    assert.ok(plane.log.some((line) => line.includes('call refused') && line.includes('the token is not valid')));
    assert.not.ok(
      plane.log.some((line) => line.includes('not.a.token')),
      'tokens are never logged',
    );
  }));

const caClient = (plane: Plane, pod: typeof ZTUNNEL, impersonate: boolean, roots: string = plane.ca.roots): CaClient =>
  new CaClient({
    address: `127.0.0.1:${plane.server.port}`,
    roots,
    token: () => plane.issuer.issue({ ...pod, audience: 'istio-ca' }),
    clusterId: 'Kubernetes',
    ttlSeconds: 3600,
    impersonate,
    log: plane.logger.scope('ca'),
  });

const rejection = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: Error) => error.message,
  );

test('a node agent gets certificates for the pods of its node and nobody else does', () =>
  withPlane(async (plane) => {
    const none = new AbortController().signal;
    using agent = caClient(plane, ZTUNNEL, true);
    using pod = caClient(plane, WAYPOINT, true);
    const checkout = spiffeId('cluster.local', 'shop', 'checkout');
    const request = createSigningRequest(checkout);
    const chain = await agent.sign(request.csr, checkout, none);
    const credentials = credentialsFromChain(checkout, request.privateKey, chain);
    assert.is(credentials.identity.uri, checkout.uri);
    assert.ok(credentials.notAfter - Date.now() <= 3_600_000);
    const failure = 'request impersonation authentication failure';
    const elsewhere = spiffeId('cluster.local', 'bank', 'vault');
    assert.match(await rejection(agent.sign(createSigningRequest(elsewhere).csr, elsewhere, none)), failure);
    assert.match(await rejection(pod.sign(request.csr, checkout, none)), failure);
    const foreign = spiffeId('other.domain', 'shop', 'checkout');
    assert.match(await rejection(agent.sign(createSigningRequest(foreign).csr, foreign, none)), failure);
    assert.ok(plane.log.some((line) => line.includes('the caller is no trusted node account')));
  }));

test('a CSR that names somebody else still gets only its own identity', () =>
  withPlane(async (plane) => {
    using pod = caClient(plane, WAYPOINT, false);
    const wanted = spiffeId('cluster.local', 'bank', 'vault');
    const [leaf] = await pod.sign(createSigningRequest(wanted).csr, wanted, new AbortController().signal);
    assert.equal(uriNames(new X509Certificate(leaf ?? '')), ['spiffe://cluster.local/ns/shop/sa/waypoint']);
  }));

test('a broken CSR is an invalid argument', () =>
  withPlane(async (plane) => {
    using pod = caClient(plane, WAYPOINT, false);
    const own = spiffeId('cluster.local', 'shop', 'waypoint');
    const answer = await rejection(pod.sign('no request', own, new AbortController().signal));
    assert.match(answer, /INVALID_ARGUMENT.*not one PEM block/);
  }));

test('ZT-ID-14 the CA client takes new trust anchors up, and keeps the old ones when they are unusable', () =>
  withPlane(async (plane) => {
    const dir = mkdtempSync(join(tmpdir(), 'ambit-roots-'));
    const file = join(dir, 'root-cert.pem');
    writeFileSync(file, plane.ca.roots);
    using client = caClient(plane, WAYPOINT, false, file);
    const own = spiffeId('cluster.local', 'shop', 'waypoint');
    const sign = (): Promise<string[]> => client.sign(createSigningRequest(own).csr, own, new AbortController().signal);
    assert.is((await sign()).length, 2);
    writeFileSync(file, 'junk');
    assert.is((await sign()).length, 2);
    assert.ok(plane.log.some((line) => line.includes('the previous ones stay')));
    const other = CertificateAuthority.load(join(dir, 'other'), { trustDomain: 'x', clock: Date.now });
    writeFileSync(file, other.roots);
    assert.match(await rejection(sign()), /no certificate for spiffe.*(self-signed certificate|unable to)/);
    writeFileSync(file, other.roots + plane.ca.roots);
    assert.is((await sign()).length, 2);
    rmSync(dir, { recursive: true });
  }));

test('a credential cache works against this CA', () =>
  withPlane(async (plane) => {
    using agent = caClient(plane, ZTUNNEL, true);
    const cache = new CredentialCache({
      sign: (csr, identity, signal) => agent.sign(csr, identity, signal),
      signal: plane.abort.signal,
      log: plane.logger.scope('certificates'),
    });
    const identity = spiffeId('cluster.local', 'shop', 'checkout');
    const [one, two] = await Promise.all([cache.credentials(identity), cache.credentials(identity)]);
    assert.is(one, two);
    assert.is(cache.state()[0]?.state, 'Available');
    assert.not.ok(plane.log.some((line) => line.includes('PRIVATE KEY')));
  }));

test('L7 resources and credentials go to the one waypoint they are meant for', () =>
  withPlane(async (plane) => {
    const { resources } = plane;
    const credential = { namespace: 'shop', name: 'c', certificateChain: 'x', privateKey: 'y', caCertificates: '' };
    resources.set('credential', 'shop/c', credential, 'shop/waypoint');
    resources.commit();
    const seen = async (pod: typeof ZTUNNEL, metadata: Record<string, string>): Promise<number> => {
      let count = 0;
      const type: AdsType = {
        typeUrl: L7_CREDENTIAL,
        onUpdate: (upserts) => {
          count += upserts.length;
          return [];
        },
      };
      const { client, abort } = subscribe(plane, [type], pod, metadata);
      await client.synced;
      abort.abort();
      return count;
    };
    assert.is(await seen(WAYPOINT, { GATEWAY_NAME: 'waypoint' }), 1);
    assert.is(await seen(WAYPOINT, { GATEWAY_NAME: 'other' }), 0);
    assert.is(await seen(WAYPOINT, {}), 0);
    assert.is(await seen(ZTUNNEL, { GATEWAY_NAME: 'waypoint' }), 0);
  }));

test('a node that claims another namespace than its token is refused', () =>
  withPlane(async (plane) => {
    const { client, abort } = subscribe(plane, meshTypes(new MeshStore()), WAYPOINT, { NAMESPACE: 'bank' });
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (plane.log.some((line) => line.includes('of another namespace than the token'))) resolve();
        else setImmediate(look);
      };
      look();
    });
    assert.not.ok(client.connected && plane.server.status().length > 0);
    abort.abort();
  }));

test('the port speaks TLS 1.3 and nothing older, under the names that clients use', () =>
  withPlane(async (plane) => {
    const handshake = (options: ConnectionOptions): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect({
          host: '127.0.0.1',
          port: plane.server.port,
          ca: plane.ca.roots,
          ALPNProtocols: ['h2'],
          ...options,
        });
        socket.once('secureConnect', () => {
          resolve(socket.getProtocol() ?? '');
          socket.destroy();
        });
        socket.once('error', (error) => resolve(error.message));
      });
    assert.is(await handshake({}), 'TLSv1.3');
    assert.is(await handshake({ servername: 'istiod.istio-system.svc' }), 'TLSv1.3');
    assert.match(await handshake({ servername: 'example.com' }), 'does not match certificate');
    assert.match(await handshake({ maxVersion: 'TLSv1.2' }), /protocol version|handshake failure/);
  }));

test('an on-demand client hears of what it asked for: by name, by address, with its workloads', () =>
  withPlane(async (plane) => {
    const { resources } = plane;
    const ip = address('10.0.0.1');
    const pod = workload('a', { addresses: [ip], services: new Map([['shop/a.shop.svc', new Map([[80, 8080]])]]) });
    resources.set('workload', pod.uid, pod);
    resources.set('workload', workload('b').uid, workload('b'));
    resources.commit();
    const store = new MeshStore();
    const [addresses] = meshTypes(store, true);
    assert.ok(addresses);
    const { client } = subscribe(plane, [addresses]);
    await client.demand(ADDRESS, '/10.0.0.1');
    assert.is(store.workloadByAddress('', ip)?.name, 'a');
    assert.is([...store.workloads()].length, 1);
    await client.demand(ADDRESS, '/10.9.9.9');
    assert.is(store.workloadByAddress('', address('10.9.9.9')), undefined);
    const late = workload('late', { addresses: [address('10.9.9.9')] });
    resources.set('workload', late.uid, late);
    resources.commit();
    await until(store, () => store.workload(late.uid) !== undefined);
  }));

test.run();
