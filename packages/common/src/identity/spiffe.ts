/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, parsed once. Compare by `uri`. */
export interface SpiffeId {
  readonly uri: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const SCHEME = 'spiffe://';

/** Accepts exactly the five-part Istio form, case-sensitively; undefined otherwise. */
export function parseSpiffe(uri: string): SpiffeId | undefined {
  if (!uri.startsWith(SCHEME)) return undefined;
  const [trustDomain, ns, namespace, sa, serviceAccount, ...rest] = uri.slice(SCHEME.length).split('/');
  if (ns !== 'ns' || sa !== 'sa' || rest.length > 0) return undefined;
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined) return undefined;
  return Object.freeze({ uri, trustDomain, namespace, serviceAccount });
}

/** Builds the id of a workload's service account. */
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): SpiffeId {
  return Object.freeze({
    uri: `${SCHEME}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
    trustDomain,
    namespace,
    serviceAccount,
  });
}
