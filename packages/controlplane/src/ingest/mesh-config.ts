import type { ProxySettings } from '@ambit/common/model/listener';
import type { KubeObject } from '../collections/object.ts';
import { parseYamlValue } from '../files/parse.ts';
import {
  anything,
  choice,
  isRecord,
  list,
  newReport,
  object,
  read,
  type Schema,
  text,
} from '../files/schema/schema.ts';
import { memoized } from './memoized.ts';

/** What Ambit reads of Istio's mesh configuration: ConfigMap `istio` of the root namespace, key `mesh`. */
export interface MeshConfig {
  readonly rootNamespace: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly accessLog: ProxySettings['accessLog'];
  readonly pathNormalization: ProxySettings['pathNormalization'];
  /** In the operator's words: what is wrong, or has no effect here. */
  readonly problems: readonly string[];
}

interface MeshConfigYaml {
  readonly rootNamespace?: string;
  readonly trustDomain?: string;
  readonly trustDomainAliases?: readonly string[];
  readonly accessLogFile?: string;
  readonly accessLogEncoding?: 'TEXT' | 'JSON';
  readonly pathNormalization?: { readonly normalization?: Normalization };
  readonly outboundTrafficPolicy?: unknown;
}

type Normalization = 'DEFAULT' | 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/** Istio's mesh settings that change nothing here yet. */
const NOT_RUN = [
  'accessLogFormat',
  'ca',
  'certificates',
  'configSources',
  'connectTimeout',
  'defaultConfig',
  'defaultDestinationRuleExportTo',
  'defaultHttpRetryPolicy',
  'defaultProviders',
  'defaultServiceExportTo',
  'defaultVirtualServiceExportTo',
  'discoverySelectors',
  'dnsRefreshRate',
  'enableAutoMtls',
  'enablePrometheusMerge',
  'enableTracing',
  'extensionProviders',
  'inboundTrafficPolicy',
  'ingressClass',
  'ingressControllerMode',
  'ingressService',
  'localityLbSetting',
  'meshMTLS',
  'serviceEntryVisibility',
  'serviceScopeConfigs',
  'serviceSettings',
  'tcpKeepalive',
  'tlsDefaults',
];

const schema: Schema<MeshConfigYaml> = object<MeshConfigYaml>(
  {
    rootNamespace: text,
    trustDomain: text,
    trustDomainAliases: list(text),
    accessLogFile: text,
    accessLogEncoding: choice('TEXT', 'JSON'),
    pathNormalization: object<NonNullable<MeshConfigYaml['pathNormalization']>>({
      normalization: choice('DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'),
    }),
    outboundTrafficPolicy: anything,
  },
  { notRun: [...NOT_RUN] },
);

/** One mesh per machine, and people look at its log first: text on standard output, where Istio's default is off. */
export const DEFAULT_MESH_CONFIG: MeshConfig = Object.freeze({
  rootNamespace: 'istio-system',
  trustDomain: 'cluster.local',
  trustDomainAliases: [],
  accessLog: 'TEXT',
  pathNormalization: 'BASE',
  problems: [],
});

/** Reads the ConfigMap; a document that is wrong as a whole leaves the defaults and says why in `problems`. */
export const ingestMeshConfig: (configMap: KubeObject) => MeshConfig = memoized((configMap) => {
  const { value, error } = parseYamlValue(configMap.data?.['mesh'] ?? '');
  if (error !== undefined) return { ...DEFAULT_MESH_CONFIG, problems: [`mesh: ${error}`] };
  const report = newReport(true);
  const yaml = isRecord(value) ? value : {};
  schema.check(yaml, ['mesh'], report);
  const problems = [...report.errors, ...report.warnings].map((one) => `${one.path.join('.')}: ${one.message}`);
  const config = report.errors.length === 0 ? read(schema, yaml) : undefined;
  if (config === undefined) return { ...DEFAULT_MESH_CONFIG, problems };
  if (config.outboundTrafficPolicy !== undefined)
    problems.push(
      'mesh.outboundTrafficPolicy: accepted but has no effect yet: traffic to unknown destinations passes through',
    );
  return {
    rootNamespace: config.rootNamespace ?? DEFAULT_MESH_CONFIG.rootNamespace,
    trustDomain: config.trustDomain ?? DEFAULT_MESH_CONFIG.trustDomain,
    trustDomainAliases: config.trustDomainAliases ?? [],
    accessLog: accessLogOf(config),
    pathNormalization: normalizationOf(config.pathNormalization?.normalization),
    problems,
  };
});

function accessLogOf({ accessLogFile, accessLogEncoding }: MeshConfigYaml): MeshConfig['accessLog'] {
  if (accessLogFile === '') return 'OFF';
  return accessLogEncoding === 'JSON' ? 'JSON' : 'TEXT';
}

const normalizationOf = (word: Normalization = 'DEFAULT'): MeshConfig['pathNormalization'] =>
  word === 'DEFAULT' ? 'BASE' : word;
