import { labels } from './metadata.ts';
import { anything, choice, list, map, object, port, refuse, type Schema, text } from './schema.ts';

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
    hostname: text,
    tls: anything,
    allowedRoutes: object<NonNullable<GatewayListener['allowedRoutes']>>({ namespaces, kinds: anything }),
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
      { notRun: ['parametersRef'] },
    ),
  },
  {
    required: ['gatewayClassName', 'listeners'],
    notRun: ['allowedListeners', 'defaultScope', 'tls'],
    rules: (spec, path, report) => {
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

export const gatewayClassSpec: Schema<GatewayClassSpec> = object<GatewayClassSpec>(
  { controllerName: text, description: text },
  { required: ['controllerName'], notRun: ['parametersRef'] },
);
