import type { EnvVar, PodTemplate } from '../files/schema/pod.ts';
import type { GatewayForm } from '../ingest/gateway.ts';
import type { Labels } from '../ingest/labels.ts';

/** How a waypoint is run. */
export interface WaypointProgram {
  readonly command: readonly string[];
  /** Over the variables that every waypoint gets. */
  readonly env: Readonly<Record<string, string>>;
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly network: string;
}

export interface WaypointPodOptions {
  readonly gateway: GatewayForm;
  readonly name: string;
  readonly serviceAccount: string;
  readonly labels: Labels;
  readonly annotations: Labels;
}

/** Where the token of a workload is mounted, as in Istio's pods. */
export const TOKEN_FOLDER = '/var/run/secrets/tokens';
export const ROOT_CERTIFICATE_FOLDER = '/var/run/secrets/istio';
const TOKEN_SECONDS = 43_200;

const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });

/** The pod of a waypoint: its labels keep it out of capture, its ports and probes are those people's dashboards expect. */
export function waypointPod(options: WaypointPodOptions, program: WaypointProgram): PodTemplate {
  return {
    metadata: {
      labels: {
        ...options.labels,
        'sidecar.istio.io/inject': 'false',
        'istio.io/dataplane-mode': 'none',
        'service.istio.io/canonical-name': options.name,
        'service.istio.io/canonical-revision': 'latest',
      },
      annotations: {
        ...options.annotations,
        'istio.io/rev': 'default',
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': '15020',
        'prometheus.io/path': '/stats/prometheus',
      },
    },
    spec: {
      serviceAccountName: options.serviceAccount,
      terminationGracePeriodSeconds: 30,
      containers: [
        {
          name: 'istio-proxy',
          image: 'ambit/waypoint',
          command: program.command,
          env: environment(options, program),
          ports: [
            { name: 'metrics', containerPort: 15_020, protocol: 'TCP' },
            { name: 'status-port', containerPort: 15_021, protocol: 'TCP' },
            { name: 'http-envoy-prom', containerPort: 15_090, protocol: 'TCP' },
          ],
          startupProbe: { httpGet: READY, periodSeconds: 1, failureThreshold: 30 },
          readinessProbe: { httpGet: READY, periodSeconds: 15, failureThreshold: 4 },
          volumeMounts: [
            { name: 'istio-token', mountPath: TOKEN_FOLDER },
            { name: 'istiod-ca-cert', mountPath: ROOT_CERTIFICATE_FOLDER },
          ],
        },
      ],
      volumes: [
        {
          name: 'istio-token',
          projected: {
            sources: [
              { serviceAccountToken: { audience: 'istio-ca', expirationSeconds: TOKEN_SECONDS, path: 'istio-token' } },
            ],
          },
        },
        { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
      ],
    },
  };
}

const READY = { path: '/healthz/ready', port: 15_021 } as const;

function environment({ gateway }: WaypointPodOptions, program: WaypointProgram): EnvVar[] {
  const values: Readonly<Record<string, string>> = {
    GATEWAY_NAME: gateway.name,
    TRUST_DOMAIN: program.trustDomain,
    CLUSTER_ID: program.clusterId,
    NETWORK: program.network,
    AUTH_TOKEN: `${TOKEN_FOLDER}/istio-token`,
    XDS_ROOT_CA: `${ROOT_CERTIFICATE_FOLDER}/root-cert.pem`,
    CA_ROOT_CA: `${ROOT_CERTIFICATE_FOLDER}/root-cert.pem`,
    ...program.env,
  };
  return [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('INSTANCE_IP', 'status.podIP'),
    field('INSTANCE_IPS', 'status.podIPs'),
    field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    field('NODE_NAME', 'spec.nodeName'),
    ...Object.entries(values).map(([name, value]) => ({ name, value })),
  ];
}
