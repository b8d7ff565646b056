/** What a `baggage` header says about a workload; a field is absent or non-empty. */
export interface Baggage {
  readonly cluster?: string | undefined;
  readonly namespace?: string | undefined;
  /** Only used when writing: reading puts all four kinds into `workloadName`. */
  readonly workloadType?: 'deployment' | 'cronjob' | 'pod' | 'job' | undefined;
  readonly workloadName?: string | undefined;
  readonly serviceName?: string | undefined;
  readonly serviceVersion?: string | undefined;
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
}

type Field = Exclude<keyof Baggage, 'workloadType'>;

/** Key → field, as Istio's ztunnel reads them. */
const FIELDS: ReadonlyMap<string, Field> = new Map([
  ['k8s.cluster.name', 'cluster'],
  ['k8s.namespace.name', 'namespace'],
  ['k8s.deployment.name', 'workloadName'],
  ['k8s.cronjob.name', 'workloadName'],
  ['k8s.pod.name', 'workloadName'],
  ['k8s.job.name', 'workloadName'],
  ['service.name', 'serviceName'],
  ['service.version', 'serviceVersion'],
  ['cloud.region', 'region'],
  ['cloud.availability_zone', 'zone'],
]);

const VISIBLE_ASCII = /^[\t\x20-\x7e]*$/;

/** Writes the header value: non-empty fields in Istio's order, nothing encoded. */
export function formatBaggage(baggage: Baggage): string {
  const members: [key: string, value: string | undefined][] = [
    ['k8s.cluster.name', baggage.cluster],
    ['k8s.namespace.name', baggage.namespace],
    [`k8s.${baggage.workloadType ?? 'deployment'}.name`, baggage.workloadName],
    ['service.name', baggage.serviceName],
    ['service.version', baggage.serviceVersion],
    ['cloud.region', baggage.region],
    ['cloud.availability_zone', baggage.zone],
  ];
  return members
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/**
 * Reads all `baggage` lines in order, as leniently as Istio's ztunnel: no trimming; a member without "=" or with an unknown key is ignored;
 * text after a second "=" is lost; an empty value clears its field; later members win; one line with other than visible ASCII discards all.
 */
export function parseBaggage(lines: readonly string[]): Baggage {
  if (!lines.every((line) => VISIBLE_ASCII.test(line))) return {};
  const baggage: Partial<Record<Field, string>> = {};
  for (const member of lines.flatMap((line) => line.split(','))) {
    const [key = '', value] = member.split('=');
    const field = FIELDS.get(key);
    if (field === undefined || value === undefined) continue;
    if (value === '') delete baggage[field];
    else baggage[field] = value;
  }
  return baggage;
}
