/** A host name that a query may mean. */
export interface Candidate {
  /** Fully qualified, lower case, without trailing dot. */
  readonly hostname: string;
  /** The query without the search domain that was taken off it; undefined when none was. */
  readonly stripped: string | undefined;
}

/** The search domains that Kubernetes writes into a pod's resolv.conf. */
export const searchDomains = (namespace: string, clusterDomain: string): string[] => [
  `${namespace}.svc.${clusterDomain}`,
  `svc.${clusterDomain}`,
  clusterDomain,
];

/**
 * Everything a queried name may stand for, in the order it is tried: the name, its Kubernetes forms, then the same for what is
 * left when a search domain is taken off its end (clients append them before they try the bare name).
 */
export function candidates(
  name: string,
  context: { readonly namespace: string; readonly clusterDomain: string; readonly searchDomains: readonly string[] },
): Candidate[] {
  const found: Candidate[] = [];
  const seen = new Set<string>();
  const add = (hostname: string, stripped: string | undefined): void => {
    if (seen.has(hostname)) return;
    seen.add(hostname);
    found.push({ hostname, stripped });
  };
  const addForms = (base: string, stripped: string | undefined): void => {
    add(base, stripped);
    for (const form of kubernetesForms(base, context)) add(form, stripped);
  };
  addForms(name, undefined);
  for (const domain of context.searchDomains) {
    if (!name.endsWith(`.${domain}`)) continue;
    const stripped = name.slice(0, -domain.length - 1);
    if (stripped !== '') addForms(stripped, stripped);
  }
  return found;
}

/** `name`, `name.namespace`, `name.namespace.svc` and their fully qualified forms. */
export function kubernetesForms(
  name: string,
  { namespace, clusterDomain }: { readonly namespace: string; readonly clusterDomain: string },
): string[] {
  const labels = name.split('.').length;
  const endsInSvc = name.endsWith('.svc');
  switch (labels) {
    case 1:
      return [`${name}.${namespace}.svc.${clusterDomain}`];
    case 2:
      return [`${name}.svc.${clusterDomain}`, `${name}.${namespace}.svc.${clusterDomain}`];
    case 3:
      return [...(endsInSvc ? [`${name}.${clusterDomain}`] : []), `${name}.svc.${clusterDomain}`];
    case 4:
      return endsInSvc ? [`${name}.${clusterDomain}`] : [];
    default:
      return [];
  }
}

/** `a.b.c` → `*.b.c`, `*.c`. */
export function wildcards(hostname: string): string[] {
  const labels = hostname.split('.');
  return labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
}
