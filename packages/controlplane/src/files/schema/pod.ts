import { warnMeshKeys } from './mesh-keys.ts';
import { labels, objectName } from './metadata.ts';
import { anything, boolean, choice, either, integer, list, map, object, port, type Schema, text } from './schema.ts';

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string; readonly apiVersion?: string };
    readonly configMapKeyRef?: KeyRef;
    readonly secretKeyRef?: KeyRef;
  };
}

export interface KeyRef {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

export interface ContainerPort {
  readonly containerPort: number;
  readonly name?: string;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
}

export interface Probe {
  readonly httpGet?: {
    readonly path?: string;
    readonly port: number | string;
    readonly host?: string;
    readonly scheme?: 'HTTP' | 'HTTPS';
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
  readonly exec?: { readonly command?: readonly string[] };
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly {
    readonly prefix?: string;
    readonly configMapRef?: { readonly name: string; readonly optional?: boolean };
    readonly secretRef?: { readonly name: string; readonly optional?: boolean };
  }[];
  readonly ports?: readonly ContainerPort[];
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly restartPolicy?: string;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly serviceAccountName?: string;
  readonly serviceAccount?: string;
  readonly hostNetwork?: boolean;
  readonly nodeName?: string;
  readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGracePeriodSeconds?: number;
  readonly volumes?: readonly Volume[];
}

export interface Volume {
  readonly name: string;
  readonly configMap?: unknown;
  readonly secret?: unknown;
  readonly emptyDir?: unknown;
  readonly projected?: unknown;
  readonly hostPath?: unknown;
  readonly downwardAPI?: unknown;
}

export interface PodTemplate {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: PodSpec;
}

export interface DeploymentSpec {
  readonly replicas?: number;
  readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly template: PodTemplate;
  readonly strategy?: { readonly type?: 'Recreate' | 'RollingUpdate' };
}

const keyRef: Schema<KeyRef> = object<KeyRef>(
  { name: text, key: text, optional: boolean },
  { required: ['name', 'key'] },
);
const portOrName = either(port, text);

const env: Schema<EnvVar> = object<EnvVar>(
  {
    name: text,
    value: text,
    valueFrom: object<NonNullable<EnvVar['valueFrom']>>(
      {
        fieldRef: object({ fieldPath: text, apiVersion: text }, { required: ['fieldPath'] }),
        configMapKeyRef: keyRef,
        secretKeyRef: keyRef,
      },
      { notRun: { resourceFieldRef: 'the variable is not set', fileKeyRef: 'the variable is not set' } },
    ),
  },
  { required: ['name'] },
);

const seconds = integer(0, 86_400);

const probe: Schema<Probe> = object<Probe>(
  {
    httpGet: object<NonNullable<Probe['httpGet']>>(
      {
        path: text,
        port: portOrName,
        host: text,
        scheme: choice('HTTP', 'HTTPS'),
        httpHeaders: list(object<{ name: string; value: string }>({ name: text, value: text })),
      },
      { required: ['port'] },
    ),
    tcpSocket: object<NonNullable<Probe['tcpSocket']>>({ port: portOrName, host: text }, { required: ['port'] }),
    exec: object<NonNullable<Probe['exec']>>({ command: list(text) }),
    initialDelaySeconds: seconds,
    periodSeconds: seconds,
    timeoutSeconds: seconds,
    successThreshold: integer(1),
    failureThreshold: integer(1),
  },
  {
    notRun: {
      grpc: 'the container counts as well without this check',
      terminationGracePeriodSeconds: 'the time of the pod counts',
    },
  },
);

const reference = object<{ name: string; optional?: boolean }>(
  { name: text, optional: boolean },
  { required: ['name'] },
);

const container: Schema<Container> = object<Container>(
  {
    name: text,
    image: text,
    command: list(text),
    args: list(text),
    workingDir: text,
    env: list(env),
    envFrom: list(
      object<NonNullable<Container['envFrom']>[number]>({
        prefix: text,
        configMapRef: reference,
        secretRef: reference,
      }),
    ),
    ports: list(
      object<ContainerPort>(
        { containerPort: port, name: text, protocol: choice('TCP', 'UDP', 'SCTP') },
        {
          required: ['containerPort'],
          notRun: { hostPort: 'no port of the machine is opened', hostIP: 'no port of the machine is opened' },
        },
      ),
    ),
    readinessProbe: probe,
    livenessProbe: probe,
    startupProbe: probe,
    volumeMounts: list(
      object<NonNullable<Container['volumeMounts']>[number]>(
        { name: text, mountPath: text },
        {
          required: ['name', 'mountPath'],
          accepted: ['readOnly', 'subPath'],
          notRun: {
            subPathExpr: 'the whole volume is mounted',
            mountPropagation: 'mounts of the pod stay in it',
            recursiveReadOnly: 'readOnly counts',
          },
        },
      ),
    ),
    restartPolicy: text,
  },
  {
    required: ['name'],
    notRun: {
      imagePullPolicy: 'no image is pulled',
      resources: 'nothing is reserved or limited',
      resizePolicy: 'nothing is reserved or limited',
      securityContext: 'the container runs as the user of the mesh',
      lifecycle: 'its hooks are not called',
      stdin: 'the container has no standard input',
      stdinOnce: 'the container has no standard input',
      tty: 'the container has no terminal',
      terminationMessagePath: 'the last lines of its log say why it ended',
      terminationMessagePolicy: 'the last lines of its log say why it ended',
      volumeDevices: 'no device is passed on',
      restartPolicyRules: 'restartPolicy counts',
    },
  },
);

const volume: Schema<Volume> = object<Volume>(
  {
    name: text,
    configMap: anything,
    secret: anything,
    emptyDir: anything,
    projected: anything,
    hostPath: anything,
    downwardAPI: anything,
  },
  {
    required: ['name'],
    notRun: Object.fromEntries(
      ['persistentVolumeClaim', 'csi', 'nfs', 'ephemeral', 'image'].map((one) => [
        one,
        'the pod does not start: use configMap, secret, emptyDir, projected, downwardAPI or hostPath',
      ]),
    ),
  },
);

const HERE = 'every pod runs on this machine';
const POD_FIELDS_NOT_RUN = {
  activeDeadlineSeconds: 'the pod runs until it ends by itself',
  affinity: HERE,
  automountServiceAccountToken: 'a token is mounted where a volume asks for it',
  dnsConfig: 'names are resolved as the mesh does for all pods',
  dnsPolicy: 'names are resolved as the mesh does for all pods',
  enableServiceLinks: 'no variables are made of Services',
  ephemeralContainers: 'ambit exec runs a command in a container',
  hostIPC: 'each pod has its own',
  hostPID: 'each pod has its own',
  hostUsers: 'each pod has those of the mesh',
  imagePullSecrets: 'no image is pulled',
  nodeSelector: HERE,
  os: HERE,
  overhead: 'nothing is reserved',
  preemptionPolicy: 'no pod gives way to another',
  priority: 'no pod gives way to another',
  priorityClassName: 'no pod gives way to another',
  readinessGates: 'a pod is ready when its containers are',
  resourceClaims: 'nothing is reserved',
  resources: 'nothing is reserved or limited',
  runtimeClassName: 'containers are processes of this machine',
  schedulerName: HERE,
  schedulingGates: 'the pod starts at once',
  securityContext: 'containers run as the user of the mesh',
  setHostnameAsFQDN: 'the host name is that of the pod',
  shareProcessNamespace: 'containers see their own processes',
  tolerations: HERE,
  topologySpreadConstraints: HERE,
};

export const podSpec: Schema<PodSpec> = object<PodSpec>(
  {
    containers: list(container, { min: 1, max: 64 }),
    initContainers: list(container, { max: 64 }),
    serviceAccountName: objectName,
    serviceAccount: objectName,
    hostNetwork: boolean,
    nodeName: text,
    restartPolicy: choice('Always', 'OnFailure', 'Never'),
    terminationGracePeriodSeconds: seconds,
    volumes: list(volume),
  },
  { required: ['containers'], accepted: ['hostname', 'hostAliases', 'subdomain'], notRun: POD_FIELDS_NOT_RUN },
);

const templateMetadata = object<NonNullable<PodTemplate['metadata']>>(
  { labels, annotations: map(text) },
  { accepted: ['name', 'namespace', 'creationTimestamp'] },
);

export const deploymentSpec: Schema<DeploymentSpec> = object<DeploymentSpec>(
  {
    replicas: integer(0, 1000),
    strategy: object<NonNullable<DeploymentSpec['strategy']>>(
      { type: choice('Recreate', 'RollingUpdate') },
      { notRun: { rollingUpdate: 'all new pods are started at once, old ones go as new ones get ready' } },
    ),
    selector: object<DeploymentSpec['selector']>(
      { matchLabels: labels },
      {
        notRun: { matchExpressions: 'pods are found by matchLabels' },
      },
    ),
    template: object<PodTemplate>({ metadata: templateMetadata, spec: podSpec }, { required: ['spec'] }),
  },
  {
    required: ['selector', 'template'],
    notRun: {
      minReadySeconds: 'a pod counts as available once it is ready',
      revisionHistoryLimit: 'older versions are not kept',
      progressDeadlineSeconds: 'a rollout has no deadline',
      paused: 'changes are rolled out at once',
    },
    rules: (spec, path, report) => {
      warnMeshKeys('Pod', spec.template.metadata ?? {}, [...path.map(String), 'template', 'metadata'], report);
      for (const [key, value] of Object.entries(spec.selector.matchLabels ?? {})) {
        if (spec.template.metadata?.labels?.[key] === value) continue;
        report.errors.push({
          path: [...path, 'selector', 'matchLabels', key],
          at: 'value',
          message: `the selector must match the pods it makes: expected template.metadata.labels to hold ${key}: ${value}`,
        });
      }
    },
  },
);
