import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { meshConfigYaml } from '../../ingest/mesh-config.ts';
import { newReport, type Schema } from './schema.ts';
import { KIND_CHECKS } from './table.ts';

/*
 * No field is accepted and ignored. A field of a schema either warns, and says what happens instead, or stands in this
 * table beside what reads it. A new field fails this test until somebody has decided which.
 */

/** Where a field stands → its names → who acts on it. Places that hold the same fields are one, see `place`. */
const READ_BY: Readonly<Record<string, Readonly<Record<string, readonly (readonly [names: string, by: string])[]>>>> = {
  Namespace: { spec: [['finalizers', 'servers: a namespace is deleted at once']] },
  Node: { spec: [['providerID', 'servers: a name only']] },
  ServiceAccount: {},
  ConfigMap: { '': [['data', 'variables and volumes of pods; mesh configuration']] },
  Secret: {
    '': [
      ['data stringData', 'variables and volumes of pods; credentialName'],
      ['type', 'people: a name for what data holds'],
    ],
  },
  Service: {
    spec: [
      ['type externalName', 'ingest/service: ExternalName is not published; cluster DNS answers with its CNAME'],
      ['selector publishNotReadyAddresses internalTrafficPolicy trafficDistribution', 'derive/services'],
      ['clusterIP clusterIPs ipFamilies ipFamilyPolicy', 'derive/services; addresses of the standalone cluster'],
    ],
    'spec.ports[]': [['port name protocol appProtocol targetPort', 'ingest/service, derive/workloads']],
  },
  Pod: {
    spec: [
      ['serviceAccountName serviceAccount hostNetwork nodeName', 'ingest/pod'],
      ['restartPolicy terminationGracePeriodSeconds hostname hostAliases', 'standalone: containers, /etc/hosts'],
      ['subdomain', 'standalone: cluster DNS'],
    ],
    'spec.volumes[]': [['name configMap secret emptyDir projected hostPath downwardAPI', 'standalone: volumes']],
    container: [
      ['name command args workingDir restartPolicy', 'standalone: containers'],
      ['image', 'standalone: the name in the status'],
    ],
    'container.ports[]': [['containerPort name protocol', 'ingest/pod: named target ports']],
    'container.volumeMounts[]': [['name mountPath readOnly subPath', 'standalone: volumes']],
    'container.env[]': [['name value', 'standalone: environment']],
    'container.env[].valueFrom.fieldRef': [
      ['fieldPath', 'standalone: environment'],
      ['apiVersion', 'nobody: v1 is the only one'],
    ],
    'container.env[].valueFrom.configMapKeyRef': [['name key optional', 'standalone: environment']],
    'container.env[].valueFrom.secretKeyRef': [['name key optional', 'standalone: environment']],
    'container.envFrom[]': [['prefix', 'standalone: environment']],
    'container.envFrom[].configMapRef': [['name optional', 'standalone: environment']],
    'container.envFrom[].secretRef': [['name optional', 'standalone: environment']],
    probe: [
      ['initialDelaySeconds periodSeconds timeoutSeconds successThreshold failureThreshold', 'standalone: probes'],
    ],
    'probe.httpGet': [['path port host scheme', 'standalone: probes']],
    'probe.httpGet.httpHeaders[]': [['name value', 'standalone: probes']],
    'probe.tcpSocket': [['port host', 'standalone: probes']],
    'probe.exec': [['command', 'standalone: probes']],
  },
  Deployment: {
    spec: [['replicas', 'standalone: rollout']],
    'spec.strategy': [['type', 'standalone: rollout']],
    'spec.selector': [['matchLabels', 'standalone: rollout']],
    'spec.template.metadata': [
      ['labels annotations', 'standalone: pods made'],
      ['name namespace creationTimestamp', 'servers: pods get their own'],
    ],
  },
  EndpointSlice: {
    '': [['addressType', 'ingest/endpoint-slice']],
    'endpoints[]': [
      ['addresses', 'ingest/endpoint-slice'],
      ['nodeName hostname zone hints deprecatedTopology', 'servers: Istio reads none of them in ambient mode'],
    ],
    'endpoints[].conditions': [
      ['ready', 'ingest/endpoint-slice'],
      ['serving terminating', 'servers: Istio goes by ready alone'],
    ],
    'endpoints[].targetRef': [
      ['kind namespace name uid', 'derive/workloads'],
      ['apiVersion fieldPath resourceVersion', 'servers: the rest of a reference'],
    ],
    'ports[]': [
      ['name port protocol', 'ingest/endpoint-slice'],
      ['appProtocol', 'servers: that of the Service counts'],
    ],
  },
  GatewayClass: {
    spec: [
      ['controllerName', 'derive/policy-targets'],
      ['description', 'people'],
    ],
  },
  Gateway: {
    spec: [['gatewayClassName', 'provision/waypoint, derive/waypoints']],
    'spec.listeners[]': [['name port protocol', 'provision/waypoint, status']],
    'spec.listeners[].allowedRoutes.namespaces': [['from', 'derive/waypoints']],
    'spec.listeners[].allowedRoutes.namespaces.selector': [['matchLabels', 'ingest/labels']],
    'spec.listeners[].allowedRoutes.namespaces.selector.matchExpressions[]': [['key operator values', 'ingest/labels']],
    'spec.addresses[]': [['type value', 'provision/waypoint; any address warns']],
    'spec.infrastructure': [['labels annotations', 'provision/waypoint']],
  },
  ServiceEntry: {
    spec: [
      ['hosts addresses resolution subjectAltNames', 'derive/services, derive/workloads, derive/backends'],
      ['location', 'validation; as in Istio, ambient mode goes by the endpoints'],
    ],
    'spec.ports[]': [['number name protocol targetPort', 'derive/services']],
    'spec.endpoints[]': [['address ports labels network locality weight serviceAccount', 'derive/workloads']],
    'spec.workloadSelector': [['labels', 'derive/workloads']],
  },
  WorkloadEntry: { spec: [['address ports labels network locality weight serviceAccount', 'derive/workloads']] },
  DestinationRule: {
    spec: [['host exportTo', 'derive/backends']],
    'spec.trafficPolicy.portLevelSettings[].port': [['number', 'ingest/destination-rule']],
    'policy.loadBalancer': [['simple', 'waypoint: balance']],
    'policy.connectionPool.tcp': [['maxConnections connectTimeout idleTimeout', 'waypoint: pools']],
    'policy.connectionPool.http': [
      [
        'http1MaxPendingRequests http2MaxRequests maxRequestsPerConnection idleTimeout h2UpgradePolicy',
        'waypoint: limits, pools',
      ],
    ],
    'policy.tls': [
      [
        'mode clientCertificate privateKey caCertificates credentialName subjectAltNames sni insecureSkipVerify',
        'waypoint: TLS origination',
      ],
    ],
  },
  AuthorizationPolicy: {
    spec: [['action', 'ingest/authorization-policy']],
    'spec.selector': [['matchLabels', 'derive/policies']],
    target: [['group kind name namespace', 'derive/policy-targets; a namespace is refused']],
    'spec.rules[].from[].source': [
      [
        'principals notPrincipals namespaces notNamespaces serviceAccounts notServiceAccounts trustDomains notTrustDomains ipBlocks notIpBlocks remoteIpBlocks notRemoteIpBlocks',
        'ingest/authorization-rule',
      ],
      ['requestPrincipals notRequestPrincipals', 'ingest/authorization-rule; warns while tokens are not validated'],
    ],
    'spec.rules[].to[].operation': [
      ['hosts notHosts ports notPorts methods notMethods paths notPaths', 'ingest/authorization-rule'],
    ],
    'spec.rules[].when[]': [['key values notValues', 'ingest/authorization-rule']],
  },
  PeerAuthentication: {
    'spec.selector': [['matchLabels', 'derive/peer-authentication']],
    'spec.mtls': [['mode', 'derive/peer-authentication']],
    'spec.portLevelMtls[]': [['mode', 'derive/peer-authentication']],
  },
  MeshConfig: {
    '': [['rootNamespace trustDomain trustDomainAliases accessLogFile accessLogEncoding', 'ingest/mesh-config']],
    pathNormalization: [['normalization', 'ingest/mesh-config']],
  },
};

