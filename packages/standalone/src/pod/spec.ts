import type { KubeObject } from '@ambit/controlplane/collections/object';
import { list, number, record, records, text, texts } from '../fields.ts';

/** A Pod as this cluster runs it: what Kubernetes' spec says, with its defaults, reduced to what a process on one machine can honour. */
export interface PodSpec {
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
  readonly hostname: string;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGraceMs: number;
  readonly hostAliases: readonly { readonly ip: string; readonly hostnames: readonly string[] }[];
  readonly initContainers: readonly ContainerSpec[];
  readonly containers: readonly ContainerSpec[];
  readonly volumes: ReadonlyMap<string, VolumeSpec>;
  /** Why the pod cannot run at all; empty when it can. */
  readonly problems: readonly string[];
  /** What is ignored. */
  readonly notes: readonly string[];
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly workingDir: string;
  readonly env: readonly EnvEntry[];
  readonly ports: readonly ContainerPort[];
  readonly mounts: readonly VolumeMount[];
  readonly startup: ProbeSpec | undefined;
  readonly readiness: ProbeSpec | undefined;
  readonly liveness: ProbeSpec | undefined;
  /** An init container that keeps running beside the others. */
  readonly sidecar: boolean;
}

export interface ContainerPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

/** One variable, or with `all` every key of a ConfigMap or Secret. */
export type EnvEntry =
  | { readonly kind: 'value'; readonly name: string; readonly value: string }
  | { readonly kind: 'field'; readonly name: string; readonly path: string }
  | {
      readonly kind: 'key';
      readonly name: string;
      readonly from: ObjectKeyRef;
    }
  | { readonly kind: 'all'; readonly prefix: string; readonly from: Omit<ObjectKeyRef, 'key'> };

export interface ObjectKeyRef {
  readonly kind: 'ConfigMap' | 'Secret';
  readonly name: string;
  readonly key: string;
  readonly optional: boolean;
}

export interface VolumeMount {
  readonly volume: string;
  readonly path: string;
  readonly subPath: string;
  readonly readOnly: boolean;
}

export type VolumeSpec =
  | { readonly kind: 'empty' }
  | { readonly kind: 'host'; readonly path: string }
  | { readonly kind: 'files'; readonly sources: readonly FileSource[]; readonly mode: number };

/** Where files of a volume come from. */
export type FileSource =
  | {
      readonly kind: 'ConfigMap' | 'Secret';
      readonly name: string;
      readonly optional: boolean;
      /** Undefined: every key under its own name. */
      readonly items: readonly { readonly key: string; readonly path: string }[] | undefined;
    }
  | { readonly kind: 'token'; readonly audience: string; readonly path: string }
  | { readonly kind: 'field'; readonly path: string; readonly field: string };

export interface ProbeSpec {
  readonly check: ProbeCheck;
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly failureThreshold: number;
  readonly successThreshold: number;
}

export type ProbeCheck =
  | { readonly kind: 'exec'; readonly command: readonly string[] }
  | { readonly kind: 'tcp'; readonly port: number }
  | {
      readonly kind: 'http';
      readonly port: number;
      readonly path: string;
      readonly https: boolean;
      readonly headers: readonly (readonly [string, string])[];
    };

/** Reads a Pod. Never throws: what cannot be honoured is in `problems` or `notes`. */
export function readPodSpec(pod: KubeObject): PodSpec {
  const spec = pod.spec ?? {};
  const problems: string[] = [];
  const volumes = readVolumes(spec, problems);
  const containers = records(spec['containers']).map((one) => readContainer(one, false));
  const initContainers = records(spec['initContainers']).map((one) =>
    readContainer(one, one['restartPolicy'] === 'Always'),
  );
  if (containers.length === 0) problems.push('spec.containers is empty');
  for (const container of [...initContainers, ...containers]) problems.push(...containerProblems(container, volumes));
  const limited = records(spec['containers']).some((one) => Object.keys(record(one['resources'])).length > 0);
  return {
    serviceAccount: text(spec['serviceAccountName']) ?? text(spec['serviceAccount']) ?? 'default',
    hostNetwork: spec['hostNetwork'] === true,
    hostname: text(spec['hostname']) ?? pod.metadata.name,
    restartPolicy: readRestartPolicy(spec['restartPolicy']),
    terminationGraceMs: (number(spec['terminationGracePeriodSeconds']) ?? 30) * 1000,
    hostAliases: records(spec['hostAliases']).map((one) => ({
      ip: text(one['ip']) ?? '',
      hostnames: texts(one['hostnames']),
    })),
    initContainers,
    containers,
    volumes,
    problems,
    notes: limited ? ['resources are not enforced'] : [],
  };
}

