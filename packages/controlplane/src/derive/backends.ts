import type { Backend, BackendPort, Credential } from '@ambit/common/model/backend';
import { DEFAULT_TRAFFIC, type DestinationRuleForm } from '../ingest/destination-rule.ts';
import type { PortForm } from '../ingest/service.ts';
import type { Audience } from './audience.ts';
import type { Inputs } from './inputs.ts';
import type { MeshService, Services } from './services.ts';
import type { Waypoint } from './waypoints.ts';

export interface Backends {
  readonly backends: readonly Audience<Backend>[];
  /** Secrets that those backends name, each to the waypoint that needs it. */
  readonly credentials: readonly Audience<Credential>[];
}

/** How each waypoint talks to the services bound to it. */
export function deriveBackends(inputs: Inputs, services: Services): Backends {
  const rules = indexRules(inputs);
  const backends: Audience<Backend>[] = [];
  const credentials = new Map<string, Audience<Credential>>();
  for (const service of services.byKey.values()) {
    if (service.binding.kind !== 'bound') continue;
    const { waypoint } = service.binding;
    const value = backendOf(service, waypoint, ruleFor(service, waypoint, { inputs, rules }));
    backends.push({ waypoint: waypoint.key, name: service.key, value });
    for (const name of value.ports.flatMap((port) => port.tls?.credential ?? [])) {
      const credential = name === '' ? undefined : credentialFor(name, inputs);
      if (credential !== undefined)
        credentials.set(`${waypoint.key} ${name}`, { waypoint: waypoint.key, name, value: credential });
    }
  }
  return { backends, credentials: [...credentials.values()] };
}

function credentialFor(key: string, inputs: Inputs): Credential | undefined {
  const [namespace = '', name = ''] = key.split('/');
  return inputs.credential(namespace, name);
}

function backendOf(service: MeshService, waypoint: Waypoint, rule: DestinationRuleForm | undefined): Backend {
  const { entry } = service;
  return {
    namespace: service.service.namespace,
    hostname: service.service.hostname,
    resolution: entry?.resolution ?? 'STATIC',
    external: entry?.external ?? false,
    subjectAltNames: service.service.subjectAltNames,
    ports: service.ports.filter((port) => port.protocol !== 'UDP').map((port) => backendPort(port, waypoint, rule)),
  };
}

/** A Secret named by `credentialName` lies in the namespace of the proxy, never in that of the rule. */
function backendPort(port: PortForm, waypoint: Waypoint, rule: DestinationRuleForm | undefined): BackendPort {
  const { tls, loadBalancer, pool } = rule?.forPort(port.number) ?? DEFAULT_TRAFFIC;
  const credential = tls === undefined || tls.credential === '' ? '' : `${waypoint.namespace}/${tls.credential}`;
  return {
    port: port.number,
    targetPort: typeof port.target === 'number' ? port.target : 0,
    tls: tls && { ...tls, credential },
    loadBalancer,
    pool,
  };
}

type Rules = ReadonlyMap<string, readonly DestinationRuleForm[]>;

/** Rules by namespace, oldest first as the inputs are. */
function indexRules(inputs: Inputs): Rules {
  const byNamespace = new Map<string, DestinationRuleForm[]>();
  for (const rule of inputs.destinationRules) {
    const list = byNamespace.get(rule.namespace);
    if (list === undefined) byNamespace.set(rule.namespace, [rule]);
    else list.push(rule);
  }
  return byNamespace;
}

/** Looked up in the waypoint's namespace, then the service's, then the root; there the exact host, then the longest wildcard, then the oldest. */
function ruleFor(
  { service }: MeshService,
  waypoint: Waypoint,
  { inputs, rules }: { readonly inputs: Inputs; readonly rules: Rules },
): DestinationRuleForm | undefined {
  for (const namespace of new Set([waypoint.namespace, service.namespace, inputs.mesh.rootNamespace])) {
    const candidates = (rules.get(namespace) ?? [])
      .filter((rule) => isVisible(rule, waypoint.namespace))
      .map((rule) => ({ rule, specific: specificity(fullHost(rule, inputs.clusterDomain), service.hostname) }))
      .filter(({ specific }) => specific >= 0);
    const best = Math.max(...candidates.map(({ specific }) => specific));
    const found = candidates.find(({ specific }) => specific === best);
    if (found !== undefined) return found.rule;
  }
  return undefined;
}

const isVisible = (rule: DestinationRuleForm, namespace: string): boolean =>
  rule.exportTo.some((one) => one === '*' || one === namespace || (one === '.' && rule.namespace === namespace));

/** A name without dots is a Service of the rule's own namespace. */
const fullHost = ({ host, namespace }: DestinationRuleForm, clusterDomain: string): string =>
  host.includes('.') || host === '*' ? host : `${host}.${namespace}.svc.${clusterDomain}`;

/** -1 when the rule's host does not cover the service's. */
function specificity(pattern: string, hostname: string): number {
  if (pattern === hostname) return Number.MAX_SAFE_INTEGER;
  if (pattern === '*') return 0;
  return pattern.startsWith('*.') && hostname.endsWith(pattern.slice(1)) ? pattern.length : -1;
}