const SCHEMAS = new Map<string, { readonly schema: Schema<unknown>; readonly root: string }>([
  ...Object.entries(KIND_CHECKS),
  ['MeshConfig', { schema: meshConfigYaml, root: '' }],
]);

interface Field {
  readonly path: string;
  readonly schema: Schema<unknown>;
}

/** Every field that holds a value of its own, and every one that warns. */
function* fieldsOf(schema: Schema<unknown>, path: string): Generator<Field> {
  const { fields, entries } = schema.inner ?? {};
  const leaf = entries === undefined && fields === undefined;
  if (schema.instead !== undefined || leaf) yield { path, schema };
  else if (entries !== undefined) {
    if (entries.inner === undefined) yield { path, schema };
    else yield* fieldsOf(entries, `${path}[]`);
  }
  if (schema.instead === undefined)
    for (const [name, field] of fields ?? []) yield* fieldsOf(field, path === '' ? name : `${path}.${name}`);
}

/** The same fields in several places count once: containers of all sorts, their probes, settings of ports. */
const place = (kind: string, path: string): string => {
  const pod = kind === 'Deployment' ? path.replace(/^spec\.template\.spec\b/, 'spec') : path;
  return pod
    .replace(/^spec\.(initC|c)ontainers\[\]/, 'container')
    .replace(/^container\.(readiness|liveness|startup)Probe/, 'probe')
    .replace(/^spec\.trafficPolicy\.(portLevelSettings\[\]\.)?(?=tls|loadBalancer|connectionPool)/, 'policy.')
    .replace(/^spec\.targetRef(s\[\])?(?=\.)/, 'target');
};