const readRestartPolicy = (value: unknown): PodSpec['restartPolicy'] =>
  value === 'Never' || value === 'OnFailure' ? value : 'Always';

function readVolumes(spec: Record<string, unknown>, problems: string[]): Map<string, VolumeSpec> {
  const volumes = new Map<string, VolumeSpec>();
  for (const volume of records(spec['volumes'])) {
    const name = text(volume['name']) ?? '';
    const read = readVolume(volume);
    if (read !== undefined) volumes.set(name, read);
    else
      problems.push(
        `volume "${name}" is of a kind that is not supported here: use configMap, secret, emptyDir, projected, downwardAPI or hostPath`,
      );
  }
  return volumes;
}

function containerProblems(container: ContainerSpec, volumes: ReadonlyMap<string, VolumeSpec>): string[] {
  const problems: string[] = [];
  if (container.command.length === 0)
    problems.push(
      `container "${container.name}" names the image ${container.image || '(none)'} but no command: images are not pulled here, write what to run as "command"`,
    );
  for (const mount of container.mounts) {
    if (!volumes.has(mount.volume))
      problems.push(`container "${container.name}" mounts "${mount.volume}", which spec.volumes does not have`);
    if (!mount.path.startsWith('/'))
      problems.push(`container "${container.name}": mountPath "${mount.path}" is not absolute`);
  }
  return problems;
}

function readContainer(container: Record<string, unknown>, sidecar: boolean): ContainerSpec {
  const ports = records(container['ports']).map((port) => ({
    name: text(port['name']) ?? '',
    port: number(port['containerPort']) ?? 0,
    protocol: text(port['protocol']) ?? 'TCP',
  }));
  const probe = (key: string): ProbeSpec | undefined => readProbe(container[key], ports);
  return {
    name: text(container['name']) ?? '',
    image: text(container['image']) ?? '',
    command: [
      ...texts(container['command']),
      ...(list(container['command']).length > 0 ? texts(container['args']) : []),
    ],
    workingDir: text(container['workingDir']) ?? '/',
    env: [...records(container['envFrom']).map(readEnvFrom), ...records(container['env']).map(readEnv)].filter(
      (one) => one !== undefined,
    ),
    ports,
    mounts: records(container['volumeMounts']).map((mount) => ({
      volume: text(mount['name']) ?? '',
      path: text(mount['mountPath']) ?? '',
      subPath: text(mount['subPath']) ?? '',
      readOnly: mount['readOnly'] === true,
    })),
    startup: probe('startupProbe'),
    readiness: probe('readinessProbe'),
    liveness: probe('livenessProbe'),
    sidecar,
  };
}

function readEnv(entry: Record<string, unknown>): EnvEntry | undefined {
  const name = text(entry['name']) ?? '';
  const from = record(entry['valueFrom']);
  const field = text(record(from['fieldRef'])['fieldPath']);
  if (field !== undefined) return { kind: 'field', name, path: field };
  for (const [key, kind] of [
    ['configMapKeyRef', 'ConfigMap'],
    ['secretKeyRef', 'Secret'],
  ] as const) {
    const ref = record(from[key]);
    if (from[key] !== undefined)
      return {
        kind: 'key',
        name,
        from: { kind, name: text(ref['name']) ?? '', key: text(ref['key']) ?? '', optional: ref['optional'] === true },
      };
  }
  // resourceFieldRef: resources are not enforced, so there is nothing true to say
  return entry['valueFrom'] === undefined ? { kind: 'value', name, value: text(entry['value']) ?? '' } : undefined;
}

