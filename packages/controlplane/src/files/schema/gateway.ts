import { labels } from './metadata.ts';
import {
  anything,
  choice,
  list,
  map,
  notRun,
  object,
  type Path,
  port,
  refuse,
  type Report,
  type Schema,
  text,
  warn,
  warnNotRun,
} from './schema.ts';

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

export interface GatewayListener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname?: string;
  readonly tls?: unknown;
  readonly allowedRoutes?: {
    readonly namespaces?: { readonly from?: 'All' | 'Selector' | 'Same'; readonly selector?: LabelSelector };
    readonly kinds?: unknown;
  };
}

export interface GatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners: readonly GatewayListener[];
  readonly addresses?: readonly { readonly type?: string; readonly value?: string }[];
  readonly infrastructure?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface GatewayClassSpec {
  readonly controllerName: string;
  readonly description?: string;
}

export const labelSelector: Schema<LabelSelector> = object<LabelSelector>({
  matchLabels: labels,
  matchExpressions: list(
    object<NonNullable<LabelSelector['matchExpressions']>[number]>(
      { key: text, operator: choice('In', 'NotIn', 'Exists', 'DoesNotExist'), values: list(text) },
      { required: ['key', 'operator'] },
    ),
  ),
});

type Namespaces = NonNullable<NonNullable<GatewayListener['allowedRoutes']>['namespaces']>;

const namespaces: Schema<Namespaces> = object<Namespaces>(
  { from: choice('All', 'Selector', 'Same'), selector: labelSelector },
  {
    rules: (value, path, report) => {
      if (value.from === 'Selector' && value.selector === undefined)
        refuse(report, path, 'selector is missing: from: Selector expects the labels of the namespaces');
    },
  },
);

const listener: Schema<GatewayListener> = object<GatewayListener>(
  {
    name: text,
    port,
    protocol: text,
    hostname: notRun(text, 'a waypoint serves the services bound to it by any name'),
    tls: notRun(anything, 'HBONE always is mutual TLS with the certificates of the mesh'),
    allowedRoutes: object<NonNullable<GatewayListener['allowedRoutes']>>({
      namespaces,
      kinds: notRun(anything, 'routes are not read'),
    }),
  },
  { required: ['name', 'port', 'protocol'] },
);

export const gatewaySpec: Schema<GatewaySpec> = object<GatewaySpec>(
  {
    gatewayClassName: text,
    listeners: list(listener, { min: 1, max: 64 }),
    addresses: list(object<{ type?: string; value?: string }>({ type: text, value: text }), { max: 16 }),
    infrastructure: object<NonNullable<GatewaySpec['infrastructure']>>(
      { labels, annotations: map(text) },
      { notRun: { parametersRef: 'the waypoint runs with the pod that every waypoint gets' } },
    ),
  },
  {
    required: ['gatewayClassName', 'listeners'],
    notRun: {
      allowedListeners: 'ListenerSets are not read',
      defaultScope: 'routes are not read',
      tls: 'HBONE always is mutual TLS with the certificates of the mesh',
    },
    rules: (spec, path, report) => {
      warnUnserved(spec, path, report);
      const names = new Set<string>();
      for (const [i, one] of spec.listeners.entries()) {
        if (names.has(one.name))
          refuse(
            report,
            [...path, 'listeners', i, 'name'],
            `listener ${one.name} is there twice: expected unique names`,
          );
        names.add(one.name);
      }
    },
  },
);

/** What a Gateway may ask for and no program of ours gives. */
function warnUnserved(spec: GatewaySpec, path: Path, report: Report): void {
  if (spec.gatewayClassName !== WAYPOINT_CLASS) {
    const instead = `no program serves class ${spec.gatewayClassName}, so the Gateway gets no address; a waypoint is of class ${WAYPOINT_CLASS}`;
    return warnNotRun([...path, 'gatewayClassName'], instead, report);
  }
  for (const [i, { port, protocol }] of spec.listeners.entries())
    if (port !== HBONE_PORT || protocol !== 'HBONE')
      warn(
        report,
        [...path, 'listeners', i],
        `a waypoint listens on port ${HBONE_PORT} for HBONE only: nothing answers ${protocol} on ${port}`,
      );
  const [first, ...others] = spec.addresses ?? [];
  if (first !== undefined)
    warnNotRun(
      [...path, 'addresses'],
      others.length > 0 || first.type === 'Hostname'
        ? 'no pods are made for this Gateway, and it is not ready before somebody writes addresses into its status'
        : 'the waypoint gets a cluster IP of its own',
      report,
    );
}

const WAYPOINT_CLASS = 'istio-waypoint';
const HBONE_PORT = 15_008;

export const gatewayClassSpec: Schema<GatewayClassSpec> = object<GatewayClassSpec>(
  { controllerName: text, description: text },
  {
    required: ['controllerName'],
    notRun: { parametersRef: 'its waypoints run with the pod that every waypoint gets' },
  },
);
