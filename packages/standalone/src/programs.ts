import { dirname, join } from 'node:path';
import type { KubeObject } from '@ambit/controlplane/collections/object';
import { podDefaults } from './admission.ts';

const PACKAGES = join(import.meta.dirname, '..', '..');

/**
 * Socket buffers lie outside V8's heap, and by default every 64 MB of them start a full collection: ten a second when bytes flow. Counted
 * within the heap's own limit they start half as many, and a byte through the node agent costs a quarter less CPU (bench/l4.ts).
 */
const DATA_PLANE = ['--external-memory-accounted-in-global-limit'] as const;

/** How each program of the mesh is started: as a process of its own, with the Node that runs this one. */
export const PROGRAMS: Readonly<Record<'standalone' | 'ztunnel' | 'waypoint', readonly string[]>> = {
  standalone: [process.execPath, join(PACKAGES, 'standalone/src/main.ts')],
  ztunnel: [process.execPath, ...DATA_PLANE, join(PACKAGES, 'ztunnel/src/main.ts')],
  waypoint: [process.execPath, ...DATA_PLANE, join(PACKAGES, 'waypoint/src/main.ts')],
};

/** A search path on which `node` is the Node of this workspace. */
export const withOwnNode = (path: string): string => `${dirname(process.execPath)}:${path}`;

export const ZTUNNEL = { namespace: 'istio-system', name: 'ztunnel' } as const;

export interface ZtunnelPodOptions {
  readonly uid: string;
  readonly socketPath: string;
  /** Host and port of the control plane. */
  readonly controlPlane: string;
  readonly clusterDomain: string;
  readonly ipv6: boolean;
  readonly env: Readonly<Record<string, string>>;
}

/** The node agent as the pod that Istio's DaemonSet would make on this node, with Istio's environment. */
export function ztunnelPod(options: ZtunnelPodOptions): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...ZTUNNEL,
      generateName: 'ztunnel-',
      uid: options.uid,
      creationTimestamp: new Date().toISOString(),
      labels: { app: 'ztunnel', 'sidecar.istio.io/inject': 'false', 'istio.io/dataplane-mode': 'none' },
      annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '15020' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'ztunnel', uid: options.uid, controller: true },
      ],
    },
    spec: podDefaults({
      serviceAccountName: 'ztunnel',
      hostNetwork: true,
      terminationGracePeriodSeconds: 5,
      containers: [
        {
          name: 'istio-proxy',
          image: 'ambit/ztunnel',
          command: [...PROGRAMS.ztunnel],
          env: environment(options),
          ports: [{ name: 'ztunnel-stats', containerPort: 15_020, protocol: 'TCP' }],
          readinessProbe: { httpGet: { path: '/healthz/ready', port: 15_021 } },
          volumeMounts: [
            { name: 'istio-token', mountPath: TOKEN_FOLDER },
            { name: 'istiod-ca-cert', mountPath: ROOT_FOLDER },
          ],
        },
      ],
      volumes: [
        {
          name: 'istio-token',
          projected: { sources: [{ serviceAccountToken: { audience: 'istio-ca', path: 'istio-token' } }] },
        },
        { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
      ],
    }),
  };
}

const TOKEN_FOLDER = '/var/run/secrets/tokens';
const ROOT_FOLDER = '/var/run/secrets/istio';

function environment(options: ZtunnelPodOptions): Record<string, unknown>[] {
  const fields: Readonly<Record<string, string>> = {
    NODE_NAME: 'spec.nodeName',
    POD_NAME: 'metadata.name',
    POD_NAMESPACE: 'metadata.namespace',
    INSTANCE_IP: 'status.podIP',
    SERVICE_ACCOUNT: 'spec.serviceAccountName',
  };
  const values: Readonly<Record<string, string>> = {
    XDS_ADDRESS: `https://${options.controlPlane}`,
    CA_ADDRESS: `https://${options.controlPlane}`,
    XDS_ROOT_CA: `${ROOT_FOLDER}/root-cert.pem`,
    CA_ROOT_CA: `${ROOT_FOLDER}/root-cert.pem`,
    AUTH_TOKEN: `${TOKEN_FOLDER}/istio-token`,
    INPOD_UDS: options.socketPath,
    CLUSTER_ID: 'Kubernetes',
    CLUSTER_DOMAIN: options.clusterDomain,
    IPV6_ENABLED: String(options.ipv6),
    ...options.env,
  };
  return [
    ...Object.entries(fields).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } })),
    ...Object.entries(values).map(([name, value]) => ({ name, value })),
  ];
}
