import { join } from 'node:path';
import { type HttpReply, type TestMesh, until } from '../harness/mesh.ts';

/** The program of `traffic-peer.ts`, as pods start it. */
export const PEER: string = join(import.meta.dirname, 'traffic-peer.ts');

export const namespace = (name: string, labels: Readonly<Record<string, string>> = {}): string => `
apiVersion: v1
kind: Namespace
metadata: { name: ${name}, labels: ${JSON.stringify(labels)} }
`;

export const AMBIENT: Readonly<Record<string, string>> = { 'istio.io/dataplane-mode': 'ambient' };

/** A Deployment with a service account of its own: `serve` is the peer, everything else sleeps and is called from. */
export function deployment(ns: string, name: string, serves = false): string {
  const command = serves ? ['node', PEER, 'serve'] : ['sleep', 'infinity'];
  const probe = serves ? 'readinessProbe: { tcpSocket: { port: 7002 }, periodSeconds: 1 }' : '';
  return `
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${name}, namespace: ${ns} }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${ns} }
spec:
  replicas: 1
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      serviceAccountName: ${name}
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: example/peer:1
          command: ${JSON.stringify(command)}
          ${probe}
`;
}

/** A Service of both families before the peer's ports. */
export const service = (
  ns: string,
  name: string,
  app: string,
  labels: Readonly<Record<string, string>> = {},
): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${ns}, labels: ${JSON.stringify(labels)} }
spec:
  selector: { app: ${app} }
  ipFamilyPolicy: PreferDualStack
  ports:
    - { name: http, port: 80, targetPort: 8080 }
    - { name: grpc, port: 90, targetPort: 9090 }
    - { name: tcp-greet, port: 70, targetPort: 7000 }
    - { name: tcp-half, port: 71, targetPort: 7001 }
    - { name: tcp-bye, port: 72, targetPort: 7002 }
`;

export const gateway = (ns: string, name = 'waypoint', allowedRoutes = ''): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: ${ns} }
spec:
  gatewayClassName: istio-waypoint
  listeners: [{ name: mesh, port: 15008, protocol: HBONE${allowedRoutes} }]
`;

export const yaml = (...documents: string[]): string => documents.join('\n---\n');

/** Makes one call of the peer program in a pod and gives what it printed last. */
export async function peer(mesh: TestMesh, from: string, ...words: string[]): Promise<Record<string, unknown>> {
  const { out, err } = await mesh.exec(from, ['node', PEER, ...words]);
  const last = out.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{')) throw new Error(`${words.join(' ')}: ${out}${err}`);
  const parsed: unknown = JSON.parse(last);
  return { ...(typeof parsed === 'object' ? parsed : {}) };
}

/** Calls until the answer comes from a waypoint. */
export const untilWaypoint = (mesh: TestMesh, from: string, url: string): Promise<HttpReply> =>
  until(`the waypoint in the way to ${url}`, async () => {
    const reply = await mesh.curl(from, url);
    return reply.headers.get('server') === 'istio-envoy' && reply.status === 200 && reply;
  });
