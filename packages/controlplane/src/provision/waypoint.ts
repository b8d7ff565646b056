import type { KubeObject, OwnerReference } from '../collections/object.ts';
import type { GatewayForm } from '../ingest/gateway.ts';
import type { Labels } from '../ingest/labels.ts';
import { BUILT_IN_CLASSES, managedLabel, WAYPOINT_CLASSES } from './gateway-class.ts';
import { waypointPod, type WaypointProgram } from './waypoint-pod.ts';

/** Ports of a waypoint that are not listeners. */
export const STATUS_PORT = 15_021;

/** Annotations of a Gateway that are about its rendering and not copied to what is rendered. */
const OVERRIDES: ReadonlySet<string> = new Set([
  'gateway.istio.io/service-account',
  'gateway.istio.io/name-override',
  'gateway.istio.io/controller-version',
  'kubectl.kubernetes.io/last-applied-configuration',
]);

const RESERVED_PREFIX = 'gateway.networking.k8s.io/';

/** True when this program makes the pods of a Gateway: not when its address is a host name, or when it has several. */
export const isProvisioned = (gateway: GatewayForm): boolean => {
  const addresses = gateway.spec.addresses ?? [];
  return WAYPOINT_CLASSES.has(gateway.className) && addresses.length <= 1 && addresses[0]?.type !== 'Hostname';
};

/** The name of the Deployment and the Service of a Gateway. */
export const renderedName = ({ object, name }: GatewayForm): string =>
  object.metadata.annotations?.['gateway.istio.io/name-override'] ?? name;

/** ServiceAccount, Deployment and Service of a waypoint, in the order in which they are made. */
export function renderWaypoint(gateway: GatewayForm, program: WaypointProgram): KubeObject[] {
  const name = renderedName(gateway);
  const serviceAccount = gateway.object.metadata.annotations?.['gateway.istio.io/service-account'] ?? gateway.name;
  const controller = BUILT_IN_CLASSES.find((one) => one.name === gateway.className)?.controller ?? '';
  const { labels, annotations } = infrastructure(gateway);
  const managed = {
    ...labels,
    'gateway.istio.io/managed': managedLabel(controller),
    'gateway.networking.k8s.io/gateway-name': gateway.name,
    'gateway.networking.k8s.io/gateway-class-name': gateway.className,
  };
  const metadata = {
    namespace: gateway.namespace,
    labels: managed,
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ownerReferences: [ownerReference(gateway)],
  };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, name: serviceAccount } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...metadata, name },
      spec: {
        selector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': gateway.name } },
        template: waypointPod({ gateway, name, serviceAccount, labels: managed, annotations }, program),
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        ...metadata,
        name,
        annotations: { 'networking.istio.io/traffic-distribution': 'PreferClose', ...annotations },
      },
      spec: serviceSpec(gateway),
    },
  ];
}

function serviceSpec(gateway: GatewayForm): Record<string, unknown> {
  const ports = new Map<number, Record<string, unknown>>();
  for (const { name, port, protocol } of gateway.listeners)
    if (!ports.has(port))
      ports.set(port, { name: portName(name), port, protocol: 'TCP', appProtocol: protocol.toLowerCase() });
  return {
    type: gateway.object.metadata.annotations?.['networking.istio.io/service-type'] ?? 'ClusterIP',
    ipFamilyPolicy: 'PreferDualStack',
    selector: { 'gateway.networking.k8s.io/gateway-name': gateway.name },
    ports: [{ name: 'status-port', port: STATUS_PORT, protocol: 'TCP', appProtocol: 'tcp' }, ...ports.values()],
  };
}

const portName = (listener: string): string =>
  listener
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 63);

/** Labels and annotations for everything rendered: those of spec.infrastructure, else the Gateway's own, decided separately. */
function infrastructure(gateway: GatewayForm): { readonly labels: Labels; readonly annotations: Labels } {
  const { metadata } = gateway.object;
  const own = gateway.spec.infrastructure;
  const labels = own?.labels ?? metadata.labels ?? {};
  const annotations = own?.annotations ?? metadata.annotations ?? {};
  return {
    labels: keep(labels, (key) => !key.startsWith(RESERVED_PREFIX)),
    annotations: keep(annotations, (key) => !key.startsWith(RESERVED_PREFIX) && !OVERRIDES.has(key)),
  };
}

const keep = (values: Labels, wanted: (key: string) => boolean): Labels =>
  Object.fromEntries(Object.entries(values).filter(([key]) => wanted(key)));

export const ownerReference = ({ object }: GatewayForm): OwnerReference => ({
  apiVersion: object.apiVersion,
  kind: 'Gateway',
  name: object.metadata.name,
  uid: object.metadata.uid ?? '',
  controller: true,
});
