/** A port's protocol as Istio names it. */
export type Protocol =
  | 'TCP'
  | 'UDP'
  | 'GRPC'
  | 'GRPC_WEB'
  | 'HTTP'
  | 'HTTP_PROXY'
  | 'HTTP2'
  | 'HTTPS'
  | 'TLS'
  | 'MONGO'
  | 'REDIS'
  | 'MYSQL'
  | 'UNSUPPORTED';

const WORDS: Readonly<Record<string, Protocol>> = {
  tcp: 'TCP',
  udp: 'UDP',
  grpc: 'GRPC',
  'grpc-web': 'GRPC_WEB',
  http: 'HTTP',
  http_proxy: 'HTTP_PROXY',
  http2: 'HTTP2',
  https: 'HTTPS',
  tls: 'TLS',
  mongo: 'MONGO',
  redis: 'REDIS',
  mysql: 'MYSQL',
};

const APP_PROTOCOLS: Readonly<Record<string, Protocol>> = {
  'kubernetes.io/h2c': 'HTTP2',
  'kubernetes.io/ws': 'HTTP',
  'kubernetes.io/wss': 'HTTPS',
};

/** Ports whose protocol speaks first: taken for TCP when nothing says otherwise. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([25, 53, 3306, 27_017]);

/** The protocol that a word of a ServiceEntry names. */
export const parseProtocol = (word: string | undefined): Protocol => WORDS[(word ?? '').toLowerCase()] ?? 'UNSUPPORTED';

/** Istio's protocol selection for a Service port: UDP, appProtocol, the name up to its first dash, well-known ports. */
export function protocolOf(port: {
  readonly port: number;
  readonly protocol?: string;
  readonly appProtocol?: string;
  readonly name?: string;
}): Protocol {
  if (port.protocol === 'UDP') return 'UDP';
  const known = APP_PROTOCOLS[port.appProtocol ?? ''];
  if (known !== undefined) return known;
  const name = (port.appProtocol ?? port.name ?? '').toLowerCase();
  const word = name.startsWith('grpc-web') ? 'grpc-web' : (name.split('-', 1)[0] ?? '');
  const protocol = parseProtocol(word);
  return protocol === 'UNSUPPORTED' && SERVER_FIRST_PORTS.has(port.port) ? 'TCP' : protocol;
}

export const isHttp = (protocol: Protocol): boolean =>
  protocol === 'HTTP' ||
  protocol === 'HTTP2' ||
  protocol === 'GRPC' ||
  protocol === 'GRPC_WEB' ||
  protocol === 'HTTP_PROXY';

export const isTls = (protocol: Protocol): boolean => protocol === 'TLS' || protocol === 'HTTPS';
