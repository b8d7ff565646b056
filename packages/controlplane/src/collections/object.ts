/** A Kubernetes object as YAML or the API server gives it, after validation of its kind. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
  /** ConfigMap and Secret. */
  readonly data?: Record<string, string>;
  readonly stringData?: Record<string, string>;
  readonly type?: string;
  /** EndpointSlice. */
  readonly endpoints?: readonly unknown[];
  readonly ports?: readonly unknown[];
  readonly addressType?: string;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly generateName?: string;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

/** `<kind>/<namespace>/<name>`; the namespace is empty for cluster-scoped kinds. */
export const objectKey = (kind: string, namespace: string | undefined, name: string): string =>
  `${kind}/${namespace ?? ''}/${name}`;
