import type { ObjectView } from './object-view.ts';

/** One column of `ambit get`; `wide` ones appear with `-o wide`. */
interface Column {
  readonly header: string;
  readonly wide?: boolean;
  readonly cell: Cell;
}

/** How many services and external hosts a waypoint serves. */
export type BoundCount = (waypoint: ObjectView) => number;
type Cell = (object: ObjectView, bound: BoundCount) => string;

const column = (header: string, cell: Cell): Column => ({ header, cell });
const wide = (header: string, cell: Cell): Column => ({ header, cell, wide: true });

const NAME = column('NAME', (object) => object.name);
const AGE = column('AGE', (object) => object.age());
/** Also one that the namespace's label gives: the control plane's verdict names it. */
const WAYPOINT = column('WAYPOINT', (object) => object.waypoint()?.name ?? '-');
const BOUND = column('BOUND', (object) => {
  const bound = object.waypoint()?.bound;
  if (bound === undefined) return '-';
  return bound.type.endsWith('Bound') && bound.status === 'True' ? 'True' : 'False';
});
const REASON = wide('REASON', (object) => object.waypoint()?.bound?.reason ?? '-');
const PROGRAMMED = column('PROGRAMMED', (object) => object.condition('Programmed')?.status ?? 'Unknown');
const ADDRESS = column('ADDRESS', (object) => object.list('status.addresses')[0]?.text('value') ?? '-');
const ADDRESSES = wide(
  'ADDRESSES',
  (object) =>
    object
      .list('status.addresses')
      .map((one) => one.text('value'))
      .join(',') || '-',
);

/** The columns of each kind; a kind without a row here prints NAME and AGE. */
const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  waypoint: [
    NAME,
    column('TRAFFIC TYPE', (object) => object.label('istio.io/waypoint-for') ?? 'service'),
    PROGRAMMED,
    column('SERVICES', (object, bound) => String(bound(object))),
    ADDRESS,
    ADDRESSES,
    AGE,
  ],
  Gateway: [
    NAME,
    column('CLASS', (object) => object.text('spec.gatewayClassName')),
    ADDRESS,
    PROGRAMMED,
    ADDRESSES,
    AGE,
  ],
  GatewayClass: [
    NAME,
    column('CONTROLLER', (object) => object.text('spec.controllerName')),
    column('ACCEPTED', (object) => object.condition('Accepted')?.status ?? 'Unknown'),
    AGE,
  ],
  Namespace: [NAME, column('MODE', (object) => object.label('istio.io/dataplane-mode') ?? '-'), WAYPOINT, AGE],
  Pod: [
    NAME,
    column('READY', (object) => {
      const containers = object.list('status.containerStatuses');
      return `${containers.filter((one) => one.text('ready') === 'true').length}/${containers.length}`;
    }),
    column('STATUS', (object) => object.podStatus()),
    column('RESTARTS', (object) =>
      String(
        object.list('status.containerStatuses').reduce((sum, one) => sum + Number(one.text('restartCount') || 0), 0),
      ),
    ),
    column('AMBIENT', (object) => object.annotation('ambient.istio.io/redirection') ?? '-'),
    column('IP', (object) => object.text('status.podIP') || '-'),
    wide(
      'IPS',
      (object) =>
        object
          .list('status.podIPs')
          .map((one) => one.text('ip'))
          .join(',') || '-',
    ),
    wide('SERVICE ACCOUNT', (object) => object.text('spec.serviceAccountName') || 'default'),
    wide(
      'IMAGE',
      (object) =>
        object
          .list('spec.containers')
          .map((one) => one.text('image'))
          .join(',') || '-',
    ),
    AGE,
  ],
  Deployment: [
    NAME,
    column('READY', (object) => `${object.text('status.readyReplicas') || '0'}/${object.text('spec.replicas') || '1'}`),
    AGE,
  ],
  Service: [
    NAME,
    column('TYPE', (object) => object.text('spec.type') || 'ClusterIP'),
    column('CLUSTER-IP', (object) => object.text('spec.clusterIP') || '-'),
    column('PORTS', (object) =>
      object
        .list('spec.ports')
        .map((one) => `${one.text('port')}/${one.text('protocol') || 'TCP'}`)
        .join(','),
    ),
    WAYPOINT,
    BOUND,
    REASON,
    AGE,
  ],
  ServiceEntry: [
    NAME,
    column('HOSTS', (object) => object.strings('spec.hosts').join(',')),
    column('RESOLUTION', (object) => object.text('spec.resolution') || 'NONE'),
    column(
      'ADDRESSES',
      (object) =>
        [...object.strings('spec.addresses'), ...object.list('status.addresses').map((one) => one.text('value'))].join(
          ',',
        ) || '-',
    ),
    WAYPOINT,
    BOUND,
    REASON,
    AGE,
  ],
  AuthorizationPolicy: [
    NAME,
    column('ACTION', (object) => object.text('spec.action') || 'ALLOW'),
    column('TARGET', (object) => object.policyTarget()),
    column('RULES', (object) => String(object.list('spec.rules').length)),
    column('ACCEPTED', (object) => {
      const condition = object.condition('WaypointAccepted') ?? object.condition('ZtunnelAccepted');
      if (condition === undefined) return '-';
      return condition.status === 'True' && condition.reason === 'Accepted' ? 'True' : condition.reason;
    }),
    AGE,
  ],
  DestinationRule: [
    NAME,
    column('HOST', (object) => object.text('spec.host')),
    column('TLS', (object) => object.text('spec.trafficPolicy.tls.mode') || '-'),
    AGE,
  ],
};

/** Header and rows for objects of one kind (or the view `waypoint`); NAMESPACE comes first with -A. */
export function objectTable(
  kind: string,
  objects: readonly ObjectView[],
  options: { wide: boolean; namespaces: boolean; bound?: BoundCount },
): { header: string[]; rows: string[][] } {
  const columns = (COLUMNS[kind] ?? [NAME, AGE]).filter((one) => options.wide || one.wide !== true);
  const first = options.namespaces ? [column('NAMESPACE', (object) => object.namespace)] : [];
  const all = [...first, ...columns];
  const bound = options.bound ?? (() => 0);
  return {
    header: all.map((one) => one.header),
    rows: objects.map((object) => all.map((one) => one.cell(object, bound) || '-')),
  };
}
