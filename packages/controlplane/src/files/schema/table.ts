import { authorizationPolicySpec, checkAuthorizationPolicy } from './authorization-policy.ts';
import { configMap, endpointSlice, namespaceSpec, nodeSpec, secret, serviceAccount, serviceSpec } from './core.ts';
import { destinationRuleSpec } from './destination-rule.ts';
import { gatewayClassSpec, gatewaySpec } from './gateway.ts';
import { warnMeshKeys } from './mesh-keys.ts';
import { type Metadata, metadata } from './metadata.ts';
import { peerAuthenticationSpec } from './peer-authentication.ts';
import { deploymentSpec, podSpec } from './pod.ts';
import { isRecord, read, refuse, type Report, type Schema } from './schema.ts';
import { checkServiceEntry, serviceEntrySpec, workloadEntrySpec } from './service-entry.ts';

/** How objects of one kind are checked. */
export interface KindCheck {
  /** What is written below `spec`, or beside the metadata. */
  readonly schema: Schema<unknown>;
  readonly root: 'spec' | '';
  /** Checks a whole object, and reports every problem at its path from the object's root. */
  check(object: Record<string, unknown>, report: Report): void;
}

const COMMON = new Set(['apiVersion', 'kind', 'metadata', 'status']);

/** A kind with a `spec`. */
function withSpec<S>(
  spec: Schema<S>,
  options: { readonly optional?: boolean; readonly rules?: (spec: S, metadata: Metadata, report: Report) => void } = {},
): KindCheck {
  const check: KindCheck['check'] = (object, report) => {
    const meta = checkMetadata(object, report);
    for (const field of Object.keys(object))
      if (!COMMON.has(field) && field !== 'spec')
        refuse(report, [field], `unknown field ${field}; expected spec`, 'key');
    if (object['spec'] === undefined || object['spec'] === null) {
      if (options.optional !== true) refuse(report, [], 'spec is missing: expected an object');
      return;
    }
    if (!spec.check(object['spec'], ['spec'], report) || meta === undefined) return;
    const typed = read(spec, object['spec']);
    if (typed !== undefined) options.rules?.(typed, meta, report);
  };
  return { schema: spec, root: 'spec', check };
}

/** A kind whose fields stand beside its metadata. */
function withBody(body: Schema<object>): KindCheck {
  const check: KindCheck['check'] = (object, report) => {
    checkMetadata(object, report);
    body.check(Object.fromEntries(Object.entries(object).filter(([field]) => !COMMON.has(field))), [], report);
  };
  return { schema: body, root: '', check };
}

function checkMetadata(object: Record<string, unknown>, report: Report): Metadata | undefined {
  if (!isRecord(object['metadata'])) {
    refuse(report, [], 'metadata is missing: expected an object with a name');
    return undefined;
  }
  if (!metadata.check(object['metadata'], ['metadata'], report)) return undefined;
  const meta = read(metadata, object['metadata']);
  if (meta !== undefined) warnMeshKeys(String(object['kind']), meta, ['metadata'], report);
  return meta;
}

/** One row per kind that Ambit reads. */
export const KIND_CHECKS: Readonly<Record<string, KindCheck>> = {
  Namespace: withSpec(namespaceSpec, { optional: true }),
  Node: withSpec(nodeSpec, { optional: true }),
  ServiceAccount: withBody(serviceAccount),
  ConfigMap: withBody(configMap),
  Secret: withBody(secret),
  Service: withSpec(serviceSpec),
  Pod: withSpec(podSpec),
  Deployment: withSpec(deploymentSpec),
  EndpointSlice: withBody(endpointSlice),
  GatewayClass: withSpec(gatewayClassSpec),
  Gateway: withSpec(gatewaySpec),
  ServiceEntry: withSpec(serviceEntrySpec, { rules: checkServiceEntry }),
  WorkloadEntry: withSpec(workloadEntrySpec),
  DestinationRule: withSpec(destinationRuleSpec),
  AuthorizationPolicy: withSpec(authorizationPolicySpec, { optional: true, rules: checkAuthorizationPolicy }),
  PeerAuthentication: withSpec(peerAuthenticationSpec, { optional: true }),
};
