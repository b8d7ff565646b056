import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { formatHostPort } from '@ambit/common/address/host-port';
import { parseIp } from '@ambit/common/address/ip';
import { MeshError } from '@ambit/common/errors';
import { CERTIFICATE_REQUEST, CERTIFICATE_RESPONSE, CREATE_CERTIFICATE } from '@ambit/common/identity/ca-messages';
import type { CertificateResponse } from '@ambit/common/identity/ca-messages';
import type { WireInput } from '@ambit/common/proto/load';
import type { ScopedLogger } from '@ambit/common/telemetry/log';
import { DELTA_METHOD, DELTA_REQUEST, DELTA_RESPONSE, MAX_MESSAGE_BYTES } from '@ambit/common/xds/discovery';
import type { DeltaResponse } from '@ambit/common/xds/discovery';
import { type AdsCall, AdsServer, type StreamStatus } from './ads-server.ts';
import type { Authenticate, Caller, MayImpersonate } from './authenticate.ts';
import type { CertificateAuthority, ServerCertificate } from './ca.ts';
import { createCertificateHandler } from './ca-service.ts';
import { DEFAULT_PUSH, type PushOptions } from './push.ts';
import type { ResourceStore } from './resources.ts';

export interface GrpcServerOptions {
  /** Addresses to listen on. */
  readonly hosts: readonly string[];
  /** 0 picks a free one. */
  readonly port: number;
  /** Further names that clients use for this server; `istiod.istio-system.svc` and `localhost` always work. */
  readonly names?: readonly string[];
  readonly resources: ResourceStore;
  readonly ca: CertificateAuthority;
  readonly authenticate: Authenticate;
  /** CA_TRUSTED_NODE_ACCOUNTS, each `namespace/serviceAccount`. */
  readonly trustedNodeAccounts: readonly string[];
  readonly mayImpersonate: MayImpersonate;
  readonly servesGateway?: (caller: Caller, gateway: string) => boolean;
  readonly push?: PushOptions;
  readonly log: ScopedLogger;
  readonly signal: AbortSignal;
}

export interface GrpcServer {
  readonly port: number;
  /** Connected ADS clients. */
  status(): StreamStatus[];
}

const DEFAULT_NAMES = ['istiod.istio-system.svc', 'istiod.istio-system.svc.cluster.local', 'localhost'];
const MAX_REQUEST_BYTES = 64 << 20;
const SERVER_TTL_SECONDS = 90 * 86_400;
const RENEWAL_CHECK_MS = 3_600_000;

const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_concurrent_streams': 100,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // Istio's chart: clients reconnect, and are authenticated again, every half hour.
  'grpc.max_connection_age_ms': 1_800_000,
  'grpc.max_connection_age_grace_ms': 60_000,
};

/** Starts the port that node agents and waypoints talk to: ADS and the CA over TLS 1.3, until the signal aborts. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { hosts, signal, push = DEFAULT_PUSH } = options;
  const names = [...DEFAULT_NAMES, ...(options.names ?? []), ...hosts.filter((host) => !isWildcard(host))];
  const credentials = new RenewedCredentials(() =>
    options.ca.serverCertificate([...new Set(names)], SERVER_TTL_SECONDS),
  );
  const ads = new AdsServer({ ...options, servesGateway: options.servesGateway, push });
  const server = new Server(SERVER_OPTIONS);
  server.addService(ADS_SERVICE, { deltaAggregatedResources: (call: AdsCall) => ads.handle(call) });
  server.addService(CA_SERVICE, { createCertificate: createCertificateHandler(options) });
  let port = options.port;
  for (const host of hosts) port = await bind(server, host, port, credentials);
  const timer = setInterval(() => credentials.renew(Date.now()), RENEWAL_CHECK_MS).unref();
  const stop = (): void => {
    clearInterval(timer);
    ads[Symbol.dispose]();
    server.forceShutdown();
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return { port, status: () => ads.status() };
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

const ADS_SERVICE: ServiceDefinition = {
  deltaAggregatedResources: {
    path: DELTA_METHOD,
    requestStream: true,
    responseStream: true,
    requestDeserialize: (bytes: Buffer) => DELTA_REQUEST.decode(bytes),
    requestSerialize: () => Buffer.alloc(0),
    responseSerialize: (response: WireInput<DeltaResponse>) => Buffer.from(DELTA_RESPONSE.encode(response)),
    responseDeserialize: () => undefined,
  },
};

const CA_SERVICE: ServiceDefinition = {
  createCertificate: {
    path: CREATE_CERTIFICATE,
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Buffer) => CERTIFICATE_REQUEST.decode(bytes),
    requestSerialize: () => Buffer.alloc(0),
    responseSerialize: (response: CertificateResponse) => Buffer.from(CERTIFICATE_RESPONSE.encode(response)),
    responseDeserialize: () => undefined,
  },
};

function bind(server: Server, host: string, port: number, credentials: ServerCredentials): Promise<number> {
  const ip = parseIp(host);
  const address = ip === undefined ? `${host}:${port}` : formatHostPort(ip, port);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new MeshError('CONFIG', `cannot listen on ${address} for xDS and certificates: ${error.message}`));
    });
  });
}

/** TLS 1.3 with a certificate that is replaced at half of its life, without touching connections. */
class RenewedCredentials extends ServerCredentials {
  readonly #issue: () => ServerCertificate;
  #current: ServerCertificate;

  constructor(issue: () => ServerCertificate) {
    const first = issue();
    super({ minVersion: 'TLSv1.3' }, tlsOptions(first));
    this.#issue = issue;
    this.#current = first;
  }

  renew(now: number): void {
    if (now < (this.#current.notBefore + this.#current.notAfter) / 2) return;
    this.#current = this.#issue();
    this.updateSecureContextOptions(tlsOptions(this.#current));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

const tlsOptions = (certificate: ServerCertificate): { minVersion: 'TLSv1.3'; key: string; cert: string } => ({
  minVersion: 'TLSv1.3',
  key: certificate.privateKey,
  cert: certificate.certificateChain,
});
