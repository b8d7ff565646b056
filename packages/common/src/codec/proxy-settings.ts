import type { ProxySettings } from '../model/listener.ts';
import { message } from '../proto/load.ts';
import { wireEnum } from './wire-enum.ts';

interface WireProxy {
  readonly namespace: string;
  readonly name: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly accessLog: number;
  readonly pathNormalization: number;
  readonly serverHeader: string;
}

const PROXY = message<WireProxy>('ambit.l7.v1.Proxy');
const ACCESS_LOG = wireEnum<ProxySettings['accessLog']>('access_log', ['OFF', 'TEXT', 'JSON']);
const PATHS = wireEnum<ProxySettings['pathNormalization']>('path_normalization', [
  'NONE',
  'BASE',
  'MERGE_SLASHES',
  'DECODE_AND_MERGE_SLASHES',
]);

/** `ambit.l7.v1.Proxy`; its resource name is `namespace/name` of the waypoint. */
export const encodeProxySettings = (settings: ProxySettings): Uint8Array =>
  PROXY.encode({
    namespace: settings.namespace,
    name: settings.name,
    trustDomain: settings.trustDomain,
    trustDomainAliases: settings.trustDomainAliases,
    accessLog: ACCESS_LOG.encode(settings.accessLog),
    pathNormalization: PATHS.encode(settings.pathNormalization),
    serverHeader: settings.serverHeader,
  });

/** @throws MeshError CONFIG naming the waypoint and the field at fault. */
export function decodeProxySettings(bytes: Uint8Array): ProxySettings {
  const wire = PROXY.decode(bytes);
  const resource = `proxy ${wire.namespace}/${wire.name}`;
  return Object.freeze({
    namespace: wire.namespace,
    name: wire.name,
    trustDomain: wire.trustDomain,
    trustDomainAliases: wire.trustDomainAliases,
    accessLog: ACCESS_LOG.decode(wire.accessLog, resource),
    pathNormalization: PATHS.decode(wire.pathNormalization, resource),
    serverHeader: wire.serverHeader,
  });
}