function tabled(kind: string): string[] {
  const rows = Object.entries(READ_BY[kind] ?? {});
  return rows.flatMap(([where, list]) =>
    list.flatMap(([names]) => names.split(' ').map((name) => (where === '' ? name : `${where}.${name}`))),
  );
}

for (const [kind, { schema, root }] of SCHEMAS) {
  const fields = [...fieldsOf(schema, root)].filter(({ path }) => path !== '');

  test(`${kind}: each field is read by somebody, or warns`, () => {
    const silent = fields.filter((one) => one.schema.instead === undefined).map(({ path }) => place(kind, path));
    const pods = kind === 'Deployment' ? tabled('Pod') : [];
    assert.equal([...new Set(silent)].sort(), [...tabled(kind), ...pods].sort());
  });

  test(`${kind}: a field without effect says its name and what happens instead`, () => {
    for (const { path, schema: field } of fields.filter((one) => one.schema.instead !== undefined)) {
      const name = path.split('.').at(-1) ?? '';
      const warned = SAMPLES.map((sample) => warningsOf(field, sample, name)).find((one) => one !== undefined);
      assert.equal(warned, [`${name} is accepted but has no effect here: ${field.instead}`], path);
    }
  });
}

/** One of these fits any field. */
const SAMPLES: readonly unknown[] = ['x', true, 1, ['x'], { a: 'x' }, [{ name: 'x' }], {}];

/** Undefined when the value is refused. */
function warningsOf(schema: Schema<unknown>, value: unknown, name: string): string[] | undefined {
  const report = newReport(true);
  return schema.check(value, [name], report) ? report.warnings.map((one) => one.message) : undefined;
}

test('a field stands in one row only', () => {
  for (const kind of SCHEMAS.keys()) {
    const rows = tabled(kind);
    assert.is(new Set(rows).size, rows.length, kind);
  }
});

test.run();
