import type { ProxySettings } from '@ambit/common/model/listener';
import type { KubeObject } from '../collections/object.ts';
import { parseYamlValue } from '../files/parse.ts';
import {
  choice,
  isRecord,
  isSet,
  list,
  newReport,
  object,
  read,
  type Schema,
  text,
  warnNotRun,
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
}

type Normalization = 'DEFAULT' | 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/** Istio's mesh settings that change nothing here yet, and what happens instead. */
const NOT_RUN = {
  accessLogFormat: "lines have Envoy's default format",
  ca: 'certificates come from this control plane',
  caCertificates: 'the roots are those of this control plane',
  certificates: 'certificates come from this control plane',
  configSources: 'objects come from the folder and from ambit apply',
  connectTimeout: 'a connection is given up after 10 s, or as the DestinationRule says',
  defaultConfig: 'proxies run with the settings that all of them get',
  defaultDestinationRuleExportTo: 'a DestinationRule without exportTo is for every namespace',
  defaultHttpRetryPolicy: 'failed requests are retried as Istio does by default',
  defaultProviders: 'metrics and logs are those of every waypoint',
  defaultServiceExportTo: 'every namespace sees every Service',
  defaultVirtualServiceExportTo: 'VirtualServices are not read',
  disableEnvoyListenerLog: 'access logs are as accessLogFile says',
  discoverySelectors: 'every namespace is part of the mesh',
  dnsRefreshRate: 'names are looked up again when their records expire',
  enableAutoMtls: 'traffic between pods of the mesh is always mutual TLS',
  enableEnvoyAccessLogService: 'access logs go to standard output',
  enablePrometheusMerge: 'metrics of applications are not merged',
  enableTracing: 'nothing is traced',
  extensionProviders: 'no provider is called',
  h2UpgradePolicy: 'the protocol towards a backend follows its port, or the DestinationRule',
  inboundClusterStatName: 'there are no such statistics',
  inboundTrafficPolicy: 'traffic to a pod goes to the port it was sent to',
  ingressClass: 'Ingress is not read',
  ingressControllerMode: 'Ingress is not read',
  ingressSelector: 'Ingress is not read',
  ingressService: 'Ingress is not read',
  localityLbSetting: 'a waypoint chooses among all healthy endpoints wherever they are',
  meshMTLS: 'TLS 1.3 is spoken',
  outboundClusterStatName: 'there are no such statistics',
  outboundTrafficPolicy: 'traffic to unknown destinations passes through',
  protocolDetectionTimeout: 'ports without a protocol are sniffed as by default',
  proxyHttpPort: 'no proxy port is opened',
  proxyInboundListenPort: 'pods are captured on the ports of ambient mode',
  proxyListenPort: 'pods are captured on the ports of ambient mode',
  serviceEntryVisibility: 'every namespace sees every ServiceEntry',
  serviceScopeConfigs: 'there is one cluster',
  serviceSettings: 'there is one cluster',
  tcpKeepalive: 'connections are kept alive as the proxies do for all',
  thriftConfig: 'Thrift is carried as TCP',
  tlsDefaults: 'TLS towards backends is 1.2 or newer',
  verifyCertificateAtClient: 'certificates of backends are always verified',
};

export const meshConfigYaml: Schema<MeshConfigYaml> = object<MeshConfigYaml>(
  {
    rootNamespace: text,
    trustDomain: text,
    trustDomainAliases: list(text),
    accessLogFile: text,
    accessLogEncoding: choice('TEXT', 'JSON'),
    pathNormalization: object<NonNullable<MeshConfigYaml['pathNormalization']>>({
      normalization: choice('DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'),
    }),
  },
  {
    notRun: NOT_RUN,
    rules: ({ accessLogFile }, path, report) => {
      if (isSet(accessLogFile) && accessLogFile !== '/dev/stdout')
        warnNotRun([...path, 'accessLogFile'], 'access logs go to standard output', report);
    },
  },
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
  meshConfigYaml.check(yaml, ['mesh'], report);
  const problems = [...report.errors, ...report.warnings].map((one) => `${one.path.join('.')}: ${one.message}`);
  const config = report.errors.length === 0 ? read(meshConfigYaml, yaml) : undefined;
  if (config === undefined) return { ...DEFAULT_MESH_CONFIG, problems };
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
