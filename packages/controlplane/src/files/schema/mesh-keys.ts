import type { Metadata } from './metadata.ts';
import { type Report, warnNotRun } from './schema.ts';

/** A label or annotation that Istio knows: where it is acted on here, and what happens instead anywhere else. */
interface MeshKey {
  readonly key: string;
  readonly in: 'labels' | 'annotations';
  /** Kinds whose objects are read for it. */
  readonly on: readonly string[];
  readonly instead: string;
  /** Values that ask for what happens anyway. */
  readonly unless?: (value: string) => boolean;
}

const ENDPOINTS = ['Pod', 'WorkloadEntry'];
const SERVICES = ['Service', 'ServiceEntry'];
const BINDABLE = [...ENDPOINTS, ...SERVICES, 'Namespace'];
const GATEWAYS = ['Gateway', 'GatewayClass'];

const label = (key: string, on: readonly string[], instead: string, unless?: MeshKey['unless']): MeshKey => ({
  key,
  in: 'labels',
  on,
  instead,
  ...(unless !== undefined && { unless }),
});
const annotation = (key: string, on: readonly string[], instead: string, unless?: MeshKey['unless']): MeshKey => ({
  ...label(key, on, instead, unless),
  in: 'annotations',
});

const isOff = (value: string): boolean => ['false', 'disabled', 'none', '0', ''].includes(value.toLowerCase());
const ONE_REVISION = 'there is one control plane, and it takes the objects of every revision';
const NO_CANARY = 'all traffic goes through the waypoint of istio.io/use-waypoint';
const NO_SIDECAR = 'nothing is injected: label the namespace istio.io/dataplane-mode=ambient';

/** Istio's keys by which people steer a mesh. Other keys of Istio name things only, or are written by programs. */
export const MESH_KEYS: readonly MeshKey[] = [
  label('istio.io/dataplane-mode', ['Pod', 'Namespace'], 'capture is decided by pods and namespaces'),
  label('istio.io/use-waypoint', BINDABLE, `only these are bound to a waypoint: ${BINDABLE.join(', ')}`),
  label('istio.io/use-waypoint-namespace', BINDABLE, `only these are bound to a waypoint: ${BINDABLE.join(', ')}`),
  label('istio.io/waypoint-for', GATEWAYS, 'it belongs on the Gateway of a waypoint'),
  label('istio.io/use-waypoint-canary', [], NO_CANARY),
  label('istio.io/use-waypoint-canary-namespace', [], NO_CANARY),
  annotation('istio.io/use-waypoint-canary-weight', [], NO_CANARY),
  label('istio.io/ingress-use-waypoint', [], 'there is no ingress gateway', isOff),
  label('istio.io/global', [], 'there is one cluster', isOff),
  label('istio.io/rev', [], ONE_REVISION),
  annotation('istio.io/rev', [], ONE_REVISION),
  label('istio-injection', [], NO_SIDECAR, isOff),
  label('sidecar.istio.io/inject', [], NO_SIDECAR, isOff),
  annotation('sidecar.istio.io/inject', [], NO_SIDECAR, isOff),
  annotation('proxy.istio.io/config', [], 'proxies run with the settings that all of them get'),
  label('security.istio.io/tlsMode', [], 'traffic between pods of the mesh is HBONE', isOff),
  label('networking.istio.io/tunnel', ENDPOINTS, 'it belongs on a Pod or WorkloadEntry'),
  label('networking.istio.io/enable-autoallocate-ip', ['ServiceEntry'], 'it belongs on a ServiceEntry'),
  annotation(
    'networking.istio.io/traffic-distribution',
    [...SERVICES, 'Namespace', 'Gateway'],
    'it belongs on a Service, a ServiceEntry or their namespace',
  ),
  annotation(
    'networking.istio.io/exportTo',
    [],
    'every namespace of the mesh sees the Service',
    (value) => value === '*',
  ),
  annotation('networking.istio.io/service-type', ['Gateway'], 'it belongs on the Gateway of a waypoint'),
  annotation('istio.io/connect-strategy', [], 'one address is tried after the other'),
  annotation('istio.io/dry-run', ['AuthorizationPolicy'], 'it belongs on an AuthorizationPolicy', isOff),
  annotation('ambient.istio.io/waypoint-inbound-binding', [], 'a waypoint takes HBONE itself', isOff),
  annotation('ambient.istio.io/dns-capture', ['Pod'], 'it belongs on a Pod'),
  annotation('ambient.istio.io/bypass-inbound-capture', ['Pod'], 'it belongs on a Pod'),
  annotation('ambient.istio.io/redirection', [...ENDPOINTS, 'ServiceEntry'], 'capture is decided by labels'),
  annotation('gateway.istio.io/service-account', ['Gateway'], 'it belongs on the Gateway of a waypoint'),
  annotation('gateway.istio.io/name-override', ['Gateway'], 'it belongs on the Gateway of a waypoint'),
];

/** Sidecars alone obey keys with these beginnings. */
const SIDECAR_KEYS = /^(traffic\.sidecar|sidecar|inject|prometheus)\.istio\.io\//;

/** Names labels and annotations of Istio that change nothing on an object of this kind. */
export function warnMeshKeys(kind: string, metadata: Partial<Metadata>, path: readonly string[], report: Report): void {
  for (const part of ['labels', 'annotations'] as const)
    for (const [key, value] of Object.entries(metadata[part] ?? {})) {
      const row = MESH_KEYS.find((one) => one.key === key && one.in === part);
      if (row === undefined) {
        if (SIDECAR_KEYS.test(key)) warnNotRun([...path, part, key], 'there are no sidecars', report);
      } else if (!row.on.includes(kind) && row.unless?.(value) !== true)
        warnNotRun([...path, part, key], row.instead, report);
    }
}
