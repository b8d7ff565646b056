import type { Listener, ListenerPort, ListenerProtocol, ProxySettings } from '@ambit/common/model/listener';
import type { Protocol } from '../files/schema/protocol.ts';
import type { PortForm } from '../ingest/service.ts';
import type { Audience } from './audience.ts';
import type { Inputs } from './inputs.ts';
import type { MeshService, Services } from './services.ts';
import type { Waypoints } from './waypoints.ts';

/** What each waypoint serves: one listener per service that is bound to it. */
export function deriveListeners(services: Services): Audience<Listener>[] {
  return [...services.byKey.values()].flatMap((service) =>
    service.binding.kind === 'bound'
      ? [{ waypoint: service.binding.waypoint.key, name: service.key, value: listenerOf(service) }]
      : [],
  );
}

const listenerOf = ({ service, kind, ports }: MeshService): Listener => ({
  namespace: service.namespace,
  hostname: service.hostname,
  name: service.name,
  kind,
  addresses: service.vips,
  cidrAddresses: service.cidrVips,
  ports: ports.filter((port) => port.protocol !== 'UDP').map(portOf),
});

const portOf = ({ number, name, protocol }: PortForm): ListenerPort => ({
  port: number,
  name,
  protocol: PROTOCOLS[protocol],
});

const PROTOCOLS: Readonly<Record<Protocol, ListenerProtocol>> = {
  HTTP: 'HTTP',
  HTTP_PROXY: 'HTTP',
  GRPC_WEB: 'HTTP',
  HTTP2: 'HTTP2',
  GRPC: 'GRPC',
  TLS: 'TLS',
  HTTPS: 'TLS',
  TCP: 'TCP',
  MONGO: 'TCP',
  REDIS: 'TCP',
  MYSQL: 'TCP',
  UDP: 'TCP',
  UNSUPPORTED: 'AUTO',
};

/** People and tests look for this value to see that a waypoint was crossed. */
const SERVER_HEADER = 'istio-envoy';

/** What MeshConfig says to each waypoint. */
export function deriveProxySettings(inputs: Inputs, waypoints: Waypoints): Audience<ProxySettings>[] {
  const { mesh } = inputs;
  return [...waypoints.all.values()].map(({ namespace, name, key }) => ({
    waypoint: key,
    name: key,
    value: {
      namespace,
      name,
      trustDomain: mesh.trustDomain,
      trustDomainAliases: mesh.trustDomainAliases,
      accessLog: mesh.accessLog,
      pathNormalization: mesh.pathNormalization,
      serverHeader: SERVER_HEADER,
    },
  }));
}
