import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import {
  type PeerCertificate,
  type SecureContextOptions,
  checkServerIdentity,
  createSecureContext,
  getCACertificates,
} from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, Metadata, credentials } from '@grpc/grpc-js';
import { MeshError } from '../errors.ts';
import { MAX_MESSAGE_BYTES } from './discovery.ts';

/** How to reach and to trust the control plane. */
export interface ControlPlaneAddress {
  /** `host:port`, with or without `https://`. */
  readonly address: string;
  /** A path of a PEM file, `SYSTEM` for the machine's trust store, or PEM text. */
  readonly roots: string;
  /** Tried when the server's certificate is not for the host of `address` (ALT_XDS_HOSTNAME, ALT_CA_HOSTNAME). */
  readonly alternativeHostname?: string | undefined;
  /** TLS 1.2, too (TLS12_ENABLED). */
  readonly tls12?: boolean | undefined;
}

/** What is said with every call to be let in. */
export interface ControlPlaneAuth {
  /** Bearer token, read again for every call; undefined sends none. May throw. */
  readonly token: () => string | undefined;
  readonly clusterId: string;
  /** Further metadata (XDS_HEADER_…, CA_HEADER_…), names in lower case. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What a gRPC client is made from. */
export interface SecureChannel {
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // A CA that is back is found at once: the waiting between attempts is the caller's.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc-node.flow_control_window': 4 << 20,
};

/** Of TLS 1.2 only what has forward secrecy and authenticates its data. */
const TLS12_CIPHERS = ['ECDSA-AES256', 'RSA-AES256', 'ECDSA-AES128', 'RSA-AES128']
  .map((name) => `ECDHE-${name}-GCM-${name.endsWith('256') ? 'SHA384' : 'SHA256'}`)
  .join(':');
const TLS13_CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256';

/** Prepares a TLS 1.3 channel, or one of 1.2 and 1.3; the roots are read now. @throws MeshError CONFIG naming the address or the roots that are unusable. */
export function secureChannel(where: ControlPlaneAddress): SecureChannel {
  const url = parseAddress(where.address);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const versions: SecureContextOptions = where.tls12
    ? { minVersion: 'TLSv1.2', ciphers: `${TLS13_CIPHERS}:${TLS12_CIPHERS}` }
    : { minVersion: 'TLSv1.3', ciphers: TLS13_CIPHERS };
  const context = createSecureContext({ ca: readRoots(where.roots), ...versions });
  const verify = (_name: string, certificate: PeerCertificate): Error | undefined => {
    const wrong = checkServerIdentity(host, certificate);
    if (wrong === undefined || !where.alternativeHostname) return wrong;
    return checkServerIdentity(where.alternativeHostname, certificate) === undefined ? undefined : wrong;
  };
  return {
    target: `dns:${url.hostname}:${url.port || '443'}`,
    credentials: credentials.createFromSecureContext(context, { checkServerIdentity: verify }),
    // SNI must not be an IP address (RFC 6066 §3).
    options: isIP(host) === 0 ? CHANNEL_OPTIONS : { ...CHANNEL_OPTIONS, 'grpc.ssl_target_name_override': 'localhost' },
  };
}

function parseAddress(address: string): URL {
  const text = address.includes('://') ? address : `https://${address}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:' || url.hostname === '') {
    throw new MeshError('CONFIG', `control plane address "${address}": expected host:port or https://host:port`);
  }
  return url;
}

/** Trust anchors from a file, `SYSTEM` or PEM text. @throws MeshError CONFIG when there are none. */
export function readRoots(roots: string): string[] {
  if (existsSync(roots)) return checked(readFileSync(roots, 'utf8'), `file ${roots}`);
  if (roots === 'SYSTEM') return getCACertificates('system');
  return checked(roots, roots.includes('-----BEGIN') ? 'PEM text' : `file ${roots} (which does not exist)`);
}

function checked(pem: string, source: string): string[] {
  if (pem.includes('-----BEGIN CERTIFICATE-----')) return [pem];
  throw new MeshError('CONFIG', `trust anchors of the control plane: no certificate in ${source}`);
}

/** Metadata of one call. @throws what reading the token throws. */
export function authMetadata(auth: ControlPlaneAuth): Metadata {
  const metadata = new Metadata();
  const token = auth.token();
  if (token !== undefined) {
    metadata.set('authorization', `Bearer ${token}`);
    metadata.set('clusterid', auth.clusterId);
  }
  for (const [name, value] of Object.entries(auth.headers ?? {})) metadata.set(name.toLowerCase(), value);
  return metadata;
}

/** Where Kubernetes projects the token of a pod in the mesh. */
const DEFAULT_TOKEN_FILE = './var/run/secrets/tokens/istio-token';

/**
 * The token source that AUTH_TOKEN describes: an existing file, read for every call, or the token itself; unset is the
 * projected token if there is one, else none. The bytes are used as they are.
 */
export function tokenSource(authToken: string | undefined): () => string | undefined {
  const file = authToken ?? DEFAULT_TOKEN_FILE;
  if (!existsSync(file)) return () => authToken;
  return () => {
    const token = readFileSync(file, 'utf8');
    if (token === '') throw new MeshError('CONFIG', `token file ${file} is empty`);
    return token;
  };
}
