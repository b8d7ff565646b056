/** True for a DNS name of one or more labels; `*` stands for the first label only when `wildcard`. */
export function isDnsName(host: string, wildcard: boolean): boolean {
  const name = wildcard && host.startsWith('*.') ? host.slice(2) : host;
  if (name.length === 0 || name.length > 253) return false;
  return name.split('.').every((label) => /^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?$/i.test(label));
}

/** A wildcard inside the first label, such as `*foo.example.com`: legal in Istio, rarely what was meant. */
export const isPartialWildcard = (host: string): boolean => /^\*[^.]/.test(host);
