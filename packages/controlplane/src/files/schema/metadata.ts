import { map, object, refuse, type Report, type Schema, text, textOf } from './schema.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const LABEL = /^[a-z0-9]([-\w.]{0,61}[a-z0-9])?$/i;
const PREFIX = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** `prefix/name` as Kubernetes spells keys of labels and annotations. */
export function labelKeyProblem(key: string): string | undefined {
  const slash = key.indexOf('/');
  const fits = LABEL.test(key.slice(slash + 1)) && (slash < 0 || PREFIX.test(key.slice(0, slash)));
  return fits
    ? undefined
    : `${JSON.stringify(key)} is no label key: expected name or prefix/name, 63 characters or less`;
}

export const labelValue: Schema<string> = textOf(
  'a label value: at most 63 letters, digits, -, _ and . between letters or digits',
  (value) => value === '' || LABEL.test(value),
);

export const labels: Schema<Readonly<Record<string, string>>> = map(labelValue, labelKeyProblem);
export const objectName: Schema<string> = textOf(
  'a name of lower-case letters, digits, - and .',
  (value) => value.length <= 253 && NAME.test(value),
);

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const SERVER_FIELDS = [
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
  'ownerReferences',
  'finalizers',
  'generateName',
];

/** What a person writes of an object's metadata; what only a server writes is accepted and replaced. */
export const metadata: Schema<Metadata> = object<Metadata>(
  {
    name: objectName,
    namespace: textOf(
      'a namespace name',
      (value) => value.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value),
    ),
    labels,
    annotations: map(text, labelKeyProblem),
  },
  { required: ['name'], accepted: SERVER_FIELDS },
);

/** Istio's selector rules: keys are not empty, and neither keys nor values hold a wildcard. */
export function checkMatchLabels(
  matchLabels: Readonly<Record<string, string>> | undefined,
  path: readonly (string | number)[],
  report: Report,
): void {
  for (const [key, value] of Object.entries(matchLabels ?? {})) {
    const at = [...path, key];
    if (key === '') refuse(report, at, 'expected a label name, found an empty key', 'key');
    if (key.includes('*')) refuse(report, at, 'wildcards are not allowed in selector keys', 'key');
    if (value.includes('*')) refuse(report, at, 'wildcards are not allowed in selector values');
  }
}
