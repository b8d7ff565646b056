import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DemoAuthority } from './certificates.ts';

/** One host of the pretended internet. */
export interface OutsideHost {
  readonly name: string;
  readonly address: string;
  readonly certificate: string;
  readonly privateKey: string;
}

/** What the outside process reads. */
export interface World {
  readonly root: string;
  readonly hosts: readonly OutsideHost[];
}

/** Names and addresses (TEST-NET-3, RFC 5737). The last presents a certificate of another name. */
const HOSTS = [
  { name: 'httpbin.org', address: '203.0.113.10', certificateFor: 'httpbin.org' },
  { name: 'api.example.org', address: '203.0.113.20', certificateFor: 'api.example.org' },
  { name: 'mistaken.example.org', address: '203.0.113.30', certificateFor: 'somebody-else.example.net' },
];

export const OUTSIDE_DNS = '203.0.113.53';

/** Files and secrets of the pretended internet, made new for each run. */
export interface OutsideWorld {
  /** Folder with `world.json`, `root.pem` and `outside.yaml`. */
  readonly folder: string;
  /** YAML of the Secrets that the TLS steps of the story use, in the waypoint's namespace. */
  readonly secrets: string;
}

/** Writes certificates, world.json and the Pod that runs it into `folder`. */
export function createWorld(folder: string, program: string): OutsideWorld {
  const authority = new DemoAuthority();
  const hosts = HOSTS.map(({ name, address, certificateFor }) => ({
    name,
    address,
    ...authority.issue(certificateFor, [certificateFor]),
  }));
  const world: World = { root: authority.root, hosts };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'world.json'), JSON.stringify(world), { mode: 0o600 });
  writeFileSync(join(folder, 'root.pem'), world.root);
  writeFileSync(join(folder, 'outside.yaml'), podYaml(program, folder));
  return { folder, secrets: secretsYaml(world.root, authority) };
}

function podYaml(program: string, folder: string): string {
  const addresses = [...HOSTS.map((host) => host.address), OUTSIDE_DNS].map((address) => `${address}/24`).join(',');
  return `apiVersion: v1
kind: Pod
metadata:
  name: internet
  namespace: outside
  annotations:
    ambit.dev/outside: "${addresses}"
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: internet
      image: outside
      command: ["node", "${program}", "${folder}"]
      readinessProbe:
        tcpSocket: { port: 443 }
        periodSeconds: 1
`;
}

const indent = (pem: string): string => pem.trim().replaceAll(/\r?\n/g, '\n    ');

const secret = (name: string, entries: Readonly<Record<string, string>>): string => `apiVersion: v1
kind: Secret
metadata:
  name: ${name}
  namespace: istio-egress
type: Opaque
stringData:
${Object.entries(entries)
  .map(([key, pem]) => `  ${key}: |\n    ${indent(pem)}`)
  .join('\n')}
`;

function secretsYaml(root: string, authority: DemoAuthority): string {
  const client = authority.issue('waypoint.istio-egress.demo', []);
  const ca = secret('outside-ca', { cacert: root });
  return `${ca}---\n${secret('outside-client', { 'tls.crt': client.certificate, 'tls.key': client.privateKey, 'ca.crt': root })}`;
}