function readEnvFrom(entry: Record<string, unknown>): EnvEntry | undefined {
  for (const [key, kind] of [
    ['configMapRef', 'ConfigMap'],
    ['secretRef', 'Secret'],
  ] as const) {
    const ref = record(entry[key]);
    if (entry[key] !== undefined)
      return {
        kind: 'all',
        prefix: text(entry['prefix']) ?? '',
        from: { kind, name: text(ref['name']) ?? '', optional: ref['optional'] === true },
      };
  }
  return undefined;
}

const DEFAULT_FILE_MODE = 0o644;

function readVolume(volume: Record<string, unknown>): VolumeSpec | undefined {
  if (volume['emptyDir'] !== undefined) return { kind: 'empty' };
  const host = text(record(volume['hostPath'])['path']);
  if (host !== undefined) return { kind: 'host', path: host };
  const projected = record(volume['projected']);
  const mode =
    number(projected['defaultMode']) ?? number(record(volume['secret'] ?? volume['configMap'])['defaultMode']);
  const sources =
    volume['projected'] === undefined ? readSources(volume) : records(projected['sources']).map(readSources);
  const flat = sources?.flat().filter((one) => one !== undefined);
  return flat === undefined || flat.length === 0
    ? undefined
    : { kind: 'files', sources: flat, mode: mode ?? DEFAULT_FILE_MODE };
}

function readSources(from: Record<string, unknown>): FileSource[] | undefined {
  for (const [key, kind] of [
    ['configMap', 'ConfigMap'],
    ['secret', 'Secret'],
  ] as const) {
    if (from[key] === undefined) continue;
    const ref = record(from[key]);
    const items = ref['items'] === undefined ? undefined : records(ref['items']);
    return [
      {
        kind,
        name: text(ref['secretName']) ?? text(ref['name']) ?? '',
        optional: ref['optional'] === true,
        items: items?.map((item) => ({ key: text(item['key']) ?? '', path: text(item['path']) ?? '' })),
      },
    ];
  }
  const token = record(from['serviceAccountToken']);
  if (from['serviceAccountToken'] !== undefined)
    return [{ kind: 'token', audience: text(token['audience']) ?? 'istio-ca', path: text(token['path']) ?? 'token' }];
  if (from['downwardAPI'] === undefined) return undefined;
  return records(record(from['downwardAPI'])['items']).map((item) => ({
    kind: 'field',
    path: text(item['path']) ?? '',
    field: text(record(item['fieldRef'])['fieldPath']) ?? '',
  }));
}

function readProbe(value: unknown, ports: readonly ContainerPort[]): ProbeSpec | undefined {
  if (value === undefined) return undefined;
  const probe = record(value);
  const check = readCheck(probe, ports);
  if (check === undefined) return undefined;
  const ms = (key: string, seconds: number): number => (number(probe[key]) ?? seconds) * 1000;
  return {
    check,
    initialDelayMs: ms('initialDelaySeconds', 0),
    periodMs: Math.max(1000, ms('periodSeconds', 10)),
    timeoutMs: Math.max(1000, ms('timeoutSeconds', 1)),
    failureThreshold: Math.max(1, number(probe['failureThreshold']) ?? 3),
    successThreshold: Math.max(1, number(probe['successThreshold']) ?? 1),
  };
}

function readCheck(probe: Record<string, unknown>, ports: readonly ContainerPort[]): ProbeCheck | undefined {
  const portOf = (value: unknown): number =>
    number(value) ?? ports.find((port) => port.name === value)?.port ?? (Number(value) || 0);
  if (probe['exec'] !== undefined) return { kind: 'exec', command: texts(record(probe['exec'])['command']) };
  if (probe['tcpSocket'] !== undefined) return { kind: 'tcp', port: portOf(record(probe['tcpSocket'])['port']) };
  if (probe['httpGet'] === undefined) return undefined;
  const get = record(probe['httpGet']);
  return {
    kind: 'http',
    port: portOf(get['port']),
    path: text(get['path']) ?? '/',
    https: get['scheme'] === 'HTTPS',
    headers: records(get['httpHeaders']).map((one) => [text(one['name']) ?? '', text(one['value']) ?? ''] as const),
  };
}
